//! Blocks that are connected and disconnected.
//!
//! A block that is connected takes its transactions out, and with them whatever spends the same coins. Blocks that are
//! disconnected are kept until the tip stands still: then their transactions come back, oldest block first, and everything that
//! waits is judged anew against the new tip, since coins may have gone, matured less or be locked again.
//!
//! A block can hold a chain of thousands of payments, and the work for each grows with the number of those it depends on. So of a
//! longer chain the first part comes back at once; the rest waits outside, and each block that confirms some lets in as many more.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use super::admission::{Arrival, Candidate, ChainView, Occasion};
use super::error::RejectError;
use super::pool::Pool;
use crate::chain::{MempoolEvent, RemovalReason};
use crate::consensus::RuleError;
use crate::primitives::{Block, BlockHash, Encode, OutPoint, Transaction, Txid};

/// The most bytes of disconnected blocks that are kept (Bitcoin Core, `MAX_DISCONNECTED_TX_POOL_BYTES`). Beyond it a very deep
/// reorganisation loses the transactions of the highest blocks; their senders must send them again.
const MAX_RETURNED_BYTES: usize = 20_000_000;

/// Disconnected blocks, the lowest first.
#[derive(Debug, Default)]
pub(super) struct Returned {
    blocks: VecDeque<(Arc<Block>, usize)>,
    bytes: usize,
    /// Whether anything was disconnected, kept or not.
    any: bool,
    /// What depends on too many to come back yet, in order.
    later: Later,
}

#[derive(Debug, Default)]
struct Later {
    queue: Vec<Comeback>,
    txids: HashSet<Txid>,
    bytes: usize,
}

/// A transaction that asks to be let in again.
#[derive(Debug)]
struct Comeback {
    tx: Arc<Transaction>,
    txid: Txid,
    arrival: Arrival,
}

impl Pool {
    /// The block at `height` has become the tip. Its coinbase is passed over: nothing here can spend what it spends.
    pub fn block_connected(&mut self, hash: BlockHash, height: u32, block: &Block) {
        self.tip = hash;
        self.estimator.block(height);
        if self.entries.is_empty() && self.priorities.is_empty() {
            return;
        }
        for tx in block.transactions.iter().skip(1) {
            let txid = tx.txid();
            self.priorities.remove(&txid);
            self.confirm(&txid, height);
            for input in &tx.inputs {
                if let Some(other) = self.spends.get(&input.previous_output).copied() {
                    self.remove_with_descendants(&other, RemovalReason::Conflict);
                }
            }
        }
    }

    /// Takes out what a block confirms, and before it what must then have been confirmed too.
    fn confirm(&mut self, txid: &Txid, height: u32) {
        let Some(entry) = self.entries.get(txid) else {
            return;
        };
        let mut confirmed = self.ancestors_of(&entry.parents);
        confirmed.sort_by_key(|txid| self.entries[txid].ancestors.count);
        confirmed.push(*txid);
        for txid in confirmed {
            self.estimator.confirmed(&txid, height);
            self.unlink(&txid);
            self.events.push(MempoolEvent::Removed {
                txid,
                reason: RemovalReason::Confirmed,
            });
        }
    }

    /// The tip was taken off the chain; `parent` is the tip now. The pool is right again after [`Pool::settle`].
    pub fn block_disconnected(&mut self, parent: BlockHash, block: Arc<Block>) {
        self.tip = parent;
        let returned = &mut self.returned;
        returned.any = true;
        let bytes = block.encoded_len();
        returned.bytes += bytes;
        returned.blocks.push_front((block, bytes));
        while returned.bytes > MAX_RETURNED_BYTES {
            let Some((_, bytes)) = returned.blocks.pop_back() else {
                break;
            };
            returned.bytes -= bytes;
        }
    }

    /// Whether [`Pool::settle`] has something to do.
    pub const fn is_unsettled(&self) -> bool {
        self.returned.any
    }

    /// The coins of the chain that [`Pool::settle`] needs.
    pub fn wanted_coins_to_settle(&self) -> HashSet<OutPoint> {
        let returned = self.returned.transactions().map(|tx| (tx.txid(), tx));
        let waiting = self.entries.values().map(|entry| (entry.txid, &*entry.tx));
        let mut wanted = self.wanted_coins_to_readmit();
        for (txid, tx) in returned.chain(waiting) {
            wanted.extend(Self::wanted_coins(tx, txid));
        }
        wanted
    }

    /// Whether [`Pool::readmit`] may have something to do after a block.
    pub fn has_more_to_return(&self) -> bool {
        !self.returned.later.queue.is_empty()
    }

    /// The coins of the chain that [`Pool::readmit`] needs.
    pub fn wanted_coins_to_readmit(&self) -> HashSet<OutPoint> {
        let later = self.returned.later.queue.iter();
        later
            .flat_map(|comeback| Self::wanted_coins(&comeback.tx, comeback.txid))
            .collect()
    }

    /// Lets in what depended on too many before the latest block. The arguments are those of [`Pool::settle`].
    pub fn readmit(
        &mut self,
        view: &ChainView<'_>,
        now: u64,
        verify: &mut dyn FnMut(&Candidate) -> Result<(), RuleError>,
    ) {
        let later = std::mem::take(&mut self.returned.later);
        for comeback in later.queue {
            match self.judge_comeback(&comeback, view, now, verify) {
                Ok(candidate) => {
                    // Where it is the least worth keeping it was told so, and nobody waits for the answer.
                    let _ = self.insert(candidate, now);
                }
                Err(error) => self.returned.later.put_off(comeback, &error),
            }
        }
    }

