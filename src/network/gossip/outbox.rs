//! What waits to be published: batches being filled, and messages that nobody could take.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
};

use super::{recent::Form, settings::MAX_TRANSACTION_MESSAGE};
use crate::{
    primitives::{Block, BlockHash, Encode, Transaction},
    wire::{
        BlockGossip, encode_transaction_batch,
        limits::{BATCH_TARGET_BYTES, MAX_BATCH_TRANSACTIONS},
    },
};

/// A batch is published this many milliseconds after its first transaction, or when it is full.
const BATCH_DELAY: u64 = 100;
/// While batches stay small each waits twice as long as the one before, up to this: few transactions do not each cost a message.
const QUIET_DELAY: u64 = 500;
/// A batch of fewer transactions is small. Beyond, messages cost little for each transaction.
const SMALL_BATCH: usize = 8;
/// Batches that nobody could take yet. When there are more the oldest is forgotten: its
/// transactions are announced again while they stay in the mempool.
const MAX_WAITING: usize = 64;

/// A message for a topic.
#[derive(Debug, Clone)]
pub(in crate::network) enum Publication {
    /// Announces a block.
    Block {
        /// Its hash.
        hash: BlockHash,
        /// How it is announced.
        form: Form,
        /// The encoded message.
        data: Vec<u8>,
    },
    /// A batch of transactions.
    Transactions {
        /// What is in it.
        transactions: Vec<Arc<Transaction>>,
        /// The encoded message.
        data: Vec<u8>,
    },
}

impl Publication {
    /// Announces `block`, whose hash is `hash`; a large one by short ids where there is a nonce. Takes milliseconds for these.
    pub(in crate::network) fn block(hash: BlockHash, block: &Block, nonce: Option<u64>) -> Self {
        let message = BlockGossip::announce(block, nonce);
        Self::Block {
            hash,
            form: Form::of(&message),
            data: message.encode(),
        }
    }
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(in crate::network) struct Outbox {
    batch: Vec<Arc<Transaction>>,
    batch_bytes: usize,
    /// When the batch must go, if it is not empty.
    due: Option<u64>,
    /// Small batches in a row.
    quiet: u32,
    ready: VecDeque<Publication>,
    round: u32,
    /// Only the newest block is worth repeating.
    waiting_block: Option<Publication>,
    waiting: VecDeque<Vec<Arc<Transaction>>>,
}

impl Outbox {
    /// Adds a transaction to the batch. One that no message can hold is left to blocks.
    pub(in crate::network) fn add(&mut self, now: u64, transaction: Arc<Transaction>) {
        let bytes = transaction.encoded_len();
        if bytes > MAX_TRANSACTION_MESSAGE - BATCH_TARGET_BYTES / 2 {
            tracing::warn!(bytes, "a transaction is too large to be gossiped");
            return;
        }
        if self.batch_bytes + bytes > BATCH_TARGET_BYTES {
            self.close_batch();
        }
        self.batch.push(transaction);
        self.batch_bytes += bytes;
        let delay = BATCH_DELAY.saturating_mul(1 << self.quiet.min(8));
        self.due.get_or_insert(now + delay.min(QUIET_DELAY));
        if self.batch.len() >= MAX_BATCH_TRANSACTIONS || self.batch_bytes >= BATCH_TARGET_BYTES {
            self.quiet = 0;
            self.close_batch();
        }
    }

    /// Announces transactions again, and those that wait: in other messages than before, since gossip
    /// drops what it has seen.
    pub(in crate::network) fn repeat<'a>(
        &mut self,
        now: u64,
        transactions: impl Iterator<Item = &'a Arc<Transaction>>,
    ) {
        self.close_batch();
        self.round = self.round.wrapping_add(1);
        let mut added = HashSet::new();
        let waiting: Vec<_> = self.waiting.drain(..).flatten().collect();
        for transaction in waiting.into_iter().chain(transactions.map(Arc::clone)) {
            if added.insert(transaction.txid()) {
                self.add(now, transaction);
            }
        }
    }

    /// Batches that are full or old enough.
    pub(in crate::network) fn take_ready(&mut self, now: u64) -> VecDeque<Publication> {
        if self.due.is_some_and(|due| due <= now) {
            if self.batch.len() < SMALL_BATCH {
                self.quiet = self.quiet.saturating_add(1);
            } else {
                self.quiet = 0;
            }
            self.close_batch();
        }
        std::mem::take(&mut self.ready)
    }

    /// Keeps what nobody could take for the next subscription.
    pub(in crate::network) fn keep(&mut self, publication: Publication) {
        match publication {
            Publication::Block { .. } => self.waiting_block = Some(publication),
            Publication::Transactions { transactions, .. } => {
                if self.waiting.len() >= MAX_WAITING {
                    self.waiting.pop_front();
                }
                self.waiting.push_back(transactions);
            }
        }
    }

    /// The block that waited for a subscriber.
    pub(in crate::network) fn take_waiting_block(&mut self) -> Option<Publication> {
        self.waiting_block.take()
    }

