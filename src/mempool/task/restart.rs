//! From one run of the node to the next: what waited is written when the task ends and judged anew when it starts.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::Task;
use super::intake::{Arriving, Purpose};
use crate::mempool::admission::{Arrival, Occasion};
use crate::mempool::error::MempoolError;
use crate::mempool::handle::Mode;
use crate::mempool::saved::{self, Saved};

/// Transactions of a file that are judged at once: enough to keep all cores busy, few enough that commands get their turn.
const PORTION: usize = 256;

/// What files held and was not judged yet.
#[derive(Default)]
pub(super) struct Restoring {
    queue: VecDeque<Saved>,
    /// Those that are being judged.
    in_work: Vec<Saved>,
    /// Whoever waits for the end.
    waiting: Vec<oneshot::Sender<()>>,
}

impl Restoring {
    /// Whether something is left to be judged, or somebody to be told that nothing is.
    fn has_more(&self) -> bool {
        !self.queue.is_empty() || !self.waiting.is_empty()
    }

    pub(super) fn judged(&mut self) {
        self.in_work.clear();
    }
}

impl Task {
    pub(super) fn may_restore(&self) -> bool {
        self.restoring.in_work.is_empty() && (!self.pool.is_loaded || self.restoring.has_more())
    }

    pub(super) fn load(&mut self) {
        let Some(path) = &self.file else {
            return;
        };
        match saved::load(path) {
            Ok((found, damage)) => {
                if let Some(damage) = damage {
                    let file = path.display();
                    tracing::warn!(%file, kept = found.len(), "the file of waiting transactions is damaged: {damage}");
                }
                self.pool.is_loaded = found.is_empty();
                self.restoring.queue = found.into();
            }
            Err(error) => {
                let file = path.display();
                tracing::warn!(%file, "the file of waiting transactions cannot be read: {error}");
            }
        }
    }

    /// Takes in another file, after what is not judged yet; `reply` is told when all is.
    pub(super) fn restore_also(&mut self, found: Vec<Saved>, reply: oneshot::Sender<()>) {
        self.restoring.queue.extend(found);
        self.restoring.waiting.push(reply);
    }

    /// Judges some of what files held. What has expired, or is no longer valid, is dropped without a word.
    pub(super) async fn restore(&mut self) -> Result<(), MempoolError> {
        let now = (self.clock)();
        let oldest = now.saturating_sub(self.pool.policy.expiry);
        let mut items = Vec::new();
        while items.len() < PORTION {
            let Some(saved) = self.restoring.queue.pop_front() else {
                break;
            };
            if saved.time <= oldest {
                continue;
            }
            let txid = saved.tx.txid();
            if saved.priority != 0 && self.pool.priority_of(&txid) == 0 {
                // Where there are too many, the operator has given others since.
                let _ = self.pool.prioritise(txid, saved.priority);
            }
            items.push(Arriving {
                txid,
                tx: Arc::clone(&saved.tx),
                arrival: Arrival {
                    time: saved.time,
                    local: saved.local,
                    relay: saved.local,
                    occasion: Occasion::New,
                    max_fee_rate: None,
                },
            });
            self.restoring.in_work.push(saved);
        }
        if !items.is_empty() {
            return self.begin(items, Mode::Each, Purpose::Restore).await;
        }
        if !self.pool.is_loaded {
            self.pool.is_loaded = true;
            let count = self.pool.len();
            tracing::info!(count, "the mempool of the last run is loaded");
        }
        for reply in self.restoring.waiting.drain(..) {
            // Whoever asked may have gone.
            let _ = reply.send(());
        }
        Ok(())
    }

    /// Writes the file: what waits, and what was not judged yet.
    pub(super) fn save(&self) -> Result<PathBuf, String> {
        let path = self
            .file
            .as_ref()
            .ok_or("this mempool is not kept in a file")?;
        // In the order of arrival, which decides among equals: no transaction arrives before what it depends on.
        let mut entries: Vec<_> = self.pool.entries.values().collect();
        entries.sort_unstable_by_key(|entry| entry.arrival);
        let waiting: Vec<Saved> = entries
            .into_iter()
            .map(|entry| Saved {
                tx: Arc::clone(&entry.tx),
                time: entry.time,
                local: entry.local,
                priority: entry.priority,
            })
            .collect();
        let Restoring { queue, in_work, .. } = &self.restoring;
        saved::save(path, waiting.iter().chain(in_work).chain(queue))
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        Ok(path.clone())
    }

    pub(super) fn save_at_the_end(&self) {
        if self.file.is_some()
            && let Err(error) = self.save()
        {
            tracing::warn!("the waiting transactions are not kept: {error}");
        }
    }
}
