//! What methods work on.

use std::path::PathBuf;
use std::time::Instant;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

use crate::chain::{ChainHandle, ChainReader, Clock, SettableClock};
use crate::consensus::ChainSpec;
use crate::keys::Address;
use crate::mempool::MempoolHandle;
use crate::miner::{MinerHandle, StratumHandle};
use crate::network::NetworkHandle;
use crate::primitives::PubkeyHash;

use super::active::ActiveCalls;
use super::wallet_service::WalletService;

/// Long polls at a time: each holds one of the server's places for requests, of which others must be left.
pub(super) const MAX_LONG_POLLS: usize = 8;

/// The places for long polls of one node.
#[derive(Debug)]
pub struct LongPolls(Semaphore);

impl Default for LongPolls {
    fn default() -> Self {
        Self(Semaphore::new(MAX_LONG_POLLS))
    }
}

impl LongPolls {
    /// Takes a place until it is dropped; `None` when none is free.
    pub(super) fn take(&self) -> Option<SemaphorePermit<'_>> {
        self.0.try_acquire().ok()
    }
}

/// The running node, as the RPC server sees it.
pub struct RpcContext {
    /// The chain.
    pub chain: ChainHandle,
    /// The mempool.
    pub mempool: MempoolHandle,
    /// The miner; methods that need it say so where there is none.
    pub miner: Option<MinerHandle>,
    /// The server for external miners, if there is one.
    pub stratum: Option<StratumHandle>,
    /// The network; methods that need it say so where there is none.
    pub network: Option<NetworkHandle>,
    /// Whether a node without peers is of no use: it was told whom to connect to.
    pub expects_peers: bool,
    /// The wallet.
    pub wallet: WalletService,
    /// Who waits for another block template.
    pub long_polls: LongPolls,
    /// Stops the node.
    pub stop: CancellationToken,
    /// Seconds since 1970, for new blocks.
    pub clock: Clock,
    /// When the node started.
    pub started: Instant,
    /// The clock, where it may be set by hand.
    pub mock_time: Option<SettableClock>,
    /// The calls that run.
    pub active: ActiveCalls,
    /// The chain's database folder, for `size_on_disk`.
    pub database: PathBuf,
}

impl RpcContext {
    /// Questions to the chain.
    pub(super) fn reader(&self) -> &ChainReader {
        self.chain.reader()
    }

    /// The network's rules.
    pub(super) fn spec(&self) -> &ChainSpec {
        self.chain.reader().spec()
    }

    /// The text of an address on this network.
    pub(super) fn address(&self, hash: PubkeyHash) -> String {
        Address::new(hash, self.spec().address_version).to_string()
    }
}
