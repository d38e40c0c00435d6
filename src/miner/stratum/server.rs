//! The accept loop, and what connections share.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{Id, JoinError, JoinHandle, JoinSet};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::connection;
use super::jobs::{EXTRA_NONCE1_LEN, Work};
use super::limits::{MAX_CONNECTIONS, MAX_PER_ADDRESS};
use super::payout::Payouts;
use super::session::{Found, Now, Session};
use super::source::Source;
use super::workers::{StratumInfo, WorkerInfo, Workers};
use crate::chain::{BlockAccepted, ChainHandle, Clock};
use crate::mempool::MempoolHandle;
use crate::primitives::BlockHash;

/// Pause after a failed accept, which is most often "too many open files": without it the loop would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Refused blocks whose parents the source of work has not looked at yet; more say nothing new.
const REFUSED: usize = 8;
/// What a connection above the limit gets, best effort.
const BUSY: &[u8] =
    b"{\"id\":null,\"result\":null,\"error\":[20,\"too many connections; try again later\",null]}\n";

/// How the server is run.
#[derive(Debug, Clone, Copy)]
pub struct StratumConfig {
    /// Whom blocks pay.
    pub payouts: Payouts,
    /// Connections at a time, where fewer than the server's own limit must do (the process may open only so many files).
    pub connections: usize,
}

/// Asks the server. Clones share it.
#[derive(Debug, Clone)]
pub struct StratumHandle {
    listening: SocketAddr,
    started: Instant,
    workers: Arc<Workers>,
    enabled: Arc<watch::Sender<bool>>,
}

impl StratumHandle {
    /// How all are doing.
    pub fn info(&self) -> StratumInfo {
        self.workers.info(self.listening, self.started.elapsed())
    }

    /// How each worker is doing, by name.
    pub fn workers(&self) -> Vec<WorkerInfo> {
        self.workers.list(self.started.elapsed())
    }

    /// Switches new work on or off, as while the node catches up with the network.
    pub fn set_enabled(&self, enabled: bool) {
        self.enabled.send_replace(enabled);
    }
}

/// What connections share.
pub(super) struct Shared {
    chain: ChainHandle,
    clock: Clock,
    started: Instant,
    payouts: Payouts,
    next_extra_nonce: AtomicU32,
    refused: mpsc::Sender<BlockHash>,
    pub(super) workers: Arc<Workers>,
}

/// Serves miners on `listener` until `cancel`. Whoever calls it joins the task.
///
/// # Errors
/// Where the socket has no address, or the system gives no random number.
pub fn serve(
    listener: TcpListener,
    config: StratumConfig,
    chain: ChainHandle,
    mempool: MempoolHandle,
    clock: Clock,
    cancel: CancellationToken,
) -> std::io::Result<(StratumHandle, JoinHandle<()>)> {
    let started = Instant::now();
    let (enabled, is_enabled) = watch::channel(true);
    let (refused_sender, refused) = mpsc::channel(REFUSED);
    let (work_sender, work) = watch::channel(None);
    let handle = StratumHandle {
        listening: listener.local_addr()?,
        started,
        workers: Arc::default(),
        enabled: Arc::new(enabled),
    };
    let source = Source {
        chain: chain.clone(),
        mempool,
        clock: Arc::clone(&clock),
        enabled: is_enabled,
        refused,
        work: work_sender,
    };
    let shared = Arc::new(Shared {
        chain,
        clock,
        started,
        payouts: config.payouts,
        // Nodes that mine to one address must not give out the same ones.
        next_extra_nonce: AtomicU32::new(getrandom::u32().map_err(std::io::Error::other)?),
        refused: refused_sender,
        workers: Arc::clone(&handle.workers),
    });
    let limit = config.connections.min(MAX_CONNECTIONS);
    // One task, so that a panic of either half ends it, which the node notices.
    let task = tokio::spawn(async move {
        tokio::join!(
            source.run(cancel.clone()),
            accept(listener, limit, shared, work, cancel.clone()),
        );
    });
    Ok((handle, task))
}

async fn accept(
    listener: TcpListener,
    limit: usize,
    shared: Arc<Shared>,
    work: watch::Receiver<Option<Arc<Work>>>,
    cancel: CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(limit));
    let mut connections = Connections::default();
    loop {
        let accepted = tokio::select! {
            () = cancel.cancelled() => break,
            () = connections.ended(), if !connections.tasks.is_empty() => continue,
            accepted = listener.accept() => accepted,
        };
        let (stream, from) = match accepted {
            Ok((stream, from)) => (stream, from.ip()),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a miner's connection");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let slot = Arc::clone(&slots).try_acquire_owned();
        let (Ok(slot), true) = (slot, connections.admits(from)) else {
            refuse(&stream);
            continue;
        };
        let connection = connection::run(stream, Arc::clone(&shared), work.clone(), cancel.clone());
        connections.spawn(from, async move {
            connection.await;
            drop(slot);
        });
    }
    drop(listener);
    while !connections.tasks.is_empty() {
        connections.ended().await;
    }
}

