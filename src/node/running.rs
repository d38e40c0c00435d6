//! A started node: what can be asked of it, and how it ends.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::config::Endpoints;
use super::folder::NetworkFolder;
use super::notices::Notice;
use super::tasks::{Ended, Tasks};
use crate::chain::{ChainHandle, Tip};
use crate::mempool::MempoolHandle;
use crate::miner::{MinerHandle, MinerStatus, StratumHandle, StratumInfo};
use crate::network::{NetworkHandle, NetworkStatus};
use crate::rpc::{Cookie, NodeFile};

/// How long the parts may take to end; what is left then is abandoned, which the database survives.
const PATIENCE: Duration = Duration::from_secs(9);

/// Why a node ended by itself. The data is intact.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// A task failed.
    #[error("the node stopped because its task '{task}' failed: {reason}")]
    Task {
        /// Which.
        task: &'static str,
        /// Why.
        reason: String,
    },
    /// A task did not end when told.
    #[error("the node stopped, but these tasks did not end within {seconds} s: {tasks}")]
    Stuck {
        /// Which.
        tasks: String,
        /// How long was waited.
        seconds: u64,
    },
}

/// The parts of a started node.
pub(super) struct Parts {
    pub(super) chain: ChainHandle,
    pub(super) mempool: MempoolHandle,
    pub(super) network: NetworkHandle,
    pub(super) miner: MinerHandle,
    pub(super) stratum: Option<StratumHandle>,
    pub(super) notices: broadcast::Sender<Notice>,
    pub(super) endpoints: Endpoints,
    /// Held for its drop.
    pub(super) _published: Published,
}

/// The files that tell commands of the node; removed when dropped.
pub(super) struct Published {
    folder: NetworkFolder,
    node_file: NodeFile,
    cookie: Arc<Cookie>,
}

impl Published {
    pub(super) const fn new(
        folder: NetworkFolder,
        node_file: NodeFile,
        cookie: Arc<Cookie>,
    ) -> Self {
        Self {
            folder,
            node_file,
            cookie,
        }
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        self.node_file.remove(self.folder.path());
        self.cookie.remove();
    }
}

/// A running node. It runs until [`RunningNode::run`] returns.
pub struct RunningNode {
    parts: Parts,
    tasks: Tasks,
    cancel: CancellationToken,
}

/// What a status line shows.
#[derive(Debug, Clone)]
pub struct NodeStatus {
    /// The end of the best chain.
    pub tip: Tip,
    /// Peers and sync.
    pub network: NetworkStatus,
    /// Waiting transactions.
    pub mempool: usize,
    /// The miner.
    pub miner: MinerStatus,
    /// External miners, if they are served.
    pub stratum: Option<StratumInfo>,
}

/// Asks a running node while [`RunningNode::run`] drives it. Clones share it.
#[derive(Clone)]
pub struct NodeView {
    chain: ChainHandle,
    mempool: MempoolHandle,
    network: NetworkHandle,
    miner: MinerHandle,
    stratum: Option<StratumHandle>,
    notices: broadcast::Sender<Notice>,
}

impl NodeView {
    /// How the node is doing.
    pub async fn status(&self) -> NodeStatus {
        let info = self.mempool.info().await;
        NodeStatus {
            tip: self.chain.reader().tip(),
            network: self.network.status().borrow().clone(),
            mempool: info.map_or(0, |info| info.count),
            miner: self.miner.status(),
            stratum: self.stratum.as_ref().map(StratumHandle::info),
        }
    }

    /// What happens from now on.
    pub fn notices(&self) -> broadcast::Receiver<Notice> {
        self.notices.subscribe()
    }

    /// The addresses to give to other nodes; waits up to `patience` for the first to be known.
    pub async fn peer_addresses(&self, patience: Duration) -> Vec<String> {
        let mut status = self.network.status();
        let known = status.wait_for(|status| !status.listening.is_empty());
        // Late or never, the answer is what is known by now.
        let _ = tokio::time::timeout(patience, known).await;
        self.network.listen_addresses()
    }
}

impl RunningNode {
    pub(super) const fn new(parts: Parts, tasks: Tasks, cancel: CancellationToken) -> Self {
        Self {
            parts,
            tasks,
            cancel,
        }
    }

    /// Where it is reached.
    pub const fn endpoints(&self) -> &Endpoints {
        &self.parts.endpoints
    }

    /// Stops the node when cancelled; it is also cancelled when the node ends by itself or by RPC.
    pub fn stop_token(&self) -> CancellationToken {
        self.cancel.clone()
    }

    /// What can be asked of it.
    pub fn view(&self) -> NodeView {
        NodeView {
            chain: self.parts.chain.clone(),
            mempool: self.parts.mempool.clone(),
            network: self.parts.network.clone(),
            miner: self.parts.miner.clone(),
            stratum: self.parts.stratum.clone(),
            notices: self.parts.notices.clone(),
        }
    }

