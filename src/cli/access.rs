//! The chain as a command reaches it: through a running node, or in the database when none runs.

use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::context::Context;
use super::error::{CliError, CliResult, Context as _};
use crate::node::{OfflineChain, OpenError};
use crate::primitives::{Block, BlockHash, Decode};
use crate::rpc::{Client, ClientError};

/// How long a command waits for another that has the database, or for a node that is just starting or stopping.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// How the chain is reached.
pub(super) enum Access {
    /// Through the running node.
    Online(Client),
    /// In the database.
    Offline(OfflineChain),
}

/// Whether a command may make the chain that it does not find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// Then it fails.
    Refuse,
    /// Then it makes one that has the first block only.
    Make,
}

impl Access {
    /// Finds the running node, or opens the database.
    pub(super) fn find(context: &Context, missing: Missing) -> CliResult<Self> {
        let folder = context.network();
        let start = Instant::now();
        loop {
            match Client::find(folder.path()) {
                Ok(client) => return Ok(Self::Online(client)),
                Err(error) if error.is_offline() => {}
                Err(error) => return Err(CliError::failure(error)),
            }
            if missing == Missing::Refuse && !folder.has_chain() {
                return Err(CliError::Failure(format!(
                    "there is no chain of network '{}' in {}: make one with `quarry init-blockchain --address …`, or run `quarry up`",
                    context.spec.name,
                    context.folder.path().display()
                )));
            }
            match OfflineChain::open(&folder, &context.spec) {
                Ok(chain) => return Ok(Self::Offline(chain)),
                Err(OpenError::InUse { .. }) if start.elapsed() < PATIENCE => sleep(PAUSE),
                Err(error) => return Err(CliError::failure(error)),
            }
        }
    }

    /// Height and hash of the best chain's end.
    pub(super) fn tip(&self) -> CliResult<(u32, BlockHash)> {
        match self {
            Self::Offline(chain) => {
                let tip = chain.tip();
                Ok((tip.height, tip.hash))
            }
            Self::Online(client) => {
                let info = client.call("getblockchaininfo", json!([])).or_fail()?;
                let height = info["blocks"]
                    .as_u64()
                    .and_then(|height| u32::try_from(height).ok());
                let hash = info["bestblockhash"]
                    .as_str()
                    .and_then(|hash| hash.parse().ok());
                height.zip(hash).ok_or_else(|| {
                    CliError::failure("the node's answer to getblockchaininfo has no tip")
                })
            }
        }
    }

    /// The hash of the best chain's block at a height.
    pub(super) fn hash_at(&self, height: u32) -> CliResult<BlockHash> {
        let gone = || {
            CliError::Failure(format!(
                "block {height} is gone: the chain was reorganised meanwhile; try again"
            ))
        };
        match self {
            Self::Offline(chain) => chain.hash_at(height).ok_or_else(gone),
            Self::Online(client) => match client.get("getblockhash", json!([height])) {
                Err(ClientError::Rpc(_)) => Err(gone()),
                other => other.or_fail(),
            },
        }
    }

    /// The encoded form of a block.
    pub(super) fn raw_block(&self, hash: &BlockHash) -> CliResult<Vec<u8>> {
        match self {
            Self::Offline(chain) => chain
                .raw_block(hash)
                .or_fail()?
                .ok_or_else(|| CliError::Failure(format!("block {hash} is not stored"))),
            Self::Online(client) => {
                let text: String = client.get("getblock", json!([hash, 0])).or_fail()?;
                hex::decode(text).or_fail_to("read the node's answer to getblock")
            }
        }
    }

    /// A block.
    pub(super) fn block(&self, hash: &BlockHash) -> CliResult<Block> {
        Block::from_bytes(&self.raw_block(hash)?).or_fail_to(format!("read block {hash}"))
    }

    /// Waits until everything that was done is on the disk.
    pub(super) fn close(self) -> CliResult {
        match self {
            Self::Offline(chain) => chain.close().or_fail(),
            Self::Online(_) => Ok(()),
        }
    }
}

/// The running node, for commands that make sense with one only.
pub(super) fn running_node(context: &Context) -> CliResult<Client> {
    Client::find(context.network().path()).map_err(|error| match error {
        ClientError::NotRunning(_) => CliError::Failure(format!(
            "no node of network '{}' is running in {}; start one with `quarry up`",
            context.spec.name,
            context.folder.path().display()
        )),
        other => CliError::failure(other),
    })
}

/// Calls a method of the running node.
pub(super) fn call(client: &Client, method: &str, params: Value) -> CliResult<Value> {
    client.call(method, params).or_fail()
}
