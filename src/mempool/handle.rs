//! How to ask the mempool: commands to its thread, each with a one-shot reply.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use super::entry::EntryInfo;
use super::error::RejectError;
use super::pool::{MempoolInfo, Pool};
use super::select::TemplateTransactions;
use crate::chain::Clock;
use crate::primitives::{Amount, OutPoint, PubkeyHash, ShortId, ShortIdKey, Transaction, Txid};

/// Where a transaction comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TxSource {
    /// This node: its wallet or RPC.
    Local,
    /// A peer.
    Peer,
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

/// A question to the pool that any thread may put; it runs on the mempool's own.
type Question = Box<dyn FnOnce(&Pool) + Send>;

/// What the thread is told.
pub(super) enum Command {
    /// Judge transactions, and take those that pass unless `dry_run`.
    Submit {
        transactions: Vec<Arc<Transaction>>,
        source: TxSource,
        dry_run: bool,
        reply: oneshot::Sender<Vec<Result<Accepted, RejectError>>>,
    },
    /// Answer a question.
    Ask(Question),
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

    /// Judges many transactions, which may depend on each other and come in any order. One answer each, in the order given.
    pub async fn submit_many<T: Into<Arc<Transaction>>>(
        &self,
        transactions: Vec<T>,
        source: TxSource,
    ) -> Vec<Result<Accepted, RejectError>> {
        let count = transactions.len();
        let (command, answer) = submission(transactions, source, false);
        match self.commands.send(command).await {
            Ok(()) => answer.await.unwrap_or_else(|_| stopped(count)),
            Err(_) => stopped(count),
        }
    }

    /// [`MempoolHandle::submit_many`] for OS threads.
    pub fn submit_many_blocking<T: Into<Arc<Transaction>>>(
        &self,
        transactions: Vec<T>,
        source: TxSource,
    ) -> Vec<Result<Accepted, RejectError>> {
        let count = transactions.len();
        let (command, answer) = submission(transactions, source, false);
        match self.commands.blocking_send(command) {
            Ok(()) => answer.blocking_recv().unwrap_or_else(|_| stopped(count)),
            Err(_) => stopped(count),
        }
    }

    /// What [`MempoolHandle::submit`] would say, changing nothing. One that is here already is
    /// [`RejectError::AlreadyInMempool`].
    ///
    /// # Errors
    /// Why it would be refused.
    pub async fn test_accept(
        &self,
        tx: impl Into<Arc<Transaction>>,
    ) -> Result<Accepted, RejectError> {
        let (command, answer) = submission(vec![tx.into()], TxSource::Local, true);
        match self.commands.send(command).await {
            Ok(()) => only(answer.await.unwrap_or_default()),
            Err(_) => Err(RejectError::Stopped),
        }
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

fn submission<T: Into<Arc<Transaction>>>(
    transactions: Vec<T>,
    source: TxSource,
    dry_run: bool,
) -> (
    Command,
    oneshot::Receiver<Vec<Result<Accepted, RejectError>>>,
) {
    let (reply, answer) = oneshot::channel();
    let command = Command::Submit {
        transactions: transactions.into_iter().map(Into::into).collect(),
        source,
        dry_run,
        reply,
    };
    (command, answer)
}

fn stopped(count: usize) -> Vec<Result<Accepted, RejectError>> {
    vec![Err(RejectError::Stopped); count]
}

fn only(answers: Vec<Result<Accepted, RejectError>>) -> Result<Accepted, RejectError> {
    answers
        .into_iter()
        .next()
        .unwrap_or(Err(RejectError::Stopped))
}
