//! The way of a batch of transactions into the pool.
//!
//! It is judged twice. First, by all rules but the scripts, to find whose signatures are worth verifying: nobody can make this node
//! verify what it would refuse anyway. Those are verified on all cores, while the thread does other things. Then everything is
//! judged again in order, since pool and chain may have changed, and taken.

use std::collections::{HashMap, HashSet};
use std::panic::resume_unwind;
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::task::{JoinError, spawn_blocking};

use super::{Task, verify_once, view};
use crate::chain::SignatureCache;
use crate::consensus::{RuleError, ScriptChecks};
use crate::mempool::admission::{Arrival, Occasion};
use crate::mempool::error::MempoolError;
use crate::mempool::handle::{Mode, Offer, PackageAnswer, Submission, TxSource};
use crate::mempool::pool::Pool;
use crate::primitives::{Coin, OutPoint, PubkeyHash, Transaction, Txid, coins_of};

/// Inputs that a thread takes at once: about a millisecond of work.
const PIECE: usize = 16;

/// A transaction of a batch.
pub(super) struct Arriving {
    pub(super) txid: Txid,
    pub(super) tx: Arc<Transaction>,
    pub(super) arrival: Arrival,
}

/// What is done once a batch is judged.
pub(super) enum Purpose {
    /// Whoever sent it gets the verdicts; a peer's transactions may be kept as orphans.
    Answer(TxSource, oneshot::Sender<PackageAnswer>),
    /// It comes from a file.
    Restore,
    /// These were orphans.
    Adopt,
}

/// A batch on its way.
pub(super) struct Batch {
    pub(super) items: Vec<Arriving>,
    pub(super) mode: Mode,
    pub(super) purpose: Purpose,
    /// The places of the items, each after those it depends on.
    pub(super) order: Vec<usize>,
    /// The coins of the chain that it spends, and the count of the chain's events when they were read.
    pub(super) coins: HashMap<OutPoint, Coin>,
    pub(super) revision: u64,
    /// The verdict on the scripts of some of the items.
    pub(super) scripts: Vec<Option<Result<(), RuleError>>>,
}

/// The scripts of a transaction, to be verified on another thread.
struct Scripts {
    place: usize,
    txid: Txid,
    tx: Arc<Transaction>,
    key_hashes: Vec<PubkeyHash>,
}

impl Task {
    pub(super) async fn on_submission(
        &mut self,
        submission: Submission,
    ) -> Result<(), MempoolError> {
        let Submission {
            offers,
            source,
            mode,
            reply,
        } = submission;
        let now = (self.clock)();
        let local = source == TxSource::Local;
        let arriving = |(txid, Offer { tx, max_fee_rate })| Arriving {
            txid,
            tx,
            arrival: Arrival {
                time: now,
                local,
                relay: local,
                occasion: Occasion::New,
                max_fee_rate,
            },
        };
        let items = offers.into_iter().map(arriving).collect();
        self.begin(items, mode, Purpose::Answer(source, reply))
            .await
    }

    /// Starts a batch. Its scripts are verified elsewhere; [`Task::on_verified`] goes on with it.
    pub(super) async fn begin(
        &mut self,
        items: Vec<Arriving>,
        mode: Mode,
        purpose: Purpose,
    ) -> Result<(), MempoolError> {
        self.catch_up().await?;
        let mut batch = Batch {
            order: parents_first(&items),
            scripts: vec![None; items.len()],
            items,
            mode,
            purpose,
            coins: HashMap::new(),
            revision: self.revision,
        };
        batch.coins = self.coins_of_batch(&batch.items)?;
        let scripts = self.worth_verifying(&mut batch);
        if scripts.is_empty() {
            return self.finish(batch).await;
        }
        let pieces: Vec<_> = pieces(scripts)
            .into_iter()
            .map(|piece| {
                let cache = Arc::clone(self.chain.signature_cache());
                spawn_blocking(move || verify_piece(&cache, piece))
            })
            .collect();
        self.verifying.spawn(async move {
            for piece in pieces {
                for (place, verdict) in join(piece.await) {
                    batch.scripts[place] = Some(verdict);
                }
            }
            batch
        });
        Ok(())
    }

    pub(super) async fn on_verified(
        &mut self,
        batch: Result<Batch, JoinError>,
    ) -> Result<(), MempoolError> {
        self.finish(join(batch)).await
    }