fn refuse(stream: &TcpStream) {
    // Fits into an empty send buffer, so this either succeeds at once or does not matter.
    let _ = stream.try_write(BUSY);
}

/// The tasks of connections, and where they come from.
#[derive(Default)]
struct Connections {
    tasks: JoinSet<()>,
    from: HashMap<Id, IpAddr>,
    count: HashMap<IpAddr, usize>,
}

impl Connections {
    /// Whether one more from this address is taken.
    fn admits(&self, from: IpAddr) -> bool {
        let count = self.count.get(&from).copied().unwrap_or(0);
        from.is_loopback() || count < MAX_PER_ADDRESS
    }

    fn spawn(&mut self, from: IpAddr, task: impl Future<Output = ()> + Send + 'static) {
        let id = self.tasks.spawn(task).id();
        self.from.insert(id, from);
        *self.count.entry(from).or_default() += 1;
    }

    /// Waits for one to end. A panic is a bug and ends its connection only; it is told loudly.
    async fn ended(&mut self) {
        let id = match self.tasks.join_next_with_id().await {
            None => return,
            Some(Ok((id, ()))) => id,
            Some(Err(error)) => {
                tracing::error!(%error, "a miner's connection failed");
                JoinError::id(&error)
            }
        };
        let Some(from) = self.from.remove(&id) else {
            return;
        };
        if let Some(count) = self.count.get_mut(&from) {
            *count -= 1;
            if *count == 0 {
                self.count.remove(&from);
            }
        }
    }
}

impl Shared {
    /// The time now.
    pub(super) fn now(&self) -> Now {
        Now {
            unix: (self.clock)(),
            uptime: self.started.elapsed(),
        }
    }

    /// The session of a new connection.
    pub(super) fn session(&self, work: Option<Arc<Work>>) -> Session {
        let spec = Arc::clone(self.chain.reader().spec());
        let number = self.next_extra_nonce.fetch_add(1, Ordering::Relaxed);
        Session::new(spec, self.payouts, extra_nonce1(number), work, self.now())
    }

    /// Gives a block to the chain, which tells the network.
    pub(super) async fn submit(&self, found: Found) {
        let Found { block, worker } = found;
        let (hash, parent) = (block.hash(), block.header.prev_block);
        match self.chain.submit_block(block).await {
            Ok(BlockAccepted::NewTip { height }) => {
                self.workers.found_block(&worker);
                tracing::info!(height, %hash, worker = &*worker, "an external miner found a block");
            }
            Ok(BlockAccepted::SideBranch { height }) => {
                tracing::info!(height, %hash, worker = &*worker, "an external miner found a block a moment too late");
            }
            Ok(BlockAccepted::AlreadyKnown) => {}
            Err(error) if error.blames_block() => {
                tracing::error!(%error, %hash, "an external miner's block was refused; its miners work without transactions on this tip");
                // Full means that it knows by now.
                let _ = self.refused.try_send(parent);
            }
            Err(error) => {
                // The chain's own thread tells the node of its end.
                tracing::debug!(%error, "an external miner's block was not taken");
            }
        }
    }
}

/// The extra nonce of a connection. The third byte is one that the counters of the node's own threads never reach, so that those
/// that mine to the same address search other headers.
const fn extra_nonce1(number: u32) -> [u8; EXTRA_NONCE1_LEN] {
    let [_, a, b, c] = number.to_be_bytes();
    [a, b, 0xff, c]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_address_takes_only_so_many_connections() {
        let mut connections = Connections::default();
        let (here, there) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([10, 0, 0, 1]));
        let ends = CancellationToken::new();
        for from in [here, there] {
            for _ in 0..MAX_PER_ADDRESS {
                assert!(connections.admits(from));
                connections.spawn(from, ends.clone().cancelled_owned());
            }
        }
        assert!(connections.admits(here) && !connections.admits(there));
        assert!(connections.admits(IpAddr::from([10, 0, 0, 2])));
        ends.cancel();
        while !connections.tasks.is_empty() {
            connections.ended().await;
        }
        assert!(connections.admits(there));
        assert!(connections.count.is_empty() && connections.from.is_empty());
    }

    #[test]
    fn extra_nonces_differ_and_are_not_those_of_the_own_threads() {
        let all: std::collections::HashSet<_> = (0..70_000).map(extra_nonce1).collect();
        assert_eq!(all.len(), 70_000);
        assert!(all.iter().all(|one| one[2] == 0xff));
    }
}
