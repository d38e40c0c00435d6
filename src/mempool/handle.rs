//! How to ask the mempool: commands to its thread, each with a one-shot reply.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use super::entry::EntryInfo;
use super::error::RejectError;
use super::orphans::PeerName;
use super::pool::{MempoolInfo, Pool};
use super::priority::{Priority, TooManyPriorities};
use super::rate::FeeRate;
use super::saved::{self, Saved};
use super::select::TemplateTransactions;
use crate::chain::Clock;
use crate::primitives::{Amount, OutPoint, PubkeyHash, ShortId, ShortIdKey, Transaction, Txid};

/// Where a transaction comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TxSource {
    /// This node: its wallet or RPC.
    Local,
    /// A peer. What it sends before the parents is kept for a while, within its quota.
    Peer(PeerName),
}

/// A transaction that is sent from here.
#[derive(Debug, Clone)]
pub struct Offer {
    /// The transaction.
    pub tx: Arc<Transaction>,
    /// The highest fee rate that its sender means to pay, in base units for 1000 bytes.
    pub max_fee_rate: Option<u64>,
}

impl Offer {
    /// At any fee.
    pub const fn new(tx: Arc<Transaction>) -> Self {
        Self {
            tx,
            max_fee_rate: None,
        }
    }
}

/// A transaction that was taken, or was here before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// Its id.
    pub txid: Txid,
    /// Its fee.
    pub fee: Amount,
    /// Its encoded size in bytes.
    pub size: u64,
    /// Whether it was not here before.
    pub newly: bool,
}

/// What the waiting transactions would change for the holder of a key, in base units.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AddressDelta {
    /// Outputs to the key.
    pub received: u128,
    /// Coins of the key that are spent.
    pub spent: u128,
    /// The transactions that do either, each after those it depends on.
    pub txids: Vec<Txid>,
}

/// What came of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageAnswer {
    /// The verdict on each transaction, in the order given.
    pub answers: Vec<Result<Accepted, RejectError>>,
    /// Those that were taken together, since not each pays enough alone.
    pub together: Vec<Txid>,
    /// The rate of those together.
    pub rate: Option<FeeRate>,
    /// What they replaced.
    pub replaced: Vec<Txid>,
}

impl PackageAnswer {
    /// Nothing of `count` transactions was taken, as the mempool has stopped.
    pub(super) fn refused(count: usize) -> Self {
        Self {
            answers: vec![Err(RejectError::Stopped); count],
            together: Vec::new(),
            rate: None,
            replaced: Vec::new(),
        }
    }
}

/// A question to the pool that any thread may put; it runs on the mempool's own.
type Question = Box<dyn FnOnce(&Pool) + Send>;

/// What is to be done with transactions that are given together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Each is judged by itself, and taken if it passes.
    Each,
    /// A child and its parents: it may pay for them.
    Package,
    /// Each is judged as if those before it were taken; nothing changes.
    DryRun,
}

/// Transactions for the thread, with their ids.
pub(super) struct Submission {
    pub(super) offers: Vec<(Txid, Offer)>,
    pub(super) source: TxSource,
    pub(super) mode: Mode,
    pub(super) reply: oneshot::Sender<PackageAnswer>,
}

/// What the thread is told.
pub(super) enum Command {
    /// Judge transactions, and take those that pass.
    Submit(Submission),
    /// Answer a question.
    Ask(Question),
    /// Add to the priority of a transaction.
    Prioritise(Txid, i64, oneshot::Sender<Result<(), TooManyPriorities>>),
    /// Judge what was read from a file; tells when it is done.
    Restore(Vec<Saved>, oneshot::Sender<()>),
    /// Write the file; tells its path, or why not.
    Save(oneshot::Sender<Result<PathBuf, String>>),
    /// End.
    Stop,
}

/// Access to the mempool. Clones share it.
///
/// Each question is answered by the mempool's thread, after every event of the chain that was published before. Once the mempool
/// has stopped, questions get empty answers and transactions [`RejectError::Stopped`].
///
/// # Panics
/// The `_blocking` forms panic on threads of the async runtime; they are for OS threads.
#[derive(Clone)]
pub struct MempoolHandle {
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) changed: watch::Receiver<u64>,
    pub(super) clock: Clock,
}

