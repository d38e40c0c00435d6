//! A token bucket on a clock given as argument, used on both sides: we hold peers to the quotas
//! of the protocol, and ourselves to 80 % of them.

/// Allows `capacity` units at once, refilled evenly over `period` milliseconds.
#[derive(Debug, Clone)]
pub(super) struct Quota {
    capacity: u64,
    period: u64,
    /// Units left, times the period: one millisecond then adds exactly `capacity`.
    scaled: u64,
    updated: u64,
}

impl Quota {
    /// A full bucket of `capacity` units per `period` milliseconds.
    pub(super) fn new(capacity: u64, period: u64) -> Self {
        let period = period.max(1);
        Self {
            capacity,
            period,
            scaled: capacity.saturating_mul(period),
            updated: 0,
        }
    }

    /// The same quota with 80 % of the capacity: what we allow ourselves.
    pub(super) fn own_share(&self) -> Self {
        Self::new((self.capacity * 4 / 5).max(1), self.period)
    }

    /// Units available at `now` (milliseconds).
    pub(super) fn left(&mut self, now: u64) -> u64 {
        let elapsed = now.saturating_sub(self.updated);
        let refill = self.capacity.saturating_mul(elapsed);
        let full = self.capacity.saturating_mul(self.period);
        self.scaled = self.scaled.saturating_add(refill).min(full);
        self.updated = self.updated.max(now);
        self.scaled / self.period
    }

    /// Takes `units` if they are there. Taking more than the capacity needs a full bucket.
    pub(super) fn take(&mut self, now: u64, units: u64) -> bool {
        if self.left(now) < units.min(self.capacity) {
            return false;
        }
        self.charge(units);
        true
    }

    /// Takes `units` that have been spent already, as far as they are there.
    pub(super) fn charge(&mut self, units: u64) {
        self.scaled = self
            .scaled
            .saturating_sub(units.saturating_mul(self.period));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_capacity_per_period_in_the_long_run() {
        let mut quota = Quota::new(10, 1_000);
        let taken = (0..60_000).filter(|now| quota.take(*now, 1)).count();
        assert!((600..=611).contains(&taken), "{taken} units in 60 periods");
    }

    #[test]
    fn an_empty_bucket_refills_and_a_clock_that_stands_still_gives_nothing() {
        let mut quota = Quota::new(5, 10_000);
        assert!(quota.take(0, 5));
        assert!(!quota.take(0, 1));
        assert!(!quota.take(1_999, 1));
        assert!(quota.take(2_000, 1));
        assert!(
            !quota.take(1_000, 1),
            "a clock going backwards gives nothing"
        );
    }

    #[test]
    fn a_slow_quota_is_not_lost_to_rounding() {
        let mut quota = Quota::new(1, 300_000);
        assert!(quota.take(0, 1));
        let granted = (1..=600).filter(|s| quota.take(s * 1_000, 1)).count();
        assert_eq!(granted, 2);
    }
}
