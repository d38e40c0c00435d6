//! What methods work on.

use std::path::PathBuf;
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use crate::chain::{ChainHandle, ChainReader, Clock};
use crate::consensus::ChainSpec;
use crate::keys::Address;
use crate::mempool::MempoolHandle;
use crate::miner::MinerHandle;
use crate::network::NetworkHandle;
use crate::primitives::PubkeyHash;

use super::wallet_service::WalletService;

/// The running node, as the RPC server sees it.
pub struct RpcContext {
    /// The chain.
    pub chain: ChainHandle,
    /// The mempool.
    pub mempool: MempoolHandle,
    /// The miner; methods that need it say so where there is none.
    pub miner: Option<MinerHandle>,
    /// The network; methods that need it say so where there is none.
    pub network: Option<NetworkHandle>,
    /// The wallet.
    pub wallet: WalletService,
    /// Stops the node.
    pub stop: CancellationToken,
    /// Seconds since 1970, for new blocks.
    pub clock: Clock,
    /// When the node started.
    pub started: Instant,
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
