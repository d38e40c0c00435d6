//! Lines in a second: a bucket of permissions that fills with time.

use std::time::Duration;

use super::limits::{LINES_AT_ONCE, LINES_PER_SECOND};

/// How fast one connection is read.
#[derive(Debug)]
pub(super) struct Throttle {
    permits: f64,
    at: Duration,
}

impl Throttle {
    /// Full.
    pub(super) const fn new(now: Duration) -> Self {
        Self {
            permits: LINES_AT_ONCE,
            at: now,
        }
    }

    /// Takes a permission for one line; returns how long to wait before the next is read.
    pub(super) fn take(&mut self, now: Duration) -> Duration {
        let filled = now.saturating_sub(self.at).as_secs_f64() * LINES_PER_SECOND;
        self.at = now;
        self.permits = (self.permits + filled).min(LINES_AT_ONCE) - 1.0;
        Duration::from_secs_f64((-self.permits).max(0.0) / LINES_PER_SECOND)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_a_flood_waits() {
        let mut throttle = Throttle::new(Duration::ZERO);
        let mut now = Duration::ZERO;
        for _ in 0..LINES_AT_ONCE as u32 {
            assert_eq!(throttle.take(now), Duration::ZERO);
        }
        for _ in 0..1000 {
            now += throttle.take(now);
        }
        let rate = 1000.0 / now.as_secs_f64();
        assert!((rate - LINES_PER_SECOND).abs() < 0.1, "{rate}");
        assert_eq!(throttle.take(now + Duration::from_secs(60)), Duration::ZERO);
    }
}
