//! The hash rate as a moving average.

use std::time::Duration;

/// How fast the average forgets: after this time a change of the rate shows by 63 %.
const TIME_CONSTANT: Duration = Duration::from_secs(10);

/// An exponential moving average of a rate.
#[derive(Debug, Default)]
pub(super) struct MovingRate {
    per_second: Option<f64>,
}

impl MovingRate {
    /// Takes in `count` in `elapsed`; returns the average per second.
    pub(super) fn add(&mut self, count: u64, elapsed: Duration) -> f64 {
        let seconds = elapsed.as_secs_f64();
        let average = if seconds > 0.0 {
            let sample = count as f64 / seconds;
            let weight = 1.0 - (-seconds / TIME_CONSTANT.as_secs_f64()).exp();
            let before = self.per_second.unwrap_or(sample);
            before + weight * (sample - before)
        } else {
            self.per_second.unwrap_or_default()
        };
        self.per_second = Some(average);
        average
    }

    /// Forgets everything, so that the next sample stands alone.
    pub(super) fn reset(&mut self) {
        self.per_second = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_sample_stands_and_later_ones_are_smoothed() {
        let mut rate = MovingRate::default();
        let second = Duration::from_secs(1);
        assert_eq!(rate.add(1000, second), 1000.0);
        let next = rate.add(2000, second);
        assert!((1000.0..1200.0).contains(&next), "{next}");
        for _ in 0..100 {
            rate.add(2000, second);
        }
        assert!((rate.add(2000, second) - 2000.0).abs() < 1.0);
        assert!(
            (rate.add(5, Duration::ZERO) - 2000.0).abs() < 1.0,
            "no time, no news"
        );
        rate.reset();
        assert_eq!(rate.add(10, second), 10.0);
    }
}
