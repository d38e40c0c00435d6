//! The OS thread `miner`: gives the searching threads work and their blocks to the chain.
//!
//! Work is new when the tip is, when the mempool has changed (looked at twice a second), and every second for the time in the
//! header, which on chains with a stall rule also moves the target.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::MissedTickBehavior;

use super::board::Board;
use super::config::MinerConfig;
use super::handle::MinerHandle;
use super::rate::MovingRate;
use super::template::{Template, TemplateError, build_template};
use super::workers::{self, Report};
use crate::chain::{BlockAccepted, ChainHandle, Clock, EventReader};
use crate::mempool::MempoolHandle;
use crate::primitives::{BlockHash, PubkeyHash};

/// How often mempool and clock are looked at.
const REFRESH: Duration = Duration::from_millis(500);

/// Why the miner ended by itself. The node must stop.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MinerError {
    /// A searching thread panicked: a bug.
    #[error("a mining thread panicked")]
    WorkerPanicked,
    /// The thread that gives out work panicked: a bug.
    #[error("the miner panicked")]
    Panicked,
}

/// The miner's thread, to be joined; it joins the searching ones.
#[derive(Debug)]
pub struct MinerTask {
    thread: JoinHandle<Result<(), MinerError>>,
    ended: oneshot::Receiver<()>,
}

impl MinerTask {
    /// Waits until the thread ends, by command, error or panic; [`MinerTask::join`] then tells which.
    pub async fn ended(&mut self) {
        // Nothing is ever sent: the sender goes when the thread does.
        let _ = (&mut self.ended).await;
    }

    /// Waits for the end of all threads, blocking.
    ///
    /// # Errors
    /// Why they ended by themselves; the node must then stop.
    pub fn join(self) -> Result<(), MinerError> {
        self.thread.join().unwrap_or(Err(MinerError::Panicked))
    }
}

