//! The OS thread `mempool`: the one owner of the pool.
//!
//! It runs a small executor of its own, so that commands, events of the chain and verified batches wake it alike. Before each
//! command it takes in what the chain has published. Signatures are verified on threads of that executor, one a core
//! (`mempool-scripts`), while the thread goes on with other commands.

mod adoption;
mod intake;
mod restart;
mod verdict;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::admission::{Candidate, ChainView};
use super::error::MempoolError;
use super::handle::{Command, MempoolHandle};
use super::orphans::Orphans;
use super::policy::Policy;
use super::pool::Pool;
use crate::chain::{
    ChainEvent, ChainHandle, ChainReader, Clock, Event, EventReader, Lagged, PeerEvent,
    SignatureCache, Tip,
};
use crate::consensus::{RuleError, ScriptChecks};
use crate::primitives::{Coin, OutPoint, Txid};
use intake::Batch;
use restart::Restoring;

/// Batches whose scripts are verified at a time. Beyond, commands wait: memory stays bounded, and the cores have enough to do.
const MAX_VERIFYING: usize = 8;
/// Commands that may wait. Beyond, senders wait in turn: memory stays bounded when transactions come faster than they are checked.
const COMMAND_QUEUE: usize = 64;
/// How often, and how long each time, the thread waits for the events of a tip that the chain's reader shows already.
const CATCH_UP_TRIES: u32 = 100;
const CATCH_UP_WAIT: Duration = Duration::from_millis(2);

