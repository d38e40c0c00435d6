//! Orphans: kept when they come, judged again when what they spend from has come.

use super::Task;
use super::intake::{Arriving, Batch, Purpose};
use crate::mempool::admission::{Arrival, Occasion};
use crate::mempool::error::{MempoolError, RejectError};
use crate::mempool::handle::{Accepted, Mode, TxSource};
use crate::primitives::Block;

impl Task {
    /// What a judged batch means for the orphans: those of its transactions that miss something become some, if a peer sent them, and
    /// those that waited for one of the others are due.
    pub(super) fn orphans_after_batch(
        &mut self,
        batch: &Batch,
        answers: &[Result<Accepted, RejectError>],
    ) {
        if batch.mode == Mode::DryRun {
            return;
        }
        let now = (self.clock)();
        for (item, answer) in batch.items.iter().zip(answers) {
            match (answer, &batch.purpose) {
                (Ok(_), _) => {
                    self.orphans.remove(&item.txid);
                    self.orphans.parent_came(&item.txid);
                }
                (
                    Err(RejectError::MissingInputs { .. }),
                    Purpose::Answer(TxSource::Peer(peer), _),
                ) => {
                    let tx = std::sync::Arc::clone(&item.tx);
                    self.orphans.keep(item.txid, tx, peer, now);
                }
                // It misses more than one.
                (Err(RejectError::MissingInputs { .. }), Purpose::Adopt) => {}
                (Err(error), Purpose::Adopt) => {
                    // An honest peer has verified what it relays. Its other orphans are not worth more signatures.
                    let peer = self.orphans.peer_of(&item.txid);
                    if let Some(peer) = peer.filter(|_| error.is_senders_fault()) {
                        tracing::debug!(%peer, %error, "an orphan is invalid, all of this peer go");
                        self.orphans.forget_peer(&peer);
                    }
                    self.orphans.remove(&item.txid);
                }
                (Err(_), Purpose::Answer(..) | Purpose::Restore) => {}
            }
        }
    }

    /// A block has come: what it has is no orphan, and what waited for that is due.
    pub(super) fn orphans_after_block(&mut self, block: &Block) {
        if self.orphans.len() == 0 {
            return;
        }
        for tx in &block.transactions {
            let txid = tx.txid();
            self.orphans.remove(&txid);
            self.orphans.parent_came(&txid);
        }
    }

    /// Judges some of the orphans that are due.
    pub(super) async fn adopt(&mut self) -> Result<(), MempoolError> {
        let now = (self.clock)();
        let arriving = |(txid, tx)| Arriving {
            txid,
            tx,
            arrival: Arrival {
                time: now,
                local: false,
                // Nobody relayed it: the batch that it came with was not wholly valid here.
                relay: true,
                occasion: Occasion::New,
                max_fee_rate: None,
            },
        };
        let items: Vec<Arriving> = self
            .orphans
            .next_portion()
            .into_iter()
            .map(arriving)
            .collect();
        if items.is_empty() {
            return Ok(());
        }
        self.adopting = true;
        self.begin(items, Mode::Each, Purpose::Adopt).await
    }
}
