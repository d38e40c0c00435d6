//! The last judgement of a batch, and what is taken of it.

use std::collections::HashSet;
use std::sync::Arc;

use super::intake::{Batch, Purpose};
use super::{Task, verify_once, view};
use crate::mempool::admission::{Arrival, Candidate, Occasion};
use crate::mempool::error::{MempoolError, RejectError};
use crate::mempool::handle::{Accepted, Mode, PackageAnswer};
use crate::primitives::{OutPoint, Txid};

impl Task {
    /// Judges a batch, takes what passes, and does what the batch was for.
    pub(super) async fn finish(&mut self, mut batch: Batch) -> Result<(), MempoolError> {
        self.catch_up().await?;
        if self.revision != batch.revision {
            batch.coins = self.coins_of_batch(&batch.items)?;
        }
        let outcome = match batch.mode {
            Mode::Each => self.take_each(&batch),
            Mode::Package => self.take_package(&batch),
            Mode::DryRun => self.try_out(&batch),
        };
        self.orphans_after_batch(&batch, &outcome.answers);
        self.publish();
        match batch.purpose {
            Purpose::Answer(_, reply) => {
                // Whoever asked may have gone.
                let _ = reply.send(outcome);
            }
            Purpose::Restore => self.restoring.judged(),
            Purpose::Adopt => self.adopting = false,
        }
        Ok(())
    }

    fn take_each(&mut self, batch: &Batch) -> PackageAnswer {
        let mut outcome = PackageAnswer::refused(batch.items.len());
        for place in &batch.order {
            outcome.answers[*place] = self.take(batch, *place);
        }
        outcome
    }

    fn take(&mut self, batch: &Batch, place: usize) -> Result<Accepted, RejectError> {
        let item = &batch.items[place];
        if let Some(known) = self.known(&item.txid) {
            return Ok(known);
        }
        let candidate = self.judge(batch, place, item.arrival)?;
        let accepted = Accepted::of(&candidate);
        self.pool.insert(candidate, (self.clock)())?;
        Ok(accepted)
    }

    /// What is in the pool already is no error.
    fn known(&self, txid: &Txid) -> Option<Accepted> {
        let entry = self.pool.entries.get(txid)?;
        Some(Accepted {
            txid: *txid,
            fee: entry.fee,
            size: entry.own.size,
            newly: false,
        })
    }

    /// Every rule, the scripts included.
    fn judge(
        &self,
        batch: &Batch,
        place: usize,
        arrival: Arrival,
    ) -> Result<Candidate, RejectError> {
        let item = &batch.items[place];
        let tip = self.reader.tip();
        let reader = &self.reader;
        let median_time_at = |height| reader.median_time_at(height);
        let view = view(reader, &tip, &batch.coins, &median_time_at);
        let (tx, now) = (Arc::clone(&item.tx), (self.clock)());
        let candidate = self
            .pool
            .check_arrival(tx, item.txid, &view, arrival, now)?;
        match &batch.scripts[place] {
            Some(verdict) => verdict.clone()?,
            // It was not worth it before, and is now.
            None => verify_once(
                self.chain.signature_cache(),
                item.txid,
                &candidate.script_checks(),
            )?,
        }
        candidate.check_highest_fee(arrival.max_fee_rate)?;
        Ok(candidate)
    }

    /// Each as if those before it were there.
    fn try_out(&mut self, batch: &Batch) -> PackageAnswer {
        let mut outcome = PackageAnswer::refused(batch.items.len());
        let mut tried = Vec::new();
        for place in &batch.order {
            let item = &batch.items[*place];
            let judged = self.judge(batch, *place, item.arrival);
            let judged = judged.and_then(|candidate| {
                if batch.items.len() > 1 {
                    candidate.replaces_nothing()?;
                }
                Ok(candidate)
            });
            outcome.answers[*place] = judged.map(|candidate| {
                let accepted = Accepted::of(&candidate);
                if batch.items.len() > 1 {
                    tried.push(item.txid);
                    self.pool.insert_quietly(candidate);
                }
                accepted
            });
        }
        for txid in tried.iter().rev() {
            self.pool.unlink(txid);
        }
        outcome
    }

    /// Those that pass alone are taken. Those that pay too little are taken together with the child, the last, if they all pay
    /// enough together; otherwise none of them is (Bitcoin Core, `AcceptPackage`).
    fn take_package(&mut self, batch: &Batch) -> PackageAnswer {
        let mut outcome = PackageAnswer::refused(batch.items.len());
        let mut poor: Vec<usize> = Vec::new();
        let mut replaced = HashSet::new();
        for place in &batch.order {
            let item = &batch.items[*place];
            let answer = match self.known(&item.txid) {
                Some(known) => Ok(known),
                None => self
                    .judge(batch, *place, item.arrival)
                    .and_then(|candidate| {
                        let accepted = Accepted::of(&candidate);
                        let all = candidate.replaced.all.clone();
                        self.pool.insert(candidate, (self.clock)())?;
                        replaced.extend(all);
                        Ok(accepted)
                    }),
            };
            let waits = |outpoint: &OutPoint| {
                let mut waiting = poor.iter().map(|place| batch.items[*place].txid);
                waiting.any(|txid| txid == outpoint.txid)
            };
            match &answer {
                Err(RejectError::FeeTooLow { .. } | RejectError::BelowFloor { .. }) => {
                    poor.push(*place);
                }
                Err(RejectError::MissingInputs { outpoint }) if waits(outpoint) => {
                    poor.push(*place);
                }
                Ok(_) | Err(_) => {}
            }
            outcome.answers[*place] = answer;
        }
        outcome.replaced = replaced.into_iter().collect();
        if poor.len() > 1 {
            self.take_together(batch, &poor, &mut outcome);
        }
        outcome
    }

    fn take_together(&mut self, batch: &Batch, poor: &[usize], outcome: &mut PackageAnswer) {
        let now = (self.clock)();
        let mut taken: Vec<Accepted> = Vec::new();
        let mut failure = None;
        for place in poor {
            let arrival = Arrival {
                occasion: Occasion::InPackage,
                ..batch.items[*place].arrival
            };
            match self.judge(batch, *place, arrival) {
                Ok(candidate) => {
                    taken.push(Accepted::of(&candidate));
                    self.pool.insert_quietly(candidate);
                }
                Err(error) => {
                    failure = Some((*place, error));
                    break;
                }
            }
        }
        let txids: Vec<Txid> = taken.iter().map(|accepted| accepted.txid).collect();
        let sums = self.pool.sums(&txids);
        let result = match failure {
            Some(failure) => Err(failure),
            None => {
                let last = poor[poor.len() - 1];
                let enough = self.pool.check_package_fee(&sums, now);
                enough.map_err(|error| (last, error))
            }
        };
        match result {
            Err((place, error)) => {
                for txid in txids.iter().rev() {
                    self.pool.unlink(txid);
                }
                outcome.answers[place] = Err(error);
            }
            Ok(()) => {
                self.pool.welcome(&txids, now);
                for (place, accepted) in poor.iter().zip(taken) {
                    let kept = self.pool.entries.contains_key(&accepted.txid);
                    let full = Err(RejectError::Full);
                    outcome.answers[*place] = if kept { Ok(accepted) } else { full };
                }
                outcome.rate = Some(sums.rate());
                outcome.together = txids;
            }
        }
    }
}

impl Accepted {
    fn of(candidate: &Candidate) -> Self {
        Self {
            txid: candidate.txid(),
            fee: candidate.fee(),
            size: candidate.size(),
            newly: true,
        }
    }
}