    /// Runs until the stop token is cancelled or a task fails, then ends everything in order: first what takes work in, then
    /// the mempool, at last the chain. Takes less than ten seconds.
    ///
    /// # Errors
    /// [`NodeError`], the first that happened.
    pub async fn run(mut self) -> Result<(), NodeError> {
        let cancel = self.cancel.clone();
        let mut failure = tokio::select! {
            // A task that ends because it was told to must not be taken for one that failed.
            biased;
            () = cancel.cancelled() => None,
            ended = self.tasks.next() => ended.and_then(|ended| failure_of(ended, cancel.is_cancelled())),
        };
        if let Some(error) = &failure {
            tracing::error!(%error, "stopping");
        }
        cancel.cancel();
        let deadline = Instant::now() + PATIENCE;
        let shut_down = self.shut_down(&mut failure);
        // A part that hangs, in whatever step, must not keep the process.
        if timeout_at(deadline, shut_down).await.is_err() {
            failure.get_or_insert(NodeError::Stuck {
                tasks: self.tasks.running().join(", "),
                seconds: PATIENCE.as_secs(),
            });
        }
        match failure {
            Some(error) => Err(error),
            None => {
                tracing::info!("node stopped");
                Ok(())
            }
        }
    }

    /// The chain answers until its users are gone, and the mempool likewise; both then end.
    async fn shut_down(&mut self, failure: &mut Option<NodeError>) {
        let is_user = |name: &&str| !matches!(*name, "chain" | "mempool");
        while self.tasks.running().iter().any(is_user) {
            self.join_next(failure).await;
        }
        self.parts.mempool.stop().await;
        self.parts.chain.stop().await;
        while !self.tasks.running().is_empty() {
            self.join_next(failure).await;
        }
    }

    async fn join_next(&mut self, failure: &mut Option<NodeError>) {
        let ended = self.tasks.next().await;
        if let Some(error) = ended.and_then(|ended| failure_of(ended, true)) {
            tracing::error!(%error, "while stopping");
            failure.get_or_insert(error);
        }
    }
}

/// The end of a task as a failure of the node. Ending in order is one too, unless it was `told` to.
fn failure_of(ended: Ended, told: bool) -> Option<NodeError> {
    let reason = match ended.result {
        Err(reason) => reason,
        Ok(()) if told => return None,
        Ok(()) => "it ended by itself".to_owned(),
    };
    Some(NodeError::Task {
        task: ended.name,
        reason,
    })
}

#[cfg(test)]
mod tests {
    use super::super::config::{NodeConfig, StratumSettings};
    use super::super::folder::DataFolder;
    use super::super::offline::OfflineChain;
    use super::super::start::Node;
    use super::*;
    use crate::consensus::ChainSpec;
    use crate::miner::{CpuShare, Niceness, ThreadCount};

    fn config(folder: &DataFolder) -> NodeConfig {
        let loopback = || "127.0.0.1:0".parse().expect("an address");
        NodeConfig {
            folder: folder.clone(),
            spec: ChainSpec::regtest(),
            listen: loopback(),
            rpc_listen: loopback(),
            explorer_listen: loopback(),
            port_offset: 0,
            allowed_hosts: Vec::new(),
            rpc_users: Vec::new(),
            mdns: false,
            peers: Vec::new(),
            bootnodes: Vec::new(),
            network_key_file: None,
            minimum_work: crate::primitives::Work::ZERO,
            mine_to: None,
            threads: ThreadCount::default(),
            miner_kernel: None,
            stratum: Some(StratumSettings {
                listen: loopback(),
                payout: None,
            }),
            cpu_share: CpuShare::WHOLE,
            miner_nice: Niceness::default(),
        }
    }

    fn boo(name: &str) -> Result<(), String> {
        panic!("boo in {name}")
    }

    /// The panic is thrown by a task beside the real one of that name, watched in the same way.
    #[tokio::test(flavor = "multi_thread")]
    async fn s02_a_panic_in_any_task_stops_the_node_by_name_and_leaves_the_chain_sound() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = DataFolder::new(dir.path());
        let start = || Node::start(config(&folder), CancellationToken::new());
        let first = start().await.expect("it starts");
        let names = first.tasks.running();
        assert!(names.len() > 5, "{names:?}");
        first.stop_token().cancel();
        first.run().await.expect("it stops in order");
        for name in names {
            let mut node = start().await.expect("it starts");
            node.tasks.spawn(name, async move { boo(name) });
            let begun = Instant::now();
            let error = node.run().await.expect_err("a panic is a failure");
            assert!(begun.elapsed() < PATIENCE, "{name} took too long");
            let NodeError::Task { task, reason } = &error else {
                panic!("{error}");
            };
            assert_eq!(
                (*task, reason.as_str()),
                (name, &*format!("panicked: boo in {name}"))
            );
        }
        let network = folder.network(&ChainSpec::regtest());
        assert!(!network.node_file().exists(), "commands would look for it");
        let audit = tokio::task::spawn_blocking(move || {
            let chain = OfflineChain::open(&network, &ChainSpec::regtest()).expect("not in use");
            chain.audit(&mut |_| {}).expect("readable")
        });
        assert!(audit.await.expect("no panic").is_sound());
    }
}
