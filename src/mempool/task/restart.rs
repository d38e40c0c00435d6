//! From one run of the node to the next: what waited is written when the task ends and judged anew when it starts.

use std::path::PathBuf;
use std::sync::Arc;

use super::Task;
use crate::mempool::admission::Arrival;
use crate::mempool::error::{MempoolError, RejectError};
use crate::mempool::saved::{self, Saved};

/// Transactions of the last run that are judged before commands get their turn again.
const RESTORE_STEP: usize = 50;

impl Task {
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
                self.restoring = found.into();
            }
            Err(error) => {
                let file = path.display();
                tracing::warn!(%file, "the file of waiting transactions cannot be read: {error}");
            }
        }
    }

    /// Judges some of what the last run left. What has expired, or is no longer valid, is dropped without a word.
    pub(super) async fn restore(&mut self) -> Result<(), MempoolError> {
        for _ in 0..RESTORE_STEP {
            let Some(Saved { tx, time, local }) = self.restoring.pop_front() else {
                self.pool.is_loaded = true;
                tracing::info!(
                    count = self.pool.len(),
                    "the mempool of the last run is loaded"
                );
                return Ok(());
            };
            self.catch_up().await?;
            let now = (self.clock)();
            if time.saturating_add(self.pool.policy.expiry) <= now {
                continue;
            }
            let arrival = Arrival {
                time,
                local,
                returning: false,
            };
            let judged = self.judge(tx.txid(), &tx, arrival, false);
            if let Err(RejectError::Storage(error)) = judged {
                return Err(MempoolError::Storage(error));
            }
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
            })
            .collect();
        saved::save(path, waiting.iter().chain(&self.restoring))
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