/// [`Pool::settle`] or [`Pool::readmit`].
type Step = fn(&mut Pool, &ChainView<'_>, u64, &mut dyn FnMut(&Candidate) -> Result<(), RuleError>);

/// The thread, to be joined.
#[derive(Debug)]
pub struct MempoolTask {
    thread: JoinHandle<Result<(), MempoolError>>,
    ended: oneshot::Receiver<()>,
}

impl MempoolTask {
    /// Waits until the thread ends, by command, error or panic; [`MempoolTask::join`] then tells which.
    pub async fn ended(&mut self) {
        // Nothing is ever sent: the sender goes when the thread does.
        let _ = (&mut self.ended).await;
    }

    /// Waits for the end of the thread, blocking.
    ///
    /// # Errors
    /// Why it ended by itself; the node must then stop.
    ///
    /// # Panics
    /// With the thread's panic, if it panicked.
    pub fn join(self) -> Result<(), MempoolError> {
        match self.thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

/// Starts the mempool of `chain`, empty.
///
/// # Errors
/// Where the system gives no thread or timer.
pub fn spawn(
    chain: ChainHandle,
    policy: Policy,
    clock: Clock,
) -> std::io::Result<(MempoolHandle, MempoolTask)> {
    start(chain, policy, clock, None)
}

/// Starts the mempool of `chain` with the transactions in `file`, and writes it when the mempool stops. A file that cannot be read
/// is logged and left out: nothing rests on it.
///
/// # Errors
/// Where the system gives no thread or timer.
pub fn spawn_with_file(
    chain: ChainHandle,
    policy: Policy,
    clock: Clock,
    file: PathBuf,
) -> std::io::Result<(MempoolHandle, MempoolTask)> {
    start(chain, policy, clock, Some(file))
}

fn start(
    chain: ChainHandle,
    policy: Policy,
    clock: Clock,
    file: Option<PathBuf>,
) -> std::io::Result<(MempoolHandle, MempoolTask)> {
    let (commands, receiver) = mpsc::channel(COMMAND_QUEUE);
    let (changed, watch) = watch::channel(0);
    let (alive, ended) = oneshot::channel::<()>();
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .max_blocking_threads(cores)
        .thread_name("mempool-scripts")
        .build()?;
    // Subscribed before the tip is read: what happens in between is seen twice and not missed.
    let events = chain.events().subscribe();
    let task = Task {
        pool: Pool::new(policy, chain.reader().tip().hash),
        reader: chain.reader().clone(),
        chain,
        clock: Arc::clone(&clock),
        events,
        changed,
        restoring: Restoring::default(),
        file,
        orphans: Orphans::default(),
        adopting: false,
        verifying: JoinSet::new(),
        revision: 0,
    };
    let thread = thread::Builder::new()
        .name("mempool".into())
        .spawn(move || {
            let _alive = alive;
            runtime.block_on(task.run(receiver))
        })?;
    let handle = MempoolHandle {
        commands,
        changed: watch,
        clock,
    };
    Ok((handle, MempoolTask { thread, ended }))
}

struct Task {
    pool: Pool,
    chain: ChainHandle,
    reader: ChainReader,
    clock: Clock,
    events: EventReader,
    changed: watch::Sender<u64>,
    restoring: Restoring,
    file: Option<PathBuf>,
    orphans: Orphans,
    /// Whether some of them are being judged again.
    adopting: bool,
    /// Batches whose scripts are being verified.
    verifying: JoinSet<Batch>,
    /// A counter of the events of the chain: coins that were read at another count are read again.
    revision: u64,
}

impl Task {
    async fn run(mut self, mut commands: mpsc::Receiver<Command>) -> Result<(), MempoolError> {
        self.load();
        loop {
            tokio::select! {
                event = self.events.next() => {
                    self.on_event(event)?;
                    self.drain()?;
                }
                Some(batch) = self.verifying.join_next() => self.on_verified(batch).await?,
                command = commands.recv(), if self.verifying.len() < MAX_VERIFYING => match command {
                    None | Some(Command::Stop) => break,
                    Some(command) => self.on_command(command).await?,
                },
                () = std::future::ready(()), if self.may_go_on() => self.go_on().await?,
            }
            self.publish();
        }
        // What was sent before is still answered.
        while let Some(batch) = self.verifying.join_next().await {
            self.on_verified(batch).await?;
        }
        self.publish();
        self.save_at_the_end();
        Ok(())
    }

    /// Whether there is something to do that nobody asks for.
    fn may_go_on(&self) -> bool {
        (!self.adopting && self.orphans.has_ready()) || self.may_restore()
    }

    async fn go_on(&mut self) -> Result<(), MempoolError> {
        if !self.adopting && self.orphans.has_ready() {
            self.adopt().await?;
        }
        if self.may_restore() {
            self.restore().await?;
        }
        Ok(())
    }

    async fn on_command(&mut self, command: Command) -> Result<(), MempoolError> {
        // Whoever asked may have gone: then nobody misses the answer.
        match command {
            Command::Submit(submission) => self.on_submission(submission).await?,
            Command::Ask(question) => {
                self.catch_up().await?;
                // Before the answer: whoever has it, and looks at the events then, finds all that led to it.
                self.publish();
                question(&self.pool);
            }
            Command::Prioritise(txid, delta, reply) => {
                let _ = reply.send(self.pool.prioritise(txid, delta));
            }
            Command::Restore(found, reply) => self.restore_also(found, reply),
            Command::Save(reply) => {
                let _ = reply.send(self.save());
            }
            Command::Stop => {}
        }
        Ok(())
    }

    /// Takes in everything that is published, and waits a moment for the events of a tip that the reader shows already: judged
    /// against one tip and labelled with another, a transaction could spoil a block template.
    async fn catch_up(&mut self) -> Result<(), MempoolError> {
        for _ in 0..CATCH_UP_TRIES {
            self.drain()?;
            if self.pool.tip() == self.reader.tip().hash && !self.pool.is_unsettled() {
                return Ok(());
            }
            if let Ok(event) = tokio::time::timeout(CATCH_UP_WAIT, self.events.next()).await {
                self.on_event(event)?;
            }
        }
        // Blocks come faster than they can be followed, as while catching up with the network.
        Ok(())
    }

    fn drain(&mut self) -> Result<(), MempoolError> {
        while let Some(event) = self.events.try_next() {
            self.on_event(event)?;
        }
        Ok(())
    }

    fn on_event(&mut self, event: Result<(u64, Arc<Event>), Lagged>) -> Result<(), MempoolError> {
        let event = match event {
            Ok((_, event)) => event,
            Err(lagged) => {
                tracing::debug!(
                    missed = lagged.missed,
                    "the mempool missed events and judges everything anew"
                );
                self.orphans.clear();
                self.revision += 1;
                self.pool.unsettle();
                return self.settle();
            }
        };
        let event = match &*event {
            Event::Chain(event) => event,
            Event::Peer(PeerEvent::Disconnected { peer, .. }) => {
                self.orphans.forget_peer(peer);
                return Ok(());
            }
            Event::Peer(PeerEvent::Connected { .. }) | Event::Mempool(_) => return Ok(()),
        };
        self.revision += 1;
        match event {
            ChainEvent::Connected {
                hash,
                height,
                block,
            } => {
                self.pool.block_connected(*hash, *height, block);
                self.orphans_after_block(block);
            }
            ChainEvent::Disconnected { block, .. } => {
                self.pool
                    .block_disconnected(block.header.prev_block, Arc::clone(block));
            }
            ChainEvent::TipChanged { .. } => {
                if self.pool.is_unsettled() {
                    self.settle()?;
                } else if self.pool.has_more_to_return() {
                    self.readmit()?;
                }
                let now = (self.clock)();
                self.pool.expire(now);
                self.orphans.expire(now);
            }
            ChainEvent::Reorg { .. }
            | ChainEvent::HeadersAdvanced { .. }
            | ChainEvent::Rejected { .. } => {}
        }
        Ok(())
    }

    fn settle(&mut self) -> Result<(), MempoolError> {
        self.let_back(self.pool.wanted_coins_to_settle(), Pool::settle)
    }

    fn readmit(&mut self) -> Result<(), MempoolError> {
        self.let_back(self.pool.wanted_coins_to_readmit(), Pool::readmit)
    }

    fn let_back(&mut self, wanted: HashSet<OutPoint>, step: Step) -> Result<(), MempoolError> {
        // The tip first: if another comes while the coins are read, its events are still to come and correct what they must.
        let tip = self.reader.tip();
        let coins = self.coins(wanted).map_err(MempoolError::Storage)?;
        let (reader, cache) = (&self.reader, self.chain.signature_cache());
        let median_time_at = |height| reader.median_time_at(height);
        let view = view(reader, &tip, &coins, &median_time_at);
        step(&mut self.pool, &view, (self.clock)(), &mut |candidate| {
            verify_once(cache, candidate.txid(), &candidate.script_checks())
        });
        Ok(())
    }

    fn coins(
        &self,
        wanted: impl IntoIterator<Item = OutPoint>,
    ) -> Result<HashMap<OutPoint, Coin>, String> {
        let wanted: Vec<OutPoint> = wanted.into_iter().collect();
        let coins = self
            .reader
            .coins(&wanted)
            .map_err(|error| error.to_string())?;
        Ok(wanted
            .into_iter()
            .zip(coins)
            .filter_map(|(outpoint, coin)| Some((outpoint, coin?)))
            .collect())
    }

    fn publish(&mut self) {
        let events = self.pool.take_events();
        if events.is_empty() {
            return;
        }
        for event in events {
            self.chain.events().publish(Event::Mempool(event));
        }
        self.changed
            .send_modify(|count| *count = count.wrapping_add(1));
    }
}

fn view<'a>(
    reader: &'a ChainReader,
    tip: &Tip,
    coins: &'a HashMap<OutPoint, Coin>,
    median_time_at: &'a dyn Fn(u32) -> u32,
) -> ChainView<'a> {
    ChainView {
        spec: reader.spec(),
        tip: tip.hash,
        tip_height: tip.height,
        median_time_past: tip.median_time_past,
        median_time_at,
        coins,
    }
}

/// Verifies scripts unless mempool or chain did so before, and remembers it.
fn verify_once(
    cache: &SignatureCache,
    txid: Txid,
    checks: &ScriptChecks<'_>,
) -> Result<(), RuleError> {
    if !cache.contains(&txid) {
        checks.verify()?;
        cache.insert(txid);
    }
    Ok(())
}
