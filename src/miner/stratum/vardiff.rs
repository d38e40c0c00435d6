//! Which difficulty suits a connection: one with which it sends a share every few seconds.
//!
//! Fewer shares tell too little about a miner, more cost work without telling more. A change is made on evidence: a dozen shares,
//! or a minute with fewer. What counts is the work of the shares that were taken: nobody can feign more than he does.

use std::time::Duration;

use super::difficulty::Difficulty;

/// Seconds between shares that are aimed at.
const SECONDS_A_SHARE: f64 = 5.0;
/// Shares after which the rate is known well enough: to about 30 %.
const ENOUGH_SHARES: u32 = 12;
/// After this time, fewer shares are evidence too.
const LONG_ENOUGH: Duration = Duration::from_secs(60);
/// By how much the rate may miss the aim before something is changed; what chance alone does must not.
const TOLERANCE: f64 = 1.6;
/// The most by which one change eases: too few shares may be bad luck.
const MOST_EASING: f64 = 4.0;
/// The most by which one change raises: a rate that high is never luck, and a farm that begins with the difficulty of a single
/// processor must not need long.
const MOST_RAISING: f64 = 1_000_000.0;
/// More shares a second than this are a flood, in which those that count come too late: it is held back even where a miner asked
/// to keep its difficulty, and where blocks are easier than that.
const FLOOD_A_SECOND: f64 = 5.0;

/// The adjustment of one connection.
#[derive(Debug)]
pub(super) struct Vardiff {
    wanted: Difficulty,
    /// The least that the miner can do with.
    floor: Option<Difficulty>,
    /// Whether the miner asked to keep what it chose.
    kept: bool,
    /// Begin of the evidence.
    since: Duration,
    shares: u32,
    /// The hashes that the shares took on average.
    hashes: f64,
    /// The difficulty below which the miner would flood us, as far as is known.
    flood: Difficulty,
}

impl Vardiff {
    /// Begins with [`Difficulty::START`].
    pub(super) const fn new(now: Duration) -> Self {
        Self {
            wanted: Difficulty::START,
            floor: None,
            kept: false,
            since: now,
            shares: 0,
            hashes: 0.0,
            flood: Difficulty::SLOW_CPU,
        }
    }

    /// Begins anew with another difficulty.
    pub(super) fn suggest(&mut self, difficulty: Difficulty, now: Duration) {
        if !self.kept {
            self.begin(difficulty, now);
        }
    }

    /// Takes this difficulty and keeps it, unless shares come in floods.
    pub(super) fn keep(&mut self, difficulty: Difficulty, now: Duration) {
        self.kept = true;
        self.begin(difficulty, now);
    }

    /// The miner can do with nothing easier, whatever the block needs.
    pub(super) const fn at_least(&mut self, floor: Difficulty) {
        self.floor = Some(floor);
    }

    /// The difficulty for work whose blocks have difficulty `block`: not above, or blocks would be missed, unless the blocks
    /// themselves would be a flood.
    pub(super) fn for_block(&self, block: Difficulty) -> Difficulty {
        let difficulty = self.wanted.min(block.max(self.flood));
        let floored = self.floor.map_or(difficulty, |floor| difficulty.max(floor));
        floored.whole()
    }

    /// A share of this difficulty was taken.
    pub(super) fn count(&mut self, difficulty: Difficulty) {
        self.shares = self.shares.saturating_add(1);
        self.hashes += difficulty.hashes();
    }

    /// Looks at the evidence; `difficulty` is the one that holds now.
    pub(super) fn adjust(&mut self, difficulty: Difficulty, now: Duration) {
        let elapsed = now.saturating_sub(self.since);
        if self.shares < ENOUGH_SHARES && elapsed < LONG_ENOUGH {
            return;
        }
        // Two shares at one instant are not infinitely many a second.
        let rate = self.hashes / elapsed.as_secs_f64().max(0.001);
        let one = Difficulty::of_hashes(rate / FLOOD_A_SECOND);
        self.flood = one.unwrap_or(Difficulty::MIN);
        self.restart(now);
        let ratio = rate * SECONDS_A_SHARE / difficulty.hashes();
        let is_kept = self.kept && difficulty >= self.flood;
        if !is_kept && !(1.0 / TOLERANCE..=TOLERANCE).contains(&ratio) {
            let change = ratio.clamp(1.0 / MOST_EASING, MOST_RAISING);
            self.wanted = difficulty.times(change).whole();
        }
    }

