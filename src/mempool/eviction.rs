//! The byte limit, the fee floor that it leaves behind, and expiry.

use super::pool::Pool;
use crate::chain::RemovalReason;
use crate::primitives::Txid;

/// Seconds in which the floor halves (Bitcoin Core, `ROLLING_FEE_HALFLIFE`).
const FLOOR_HALF_LIFE: u64 = 12 * 3600;

/// What was last evicted, so that its like is not taken again at once.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Floor {
    /// In base units for 1000 bytes.
    rate: u64,
    /// When it was set, in seconds since 1970.
    since: u64,
}

impl Pool {
    /// What the limit asks for beyond the minimum, in base units for 1000 bytes: what was last evicted and a step more, halved every
    /// twelve hours, and nothing once it is below half a step.
    pub(super) fn floor_at(&self, now: u64) -> u64 {
        let halvings = now.saturating_sub(self.floor.since) / FLOOR_HALF_LIFE;
        let rate = u32::try_from(halvings)
            .ok()
            .and_then(|halvings| self.floor.rate.checked_shr(halvings))
            .unwrap_or(0);
        if rate < self.policy.incremental_fee / 2 {
            0
        } else {
            rate
        }
    }

    /// Removes what pays least, with what depends on it, until the limit holds. Returns what went.
    pub(super) fn make_room(&mut self, now: u64) -> Vec<Txid> {
        let mut gone = Vec::new();
        while self.usage > self.policy.max_usage {
            let Some(worst) = self.for_keeping.first().copied() else {
                break;
            };
            let rate = self
                .entries
                .get(&worst.txid)
                .map_or(0, |entry| entry.descendants.rate().per_kilobyte());
            let floor = rate
                .saturating_add(self.policy.incremental_fee)
                .max(self.floor_at(now));
            self.floor = Floor {
                rate: floor,
                since: now,
            };
            gone.extend(self.unlink_with_descendants(&worst.txid));
        }
        gone
    }

    /// Removes what has waited too long, with what depends on it. `now` is in seconds since 1970.
    pub fn expire(&mut self, now: u64) {
        let Some(oldest) = now.checked_sub(self.policy.expiry) else {
            return;
        };
        let old: Vec<Txid> = self
            .entries
            .values()
            .filter(|entry| entry.time < oldest)
            .map(|entry| entry.txid)
            .collect();
        for txid in old {
            self.remove_with_descendants(&txid, RemovalReason::Expired);
        }
    }
}