    /// Whether transactions wait for [`Self::repeat`].
    pub(in crate::network) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    fn close_batch(&mut self) {
        self.due = None;
        self.batch_bytes = 0;
        let batch = std::mem::take(&mut self.batch);
        if !batch.is_empty() {
            let data = encode_transaction_batch(batch.iter().map(Arc::as_ref), self.round);
            self.ready.push_back(Publication::Transactions {
                transactions: batch,
                data,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        primitives::{OutPoint, Script, TxIn, TxOut, UncheckedAmount},
        wire::decode_transaction_batch,
    };

    fn transaction(tag: usize, script: usize) -> Arc<Transaction> {
        Arc::new(Transaction {
            version: 1,
            inputs: vec![TxIn {
                previous_output: OutPoint::NULL,
                script_sig: Script::from(vec![0x51; script]),
                sequence: u32::try_from(tag).unwrap(),
            }],
            outputs: vec![TxOut {
                value: UncheckedAmount(1),
                script_pubkey: Script::from(vec![0x52; 25]),
            }],
            lock_time: 0,
        })
    }

    fn sizes(publications: &VecDeque<Publication>) -> Vec<usize> {
        publications
            .iter()
            .map(|publication| match publication {
                Publication::Transactions { data, .. } => {
                    assert!(data.len() <= MAX_TRANSACTION_MESSAGE);
                    decode_transaction_batch(data).unwrap().len()
                }
                Publication::Block { .. } => panic!("no block was added"),
            })
            .collect()
    }

    #[test]
    fn a_batch_waits_a_moment_and_no_longer() {
        let mut outbox = Outbox::default();
        outbox.add(1_000, transaction(0, 100));
        outbox.add(1_050, transaction(1, 100));
        assert!(outbox.take_ready(1_099).is_empty());
        assert_eq!(sizes(&outbox.take_ready(1_100)), [2]);
        assert!(outbox.take_ready(9_999).is_empty());
    }

    #[test]
    fn batches_wait_longer_while_few_transactions_come() {
        let mut outbox = Outbox::default();
        let mut now = 0;
        for expected in [100, 200, 400, 500, 500] {
            outbox.add(now, transaction(0, 100));
            assert!(outbox.take_ready(now + expected - 1).is_empty());
            assert_eq!(sizes(&outbox.take_ready(now + expected)), [1]);
            now += 10_000;
        }
        for tag in 0..SMALL_BATCH {
            outbox.add(now, transaction(tag, 100));
        }
        assert_eq!(sizes(&outbox.take_ready(now + 500)), [SMALL_BATCH]);
        outbox.add(now, transaction(0, 100));
        assert_eq!(sizes(&outbox.take_ready(now + 100)), [1]);
    }

    #[test]
    fn batches_are_closed_by_count_and_by_bytes() {
        let mut outbox = Outbox::default();
        for tag in 0..300 {
            outbox.add(0, transaction(tag, 50));
        }
        assert_eq!(sizes(&outbox.take_ready(0)), [256]);
        assert_eq!(sizes(&outbox.take_ready(100)), [44]);
        for tag in 0..4 {
            outbox.add(200, transaction(tag, 30_000));
        }
        assert_eq!(sizes(&outbox.take_ready(200)), [2]);
        assert_eq!(sizes(&outbox.take_ready(300)), [2]);
    }

    #[test]
    fn what_waits_is_bounded_and_only_the_newest_block_is_kept() {
        let mut outbox = Outbox::default();
        for i in 0..200 {
            outbox.keep(Publication::Transactions {
                transactions: vec![transaction(usize::from(i), 10)],
                data: Vec::new(),
            });
            outbox.keep(Publication::Block {
                hash: BlockHash::from_bytes([i; 32]),
                form: Form::Whole,
                data: vec![i],
            });
        }
        let block = outbox.take_waiting_block();
        assert!(matches!(block, Some(Publication::Block { data, .. }) if data == [199]));
        assert!(outbox.take_waiting_block().is_none());
        assert_eq!(outbox.waiting.len(), MAX_WAITING);
        outbox.repeat(0, std::iter::empty());
        assert!(!outbox.has_waiting());
        assert_eq!(sizes(&outbox.take_ready(1_000)), [MAX_WAITING]);
    }

    /// gossipsub takes a message for published that no queue had room for: the same bytes never go out again.
    #[test]
    fn what_was_not_taken_goes_in_other_bytes() {
        let mut outbox = Outbox::default();
        outbox.add(0, transaction(1, 10));
        let first = outbox.take_ready(1_000).remove(0).unwrap();
        let Publication::Transactions { data, .. } = &first else {
            panic!("no block was added");
        };
        let before = data.clone();
        outbox.keep(first);
        let own = [transaction(1, 10), transaction(2, 10)];
        outbox.repeat(1_000, own.iter());
        let again = outbox.take_ready(2_000);
        assert_eq!(sizes(&again), [2], "each transaction once");
        assert!(matches!(&again[0], Publication::Transactions { data, .. } if *data != before));
    }
}