    fn begin(&mut self, difficulty: Difficulty, now: Duration) {
        self.wanted = difficulty;
        self.restart(now);
    }

    /// Begins to gather evidence anew.
    const fn restart(&mut self, now: Duration) {
        (self.since, self.shares, self.hashes) = (now, 0, 0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets a miner of `rate` hashes a second run for ten minutes; returns the last difficulty and the shares of the last minute.
    fn settle(mut vardiff: Vardiff, rate: f64, block: Difficulty) -> (Difficulty, u32) {
        let mut now = Duration::ZERO;
        let mut last_minute = 0;
        let mut due = 0.0;
        while now < Duration::from_secs(600) {
            let difficulty = vardiff.for_block(block);
            let wait = (difficulty.hashes() / rate).min(5.0);
            now += Duration::from_secs_f64(wait);
            due += wait * rate / difficulty.hashes();
            if due >= 0.999 {
                due -= 1.0;
                vardiff.count(difficulty);
                last_minute += u32::from(now > Duration::from_secs(540));
            }
            vardiff.adjust(difficulty, now);
        }
        (vardiff.for_block(block), last_minute)
    }

    #[test]
    fn every_miner_settles_at_a_dozen_shares_a_minute() {
        for rate in [3e3, 1e5, 1e7, 1e9, 1e12, 2e14] {
            let (difficulty, shares) = settle(Vardiff::new(Duration::ZERO), rate, Difficulty::MAX);
            let seconds = difficulty.hashes() / rate;
            assert!((3.0..9.0).contains(&seconds), "{rate}: {seconds} s a share");
            assert!((6..=21).contains(&shares), "{rate}: {shares}");
        }
    }

    #[test]
    fn a_share_is_never_harder_than_the_block() {
        let block = Difficulty::new(1e-9).unwrap();
        let (difficulty, _) = settle(Vardiff::new(Duration::ZERO), 10.0, block);
        assert_eq!(difficulty, block);
    }

    // As on regtest, where a processor finds a block in a millionth of a second, and would send nothing but stale ones.
    #[test]
    fn blocks_that_are_a_flood_are_held_back() {
        let block = Difficulty::new(1e-9).unwrap();
        let begin = Vardiff::new(Duration::ZERO).for_block(block);
        assert_eq!(begin, Difficulty::SLOW_CPU);
        let (difficulty, _) = settle(Vardiff::new(Duration::ZERO), 1e7, block);
        let seconds = difficulty.hashes() / 1e7;
        assert!((0.1..0.4).contains(&seconds), "{seconds}");
    }

    #[test]
    fn a_difficulty_that_was_asked_for_is_kept_but_not_for_a_flood() {
        let asked = Difficulty::new(0.5).unwrap();
        let keeping = || {
            let mut vardiff = Vardiff::new(Duration::ZERO);
            vardiff.keep(asked, Duration::ZERO);
            vardiff.suggest(Difficulty::MAX, Duration::ZERO);
            vardiff
        };
        assert_eq!(settle(keeping(), 1e7, Difficulty::MAX).0, asked);
        assert!(settle(keeping(), 1e12, Difficulty::MAX).0 > asked);
    }

    #[test]
    fn the_floor_of_the_hardware_holds_even_below_the_block() {
        let mut vardiff = Vardiff::new(Duration::ZERO);
        let floor = Difficulty::new(256.0).unwrap();
        vardiff.at_least(floor);
        assert_eq!(vardiff.for_block(Difficulty::MIN), floor);
    }
}