/// Defines a question in its two forms.
macro_rules! question {
    ($(#[$doc:meta])* $name:ident, $blocking:ident, ($($arg:ident: $type:ty),*) -> $answer:ty, |$pool:ident| $body:expr) => {
        $(#[$doc])*
        pub async fn $name(&self, $($arg: $type),*) -> $answer {
            let (question, answer) = ask(move |$pool: &Pool| $body);
            match self.commands.send(question).await {
                Ok(()) => answer.await.unwrap_or_default(),
                Err(_) => <$answer>::default(),
            }
        }

        /// The same, for OS threads.
        pub fn $blocking(&self, $($arg: $type),*) -> $answer {
            let (question, answer) = ask(move |$pool: &Pool| $body);
            match self.commands.blocking_send(question) {
                Ok(()) => answer.blocking_recv().unwrap_or_default(),
                Err(_) => <$answer>::default(),
            }
        }
    };
}

fn ask<A: Send + 'static>(
    question: impl FnOnce(&Pool) -> A + Send + 'static,
) -> (Command, oneshot::Receiver<A>) {
    let (reply, answer) = oneshot::channel();
    let question = move |pool: &Pool| {
        // Whoever asked may have gone; then nobody misses the answer.
        let _ = reply.send(question(pool));
    };
    (Command::Ask(Box::new(question)), answer)
}

impl MempoolHandle {
    question! {
        /// The transaction, if it waits.
        get, get_blocking, (txid: Txid) -> Option<Arc<Transaction>>, |pool| pool.get(&txid).cloned()
    }
    question! {
        /// Whether the transaction waits.
        contains, contains_blocking, (txid: Txid) -> bool, |pool| pool.get(&txid).is_some()
    }
    question! {
        /// Every id, the best to mine first.
        ids, ids_blocking, () -> Vec<Txid>, |pool| pool.ids().collect()
    }
    question! {
        /// The first `count` of those ids.
        first_ids, first_ids_blocking, (count: usize) -> Vec<Txid>, |pool| pool.ids().take(count).collect()
    }
    question! {
        /// What there is to know of one transaction.
        entry, entry_blocking, (txid: Txid) -> Option<EntryInfo>, |pool| pool.entry(&txid)
    }
    question! {
        /// What there is to know of all, the best to mine first.
        entries, entries_blocking, () -> Vec<EntryInfo>, |pool| pool.entries()
    }
    question! {
        /// Every transaction, each after those it depends on.
        transactions, transactions_blocking, () -> Vec<(Txid, Arc<Transaction>)>, |pool| pool.transactions()
    }
    question! {
        /// Which transaction spends a coin.
        spends, spends_blocking, (outpoint: OutPoint) -> Option<Txid>, |pool| pool.spender(&outpoint)
    }
    question! {
        /// What the waiting transactions would change for the holder of a key.
        address_delta, address_delta_blocking, (key: PubkeyHash) -> AddressDelta, |pool| pool.address_delta(&key)
    }
    question! {
        /// The transactions with these short ids, in that order; see [`Pool::by_short_ids`]. Empty once the mempool has stopped.
        by_short_ids, by_short_ids_blocking, (key: ShortIdKey, ids: Vec<ShortId>) -> Vec<Option<Arc<Transaction>>>,
        |pool| pool.by_short_ids(&key, &ids)
    }
    question! {
        /// The transactions for a block with room for `max_bytes` and `max_sigops`; `None` once the mempool has stopped.
        template, template_blocking, (max_bytes: u64, max_sigops: u64) -> Option<TemplateTransactions>,
        |pool| Some(pool.template(max_bytes, max_sigops))
    }

    /// Figures of the whole pool; `None` once the mempool has stopped.
    pub async fn info(&self) -> Option<MempoolInfo> {
        let (question, answer) = self.ask_info();
        self.commands.send(question).await.ok()?;
        answer.await.ok()
    }

    /// The same, for OS threads.
    pub fn info_blocking(&self) -> Option<MempoolInfo> {
        let (question, answer) = self.ask_info();
        self.commands.blocking_send(question).ok()?;
        answer.blocking_recv().ok()
    }

    fn ask_info(&self) -> (Command, oneshot::Receiver<MempoolInfo>) {
        let now = (self.clock)();
        ask(move |pool| pool.info(now))
    }

    question! {
        /// What there is to know of everything that a transaction here depends on; `None` where it is not here.
        ancestors, ancestors_blocking, (txid: Txid) -> Option<Vec<EntryInfo>>, |pool| pool.ancestors(&txid)
    }
    question! {
        /// What there is to know of everything that depends on a transaction here; `None` where it is not here.
        descendants, descendants_blocking, (txid: Txid) -> Option<Vec<EntryInfo>>, |pool| pool.descendants(&txid)
    }
    question! {
        /// Every id, the best to mine first, and the number of changes up to now.
        ids_at, ids_at_blocking, () -> (Vec<Txid>, u64), |pool| (pool.ids().collect(), pool.sequence())
    }
    question! {
        /// The transaction that spends each of some coins.
        spenders, spenders_blocking, (outpoints: Vec<OutPoint>) -> Vec<Option<Txid>>,
        |pool| outpoints.iter().map(|outpoint| pool.spender(outpoint)).collect()
    }
    question! {
        /// Every priority.
        priorities, priorities_blocking, () -> Vec<Priority>, |pool| pool.priorities()
    }

    /// Judges a transaction and takes it if it passes. One that is here already is no error: the answer says so.
    ///
    /// # Errors
    /// Why it is refused.
    pub async fn submit(
        &self,
        tx: impl Into<Arc<Transaction>>,
        source: TxSource,
    ) -> Result<Accepted, RejectError> {
        only(self.submit_many(vec![tx.into()], source).await)
    }

    /// [`MempoolHandle::submit`] for OS threads.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn submit_blocking(
        &self,
        tx: impl Into<Arc<Transaction>>,
        source: TxSource,
    ) -> Result<Accepted, RejectError> {
        only(self.submit_many_blocking(vec![tx.into()], source))
    }

    /// The same for many at once, which is quicker: their signatures are verified on all cores. One may come before what it depends
    /// on. The answers have the order of the transactions.
    pub async fn submit_many<T: Into<Arc<Transaction>>>(
        &self,
        transactions: Vec<T>,
        source: TxSource,
    ) -> Vec<Result<Accepted, RejectError>> {
        let offers = transactions.into_iter().map(|tx| Offer::new(tx.into()));
        let (command, answer, count) = submission(offers.collect(), source, Mode::Each);
        match self.commands.send(command).await {
            Ok(()) => {
                answer
                    .await
                    .unwrap_or_else(|_| PackageAnswer::refused(count))
                    .answers
            }
            Err(_) => PackageAnswer::refused(count).answers,
        }
    }

    /// [`MempoolHandle::submit_many`] for OS threads.
    pub fn submit_many_blocking<T: Into<Arc<Transaction>>>(
        &self,
        transactions: Vec<T>,
        source: TxSource,
    ) -> Vec<Result<Accepted, RejectError>> {
        let offers = transactions.into_iter().map(|tx| Offer::new(tx.into()));
        self.offer_blocking(offers.collect(), source)
    }

    /// [`MempoolHandle::submit_many`], each with the highest fee that is meant, for OS threads.
    pub fn offer_blocking(
        &self,
        offers: Vec<Offer>,
        source: TxSource,
    ) -> Vec<Result<Accepted, RejectError>> {
        self.send_blocking(submission(offers, source, Mode::Each))
            .answers
    }

    /// What [`MempoolHandle::offer_blocking`] would say of each if those before it were taken, changing nothing. One that is here
    /// already is [`RejectError::AlreadyInMempool`].
    pub fn test_accept_blocking(&self, offers: Vec<Offer>) -> Vec<Result<Accepted, RejectError>> {
        self.send_blocking(submission(offers, TxSource::Local, Mode::DryRun))
            .answers
    }

    /// Judges a child, the last of `offers`, and its parents. Those of the parents that pay too little alone are taken if the child
    /// pays for them; nothing is taken of them otherwise.
    pub fn submit_package_blocking(&self, offers: Vec<Offer>) -> PackageAnswer {
        self.send_blocking(submission(offers, TxSource::Local, Mode::Package))
    }

    fn send_blocking(
        &self,
        (command, answer, count): (Command, oneshot::Receiver<PackageAnswer>, usize),
    ) -> PackageAnswer {
        match self.commands.blocking_send(command) {
            Ok(()) => answer
                .blocking_recv()
                .unwrap_or_else(|_| PackageAnswer::refused(count)),
            Err(_) => PackageAnswer::refused(count),
        }
    }

    /// Adds to the priority of a transaction, here or not, in base units.
    ///
    /// # Errors
    /// A sentence: there are too many, or the mempool has stopped.
    pub fn prioritise_blocking(&self, txid: Txid, delta: i64) -> Result<(), String> {
        let (reply, answer) = oneshot::channel();
        let stopped = || RejectError::Stopped.to_string();
        self.commands
            .blocking_send(Command::Prioritise(txid, delta, reply))
            .map_err(|_| stopped())?;
        let result = answer.blocking_recv().map_err(|_| stopped())?;
        result.map_err(|error| error.to_string())
    }

    /// The fee rate, in base units for 1000 bytes, with which a transaction is expected to be in one of the next `target` blocks
    /// of `max_block_size` bytes; `None` while too little was seen. See [`Pool::estimate_fee`].
    pub fn estimate_fee_blocking(&self, target: u32, max_block_size: u32) -> Option<u64> {
        let now = (self.clock)();
        let (question, answer) = ask(move |pool| pool.estimate_fee(target, max_block_size, now));
        self.commands.blocking_send(question).ok()?;
        answer.blocking_recv().ok()?
    }

    /// Writes the file of waiting transactions now, as happens when the node stops; tells where it is.
    ///
    /// # Errors
    /// A sentence: there is no such file, the disk failed, or the mempool has stopped.
    pub fn save_blocking(&self) -> Result<PathBuf, String> {
        let (reply, answer) = oneshot::channel();
        let stopped = || RejectError::Stopped.to_string();
        self.commands
            .blocking_send(Command::Save(reply))
            .map_err(|_| stopped())?;
        answer.blocking_recv().unwrap_or_else(|_| Err(stopped()))
    }

    /// Judges the transactions of a file that [`MempoolHandle::save_blocking`] wrote, and takes those that pass. `as_new` lets them
    /// come now, otherwise they come when they came; priorities are not taken over. Returns when all are judged.
    ///
    /// # Errors
    /// A sentence: the file cannot be read, or the mempool has stopped.
    pub fn import_blocking(&self, path: &Path, as_new: bool) -> Result<(), String> {
        if !path.is_file() {
            return Err(format!("there is no file {}", path.display()));
        }
        let (mut found, damage) = saved::load(path)
            .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        if let Some(damage) = damage {
            return Err(format!("{} is damaged: {damage}", path.display()));
        }
        let now = (self.clock)();
        for saved in &mut found {
            if as_new {
                saved.time = now;
            }
            saved.priority = 0;
        }
        let (reply, answer) = oneshot::channel();
        let stopped = |_| RejectError::Stopped.to_string();
        let sent = self.commands.blocking_send(Command::Restore(found, reply));
        sent.map_err(|_| RejectError::Stopped.to_string())?;
        answer.blocking_recv().map_err(stopped)
    }

    /// A counter of the changes of the set of transactions, to wait for.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.changed.clone()
    }

    /// Asks the thread to end; commands sent before are still answered.
    pub async fn stop(&self) {
        // An error means that it has ended already.
        let _ = self.commands.send(Command::Stop).await;
    }

    /// The same for OS threads.
    pub fn stop_blocking(&self) {
        let _ = self.commands.blocking_send(Command::Stop);
    }
}

/// The command, where its answer comes, and how many verdicts that has.
fn submission(
    offers: Vec<Offer>,
    source: TxSource,
    mode: Mode,
) -> (Command, oneshot::Receiver<PackageAnswer>, usize) {
    let (reply, answer) = oneshot::channel();
    let count = offers.len();
    // The ids are made here, where many can make them at once.
    let offers = offers.into_iter().map(|offer| (offer.tx.txid(), offer));
    let command = Command::Submit(Submission {
        offers: offers.collect(),
        source,
        mode,
        reply,
    });
    (command, answer, count)
}

fn only(answers: Vec<Result<Accepted, RejectError>>) -> Result<Accepted, RejectError> {
    answers
        .into_iter()
        .next()
        .unwrap_or(Err(RejectError::Stopped))
}