    /// The coins of the chain that a batch spends. Those that it would make tell whether it is in the chain already; they are read
    /// only where a coin that is spent is missing.
    pub(super) fn coins_of_batch(
        &self,
        items: &[Arriving],
    ) -> Result<HashMap<OutPoint, Coin>, MempoolError> {
        let waits = |outpoint: &OutPoint| self.pool.entries.contains_key(&outpoint.txid);
        let spent = items.iter().flat_map(|item| &item.tx.inputs);
        let spent = spent.map(|input| input.previous_output);
        let mut coins = self
            .coins(spent.filter(|outpoint| !waits(outpoint)))
            .map_err(MempoolError::Storage)?;
        let suspects = items.iter().filter(|item| {
            let mut spent = item.tx.inputs.iter().map(|input| input.previous_output);
            spent.any(|outpoint| !coins.contains_key(&outpoint) && !waits(&outpoint))
        });
        let made: Vec<OutPoint> = suspects
            .flat_map(|item| Pool::wanted_coins(&item.tx, item.txid))
            .filter(|outpoint| !coins.contains_key(outpoint))
            .collect();
        coins.extend(self.coins(made).map_err(MempoolError::Storage)?);
        Ok(coins)
    }

    /// The scripts of those items that pass every other rule as things are now. Outputs within the batch count as coins, so that
    /// children are verified with their parents.
    fn worth_verifying(&self, batch: &mut Batch) -> Vec<Scripts> {
        let now = (self.clock)();
        let tip = self.reader.tip();
        let reader = &self.reader;
        let median_time_at = |height| reader.median_time_at(height);
        let view = view(reader, &tip, &batch.coins, &median_time_at);
        let needed: HashSet<Txid> = batch
            .items
            .iter()
            .flat_map(|item| &item.tx.inputs)
            .map(|input| input.previous_output.txid)
            .collect();
        let mut made: HashMap<OutPoint, Coin> = HashMap::new();
        let mut worth = Vec::new();
        for place in &batch.order {
            let Arriving { txid, tx, arrival } = &batch.items[*place];
            let is_child = tx
                .inputs
                .iter()
                .any(|input| made.contains_key(&input.previous_output));
            let spent = if is_child || batch.mode == Mode::Package {
                let asks_fee = batch.mode != Mode::Package;
                self.pool.appraise(tx, txid, &view, &made, asks_fee, now)
            } else {
                let tx = Arc::clone(tx);
                let candidate = self.pool.check_arrival(tx, *txid, &view, *arrival, now);
                candidate.map(|candidate| candidate.spent)
            };
            let Ok(spent) = spent else {
                continue;
            };
            if needed.contains(txid) {
                made.extend(coins_of(tx, *txid, tip.height.saturating_add(1), false));
            }
            if self.chain.signature_cache().contains(txid) {
                batch.scripts[*place] = Some(Ok(()));
                continue;
            }
            worth.push(Scripts {
                place: *place,
                txid: *txid,
                tx: Arc::clone(tx),
                key_hashes: spent.iter().map(|coin| coin.pubkey_hash).collect(),
            });
        }
        worth
    }
}

/// What a thread that verifies gives, or its panic.
fn join<T>(result: Result<T, JoinError>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => resume_unwind(error.into_panic()),
    }
}

fn pieces(scripts: Vec<Scripts>) -> Vec<Vec<Scripts>> {
    let mut pieces = Vec::new();
    let (mut piece, mut inputs) = (Vec::new(), 0);
    for one in scripts {
        inputs += one.key_hashes.len();
        piece.push(one);
        if inputs >= PIECE {
            pieces.push(std::mem::take(&mut piece));
            inputs = 0;
        }
    }
    pieces.push(piece);
    pieces
}

fn verify_piece(
    cache: &SignatureCache,
    piece: Vec<Scripts>,
) -> Vec<(usize, Result<(), RuleError>)> {
    let verdict = |scripts: Scripts| {
        let checks = ScriptChecks {
            tx: &scripts.tx,
            key_hashes: scripts.key_hashes,
        };
        (scripts.place, verify_once(cache, scripts.txid, &checks))
    };
    piece.into_iter().map(verdict).collect()
}

/// The places of the transactions, each after those it depends on, otherwise in the order given.
fn parents_first(transactions: &[Arriving]) -> Vec<usize> {
    let places: HashMap<Txid, usize> = transactions
        .iter()
        .enumerate()
        .map(|(place, item)| (item.txid, place))
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
            let inputs = &transactions[place].tx.inputs;
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

    fn spending(number: i32, parents: &[Txid]) -> Arriving {
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
        Arriving {
            txid: tx.txid(),
            tx: Arc::new(tx),
            arrival: Arrival {
                time: 0,
                local: true,
                relay: true,
                occasion: Occasion::New,
                max_fee_rate: None,
            },
        }
    }

    #[test]
    fn a_batch_is_judged_parents_first_and_otherwise_as_given() {
        let a = spending(1, &[]);
        let b = spending(2, &[a.txid]);
        let c = spending(3, &[a.txid, b.txid]);
        let d = spending(4, &[]);
        let batch = [c, d, b, a];
        assert_eq!(parents_first(&batch), [3, 2, 0, 1]);
    }
}
