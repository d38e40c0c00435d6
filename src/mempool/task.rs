//! The OS thread `mempool`: the one owner of the pool.
//!
//! It runs a small executor of its own, so that commands and events of the chain wake it alike while checking signatures blocks
//! nobody else. Before each command it takes in what the chain has published.

mod restart;

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use super::admission::{Arrival, ChainView};
use super::error::{MempoolError, RejectError};
use super::handle::{Accepted, Command, MempoolHandle, TxSource};
use super::policy::Policy;
use super::pool::Pool;
use super::saved::Saved;
use crate::chain::{
    ChainEvent, ChainHandle, ChainReader, Clock, Event, EventReader, Lagged, SignatureCache, Tip,
};
use crate::consensus::{RuleError, ScriptChecks};
use crate::primitives::{Coin, OutPoint, Transaction, Txid};

/// Commands that may wait. Beyond, senders wait in turn: memory stays bounded when transactions come faster than they are checked.
const COMMAND_QUEUE: usize = 64;
/// How often, and how long each time, the thread waits for the events of a tip that the chain's reader shows already.
const CATCH_UP_TRIES: u32 = 100;
const CATCH_UP_WAIT: Duration = Duration::from_millis(2);

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
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
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
        restoring: VecDeque::new(),
        file,
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
    /// What the file held and was not judged yet.
    restoring: VecDeque<Saved>,
    file: Option<PathBuf>,
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
                command = commands.recv() => match command {
                    None | Some(Command::Stop) => {
                        self.save_at_the_end();
                        return Ok(());
                    }
                    Some(Command::Save(reply)) => {
                        let _ = reply.send(self.save());
                    }
                    Some(Command::Ask(question)) => {
                        self.catch_up().await?;
                        // Before the answer: whoever has it, and looks at the events then, finds all that led to it.
                        self.publish();
                        question(&self.pool);
                    }
                    Some(Command::Submit { transactions, source, dry_run, reply }) => {
                        let answers = self.submit(transactions, source, dry_run).await?;
                        self.publish();
                        // Whoever asked may have gone.
                        let _ = reply.send(answers);
                    }
                },
                () = std::future::ready(()), if !self.pool.is_loaded => self.restore().await?,
            }
            self.publish();
        }
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
                self.pool.unsettle();
                return self.settle();
            }
        };
        let Event::Chain(event) = &*event else {
            return Ok(());
        };
        match event {
            ChainEvent::Connected {
                hash,
                height,
                block,
            } => self.pool.block_connected(*hash, *height, block),
            ChainEvent::Disconnected { block, .. } => {
                self.pool
                    .block_disconnected(block.header.prev_block, Arc::clone(block));
            }
            ChainEvent::TipChanged { .. } => {
                if self.pool.is_unsettled() {
                    self.settle()?;
                }
                self.pool.expire((self.clock)());
            }
            ChainEvent::Reorg { .. }
            | ChainEvent::HeadersAdvanced { .. }
            | ChainEvent::Rejected { .. } => {}
        }
        Ok(())
    }

    fn settle(&mut self) -> Result<(), MempoolError> {
        let wanted = self.pool.wanted_coins_to_settle();
        // The tip first: if another comes while the coins are read, its events are still to come and correct what they must.
        let tip = self.reader.tip();
        let coins = self.coins(wanted).map_err(MempoolError::Storage)?;
        let (reader, cache) = (&self.reader, self.chain.signature_cache());
        let median_time_at = |height| reader.median_time_at(height);
        let view = view(reader, &tip, &coins, &median_time_at);
        self.pool.settle(&view, (self.clock)(), &mut |candidate| {
            verify_once(cache, candidate.txid(), &candidate.script_checks())
        });
        Ok(())
    }

    async fn submit(
        &mut self,
        transactions: Vec<Arc<Transaction>>,
        source: TxSource,
        dry_run: bool,
    ) -> Result<Vec<Result<Accepted, RejectError>>, MempoolError> {
        let transactions: Vec<_> = transactions.into_iter().map(|tx| (tx.txid(), tx)).collect();
        let mut answers = vec![Err(RejectError::Stopped); transactions.len()];
        for index in parents_first(&transactions) {
            let (txid, tx) = &transactions[index];
            self.catch_up().await?;
            let arrival = Arrival {
                time: (self.clock)(),
                local: source == TxSource::Local,
                returning: false,
            };
            let answer = self.judge(*txid, tx, arrival, dry_run);
            if let Err(RejectError::Storage(error)) = answer {
                return Err(MempoolError::Storage(error));
            }
            answers[index] = answer;
        }
        Ok(answers)
    }

    fn judge(
        &mut self,
        txid: Txid,
        tx: &Arc<Transaction>,
        arrival: Arrival,
        dry_run: bool,
    ) -> Result<Accepted, RejectError> {
        let now = (self.clock)();
        let tip = self.reader.tip();
        let spec = self.reader.spec();
        let cheap =
            self.pool
                .check_without_coins(spec, tx, &txid, tip.height, tip.median_time_past);
        match (cheap, self.pool.entry(&txid)) {
            (Err(RejectError::AlreadyInMempool), Some(entry)) if !dry_run => {
                return Ok(Accepted {
                    txid,
                    fee: entry.fee,
                    size: entry.size,
                    newly: false,
                });
            }
            (cheap, _) => cheap?,
        }
        let coins = self
            .coins(Pool::wanted_coins(tx, txid))
            .map_err(RejectError::Storage)?;
        let reader = &self.reader;
        let median_time_at = |height| reader.median_time_at(height);
        let view = view(reader, &tip, &coins, &median_time_at);
        let candidate = self
            .pool
            .check_arrival(Arc::clone(tx), txid, &view, arrival, now)?;
        verify_once(
            self.chain.signature_cache(),
            txid,
            &candidate.script_checks(),
        )?;
        let accepted = Accepted {
            txid,
            fee: candidate.fee(),
            size: candidate.size(),
            newly: true,
        };
        if !dry_run {
            self.pool.insert(candidate, now)?;
        }
        Ok(accepted)
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

/// The places of the transactions, each after those it depends on, otherwise in the order given.
fn parents_first(transactions: &[(Txid, Arc<Transaction>)]) -> Vec<usize> {
    let places: HashMap<Txid, usize> = transactions
        .iter()
        .enumerate()
        .map(|(place, (txid, _))| (*txid, place))
        .collect();
    let mut order = Vec::with_capacity(transactions.len());
    let mut seen = vec![false; transactions.len()];
    let mut stack: Vec<(usize, bool)> = (0..transactions.len())
        .rev()
        .map(|place| (place, false))
        .collect();
    while let Some((place, parents_done)) = stack.pop() {
        if parents_done {
            order.push(place);
        } else if !std::mem::replace(&mut seen[place], true) {
            stack.push((place, true));
            let inputs = &transactions[place].1.inputs;
            let parents = inputs
                .iter()
                .filter_map(|input| places.get(&input.previous_output.txid));
            stack.extend(
                parents
                    .filter(|parent| !seen[**parent])
                    .map(|parent| (*parent, false)),
            );
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primitives::{Script, TxIn};

    fn spending(number: i32, parents: &[Txid]) -> (Txid, Arc<Transaction>) {
        let inputs = parents.iter().map(|txid| TxIn {
            previous_output: OutPoint {
                txid: *txid,
                vout: 0,
            },
            script_sig: Script::default(),
            sequence: 0,
        });
        let tx = Transaction {
            version: number,
            inputs: inputs.collect(),
            outputs: Vec::new(),
            lock_time: 0,
        };
        (tx.txid(), Arc::new(tx))
    }

    #[test]
    fn a_batch_is_judged_parents_first_and_otherwise_as_given() {
        let a = spending(1, &[]);
        let b = spending(2, &[a.0]);
        let c = spending(3, &[a.0, b.0]);
        let d = spending(4, &[]);
        let batch = [c, d, b, a];
        assert_eq!(parents_first(&batch), [3, 2, 0, 1]);
    }
}