    fn judge_comeback(
        &self,
        comeback: &Comeback,
        view: &ChainView<'_>,
        now: u64,
        verify: &mut dyn FnMut(&Candidate) -> Result<(), RuleError>,
    ) -> Result<Candidate, RejectError> {
        let Comeback { tx, txid, arrival } = comeback;
        let candidate = self.check_arrival(Arc::clone(tx), *txid, view, *arrival, now)?;
        verify(&candidate)?;
        Ok(candidate)
    }

    /// Lets the transactions of disconnected blocks in again and judges everything anew. `verify` checks the scripts of one, or
    /// knows that they were checked. `now` is in seconds since 1970.
    pub fn settle(
        &mut self,
        view: &ChainView<'_>,
        now: u64,
        verify: &mut dyn FnMut(&Candidate) -> Result<(), RuleError>,
    ) {
        let returned = std::mem::take(&mut self.returned);
        let before: HashSet<Txid> = self.entries.keys().copied().collect();
        let mut queue: Vec<Comeback> = returned
            .transactions()
            .map(|tx| Comeback {
                tx: Arc::new(tx.clone()),
                txid: tx.txid(),
                arrival: Arrival {
                    time: now,
                    local: false,
                    relay: false,
                    occasion: Occasion::Returning,
                    max_fee_rate: None,
                },
            })
            .collect();
        queue.extend(self.parents_first().map(|entry| Comeback {
            tx: Arc::clone(&entry.tx),
            txid: entry.txid,
            arrival: Arrival {
                time: entry.time,
                local: entry.local,
                relay: entry.relay,
                occasion: Occasion::Returning,
                max_fee_rate: None,
            },
        }));
        queue.extend(returned.later.queue);
        self.clear();
        self.tip = view.tip;
        let mut reasons = Vec::new();
        for comeback in queue {
            match self.judge_comeback(&comeback, view, now, verify) {
                Ok(candidate) => self.insert_quietly(candidate),
                Err(error) => {
                    if before.contains(&comeback.txid) {
                        reasons.push((comeback.txid, removal_reason(&error)));
                    }
                    self.returned.later.put_off(comeback, &error);
                }
            }
        }
        let evicted = self.make_room(now).into_iter();
        reasons.extend(evicted.map(|txid| (txid, RemovalReason::Evicted)));
        self.tell_difference(&before, reasons);
    }

    fn tell_difference(&mut self, before: &HashSet<Txid>, reasons: Vec<(Txid, RemovalReason)>) {
        let gone = reasons
            .into_iter()
            .filter(|(txid, _)| before.contains(txid) && !self.entries.contains_key(txid))
            .map(|(txid, reason)| MempoolEvent::Removed { txid, reason });
        let gone: Vec<_> = gone.collect();
        let new = self
            .parents_first()
            .filter(|entry| !before.contains(&entry.txid))
            .map(|entry| MempoolEvent::Added {
                tx: Arc::clone(&entry.tx),
                txid: entry.txid,
                fee: entry.fee,
                local: entry.local,
                relay: entry.relay,
            });
        let new: Vec<_> = new.collect();
        self.events.extend(gone);
        self.events.extend(new);
    }

    fn clear(&mut self) {
        self.entries.clear();
        self.spends.clear();
        self.for_mining.clear();
        self.for_keeping.clear();
        self.total = super::entry::Package::default();
        self.usage = 0;
    }

    /// Asks for everything to be judged anew: events of the chain were missed.
    pub fn unsettle(&mut self) {
        self.returned.any = true;
    }
}

impl Later {
    /// Keeps what `error` keeps out for now only: it, or one that it spends from, depends on too many.
    fn put_off(&mut self, comeback: Comeback, error: &RejectError) {
        let misses_later = |outpoint: &OutPoint| self.txids.contains(&outpoint.txid);
        let is_later = matches!(error, RejectError::TooLongChain { .. })
            || matches!(error, RejectError::MissingInputs { outpoint } if misses_later(outpoint));
        let bytes = comeback.tx.encoded_len();
        if is_later && self.bytes + bytes <= MAX_RETURNED_BYTES {
            self.bytes += bytes;
            self.txids.insert(comeback.txid);
            self.queue.push(comeback);
        }
    }
}

impl Returned {
    /// Every transaction but the coinbases, in the order of the chain.
    fn transactions(&self) -> impl Iterator<Item = &Transaction> {
        let blocks = self.blocks.iter();
        blocks.flat_map(|(block, _)| block.transactions.iter().skip(1))
    }
}

/// Why something that waited is not let in again.
const fn removal_reason(error: &RejectError) -> RemovalReason {
    match error {
        // Connected again on the other branch, or while events were missed.
        RejectError::AlreadyKnown => RemovalReason::Confirmed,
        RejectError::Conflict { .. } => RemovalReason::Conflict,
        RejectError::Rule(_)
        | RejectError::Coinbase
        | RejectError::NotFinal { .. }
        | RejectError::MissingInputs { .. }
        | RejectError::AlreadyInMempool
        | RejectError::SpendsReplaced { .. }
        | RejectError::NewUnconfirmed { .. }
        | RejectError::ReplacementRate { .. }
        | RejectError::ReplacementFee { .. }
        | RejectError::TooManyReplaced { .. }
        | RejectError::ReplacementInPackage { .. }
        | RejectError::TooLarge { .. }
        | RejectError::TooManySigops { .. }
        | RejectError::Dust { .. }
        | RejectError::FeeTooLow { .. }
        | RejectError::FeeAboveLimit { .. }
        | RejectError::BelowFloor { .. }
        | RejectError::Full
        | RejectError::TooLongChain { .. }
        | RejectError::TooManyDescendants { .. }
        | RejectError::PackageTooLarge { .. }
        | RejectError::Stopped
        | RejectError::Storage(_) => RemovalReason::Reorg,
    }
}