/// Ends the search when the thread that gives out work ends, however that comes.
struct StopOnDrop(Arc<Board>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Starts the miner.
///
/// # Errors
/// Where the system gives no thread, timer or random number.
pub fn spawn(
    config: MinerConfig,
    chain: ChainHandle,
    mempool: MempoolHandle,
    clock: Clock,
) -> std::io::Result<(MinerHandle, MinerTask)> {
    let threads = config.threads.get().get();
    let board = Arc::new(Board::new(config.enabled));
    let wake = Arc::new(Notify::new());
    let (alive, ended) = oneshot::channel::<()>();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    let stop = StopOnDrop(Arc::clone(&board));
    // A block and the end of each thread.
    let (sender, reports) = mpsc::channel(2 * threads);
    let salt = getrandom::u32().map_err(std::io::Error::other)?;
    let workers = (0..=u16::MAX)
        .take(threads)
        .map(|index| workers::start(index, salt, &config, Arc::clone(&board), sender.clone()))
        .collect::<std::io::Result<Vec<_>>>()?;
    let controller = Controller {
        events: chain.events().subscribe(),
        mempool_changed: mempool.changed(),
        mempool,
        chain,
        clock,
        payout: config.payout,
        board: Arc::clone(&board),
        wake: Arc::clone(&wake),
        current: None,
        distrusted: None,
        rate: MovingRate::default(),
        counted: (Instant::now(), 0),
    };
    let thread = thread::Builder::new().name("miner".into()).spawn(move || {
        let _alive = alive;
        let stop = stop;
        let result = runtime.block_on(controller.run(reports));
        drop(stop);
        let panicked = workers
            .into_iter()
            .map(JoinHandle::join)
            .filter(Result::is_err)
            .count();
        if panicked > 0 {
            Err(MinerError::WorkerPanicked)
        } else {
            result
        }
    })?;
    // Only the searching threads may keep their reports open.
    drop(sender);
    Ok((
        MinerHandle {
            config,
            board,
            wake,
        },
        MinerTask { thread, ended },
    ))
}

struct Controller {
    chain: ChainHandle,
    mempool: MempoolHandle,
    mempool_changed: watch::Receiver<u64>,
    clock: Clock,
    payout: Option<PubkeyHash>,
    board: Arc<Board>,
    wake: Arc<Notify>,
    events: EventReader,
    current: Option<Arc<Template>>,
    /// The tip on which a block with transactions of the mempool was refused: a bug, but no reason to stand still.
    distrusted: Option<BlockHash>,
    rate: MovingRate,
    /// When the hashes were last counted, and how many there were.
    counted: (Instant, u64),
}

impl Controller {
    async fn run(mut self, mut reports: mpsc::Receiver<Report>) -> Result<(), MinerError> {
        let mut ticks = tokio::time::interval(REFRESH);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Not `is_closed`: that is true already while the last reports still wait to be read.
        let mut reporting = true;
        loop {
            tokio::select! {
                report = reports.recv(), if reporting => match report {
                    Some(Report::Solved { template, extra_nonce, nonce }) => {
                        self.on_solved(&template, extra_nonce, nonce).await;
                    }
                    Some(Report::Ended) if !self.board.is_stopped() => return Err(MinerError::WorkerPanicked),
                    Some(Report::Ended) => {}
                    // There are no searching threads.
                    None => reporting = false,
                },
                // Whatever it is, or however many were missed: the reader knows the tip.
                _ = self.events.next() => {
                    while self.events.try_next().is_some() {}
                    if self.is_behind() {
                        self.build().await;
                    }
                }
                _ = ticks.tick() => {
                    self.count();
                    self.refresh().await;
                }
                () = self.wake.notified() => {
                    if self.board.is_stopped() {
                        return Ok(());
                    }
                    self.count();
                    self.build().await;
                }
            }
        }
    }

    /// Whether the work is for another tip than the chain's.
    fn is_behind(&self) -> bool {
        let tip = self.chain.reader().tip().hash;
        self.current
            .as_ref()
            .is_none_or(|template| template.parent() != tip)
    }

    /// New work for the tip, from the mempool.
    async fn build(&mut self) {
        let Some(payout) = self.payout.filter(|_| self.board.is_enabled()) else {
            self.current = None;
            return;
        };
        self.mempool_changed.mark_unchanged();
        let reader = self.chain.reader();
        let mempool = (self.distrusted != Some(reader.tip().hash)).then_some(&self.mempool);
        let template = build_template(reader, mempool, payout, (self.clock)()).await;
        self.post(template);
    }

    /// New work where the mempool or the time has changed.
    async fn refresh(&mut self) {
        let Some(current) = self.current.as_ref().filter(|_| !self.is_behind()) else {
            return self.build().await;
        };
        if self.mempool_changed.has_changed().unwrap_or(false) {
            return self.build().await;
        }
        let now = (self.clock)();
        if now > u64::from(current.time()) {
            let template = current.at_time(self.chain.reader().spec(), now);
            self.post(template);
        }
    }

    fn post(&mut self, template: Result<Template, TemplateError>) {
        match template {
            Ok(template) => {
                let template = Arc::new(template);
                self.current = Some(Arc::clone(&template));
                self.board.post(template);
            }
            Err(TemplateError::MempoolStopped) => {
                tracing::debug!("no more work: the mempool has stopped");
                self.current = None;
            }
            Err(error) => {
                tracing::warn!(%error, "no work for the miner");
                self.current = None;
            }
        }
    }

    /// Hands a block in. After a refusal the next work comes with the next tick, so that a lasting reason makes no busy loop.
    async fn on_solved(&mut self, template: &Template, extra_nonce: u64, nonce: u32) {
        if template.parent() != self.chain.reader().tip().hash {
            self.board.stale_blocks.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(
                height = template.height(),
                "found a block for a tip that has passed"
            );
            return self.build().await;
        }
        let block = template.block(extra_nonce, nonce);
        let hash = block.hash();
        match self.chain.submit_block(block).await {
            Ok(BlockAccepted::NewTip { height }) => {
                self.board.blocks_found.fetch_add(1, Ordering::Relaxed);
                tracing::info!(height, %hash, reward = %template.reward(), "mined a block");
                self.build().await;
            }
            Ok(BlockAccepted::SideBranch { height }) => {
                self.board.stale_blocks.fetch_add(1, Ordering::Relaxed);
                tracing::info!(height, %hash, "mined a block a moment too late");
                self.build().await;
            }
            Ok(BlockAccepted::AlreadyKnown) => self.build().await,
            Err(error) if error.blames_block() => {
                tracing::error!(%error, %hash, "a mined block was refused; mining without transactions on this tip");
                self.distrusted = Some(template.parent());
                self.current = None;
            }
            Err(error) => {
                // The chain's own thread tells the node of its end.
                tracing::debug!(%error, "a mined block was not taken");
                self.current = None;
            }
        }
    }

    /// Takes the hashes since the last time into the moving average.
    fn count(&mut self) {
        let now = Instant::now();
        let hashes = self.board.hashes.load(Ordering::Relaxed);
        let (since, before) = std::mem::replace(&mut self.counted, (now, hashes));
        let rate = if self.current.is_some() || hashes > before {
            self.rate.add(hashes - before, now.duration_since(since))
        } else {
            self.rate.reset();
            0.0
        };
        self.board.rate.store(rate.to_bits(), Ordering::Relaxed);
    }
}
