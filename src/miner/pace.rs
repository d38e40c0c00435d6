//! How fast a thread goes through its range of headers: how much of it between two looks at the board, and how long it rests.

use std::time::Duration;

use super::config::CpuShare;
use super::search::SearchRange;

/// How long a thread searches between two looks at the board, at most, once it knows how fast it is. New work and the end of the
/// search wait that long; a look costs some ten nanoseconds.
const CHUNK_TIME: Duration = Duration::from_micros(250);
/// Nonces between two looks, of the slowest and the fastest thread. Both are multiples of what any kernel searches at once.
const CHUNKS: std::ops::RangeInclusive<u32> = 1 << 8..=1 << 20;
/// Rests shorter than this are put off and put together: a timer is late by some fifty microseconds.
const SHORTEST_REST: Duration = Duration::from_millis(1);
/// No thread owes more rest than this, whatever kept it from resting.
const LONGEST_REST: Duration = Duration::from_secs(1);

/// How many nonces take [`CHUNK_TIME`], learnt while searching.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chunk(u32);

impl Chunk {
    /// Too few rather than too many.
    pub(super) const fn new() -> Self {
        Self(1 << 10)
    }

    /// How many nonces to search next.
    pub(super) const fn count(self) -> u32 {
        self.0
    }

    /// Learns from a whole chunk.
    pub(super) fn learn(&mut self, took: Duration) {
        if took > CHUNK_TIME {
            self.0 = (self.0 / 2).max(*CHUNKS.start());
        } else if took < CHUNK_TIME / 4 {
            self.0 = (self.0 * 2).min(*CHUNKS.end());
        }
    }
}

/// How long a thread must rest to search a share of its time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rest {
    /// Rest for each second of search, in seconds.
    ratio: f64,
    /// What is to be rested yet, in seconds; below 0 after a rest that was too long.
    owed: f64,
}

impl Rest {
    pub(super) fn new(share: CpuShare) -> Self {
        Self {
            ratio: 1.0 / share.get() - 1.0,
            owed: 0.0,
        }
    }

    /// Counts a search; tells how long to rest now, if at all.
    pub(super) fn after(&mut self, search: Duration) -> Option<Duration> {
        self.owed += search.as_secs_f64() * self.ratio;
        self.owed = self.owed.min(LONGEST_REST.as_secs_f64());
        (self.owed >= SHORTEST_REST.as_secs_f64()).then(|| Duration::from_secs_f64(self.owed))
    }

    /// Counts a rest, which may have been cut short or have taken longer.
    pub(super) fn rested(&mut self, rest: Duration) {
        let owed = self.owed - rest.as_secs_f64();
        self.owed = owed.max(-LONGEST_REST.as_secs_f64());
    }
}

/// Bits of an extra nonce that number the headers of one thread; 2^24 times 2^32 hashes last for years.
const COUNTER_BITS: u32 = 24;
/// Bits that number the thread.
const WORKER_BITS: u32 = 16;

/// Where a thread is in its range of headers.
///
/// It goes on where it was from one piece of work to the next, so that no header is searched twice, not even where two templates
/// are the same.
#[derive(Debug, Clone)]
pub(super) struct Cursor {
    /// The first extra nonce of the thread.
    first: u64,
    /// The number of the header after this one.
    counter: u64,
    /// The first nonce that is not searched yet; none where all are.
    nonce: Option<u32>,
}

impl Cursor {
    /// The range of a thread. The lower 24 bits of `salt` differ from node to node: two that mine to one address must not search
    /// the same headers.
    pub(super) const fn new(salt: u32, worker: u16) -> Self {
        Self {
            first: (salt as u64) << (COUNTER_BITS + WORKER_BITS) | (worker as u64) << COUNTER_BITS,
            counter: 0,
            nonce: None,
        }
    }

    /// Goes to the next header; returns its extra nonce. After the last comes the first again, which by then has another time.
    pub(super) const fn next_header(&mut self) -> u64 {
        let extra_nonce = self.first | self.counter;
        self.counter = (self.counter + 1) % (1 << COUNTER_BITS);
        self.nonce = Some(0);
        extra_nonce
    }

    /// The next nonces of the header, `count` at most; none where all are searched.
    pub(super) fn take(&mut self, count: u32) -> Option<SearchRange> {
        let first = self.nonce?;
        // One less than are left, which fits where all are.
        let last = first.saturating_add(count - 1);
        self.nonce = last.checked_add(1);
        Some(SearchRange {
            first,
            count: last - first + 1,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// Searches at `rate` nonces a second until the chunk is steady; how long the last ones took.
    fn steady(rate: f64) -> (Chunk, Vec<Duration>) {
        let mut chunk = Chunk::new();
        let mut times = Vec::new();
        for _ in 0..40 {
            let took = Duration::from_secs_f64(f64::from(chunk.count()) / rate);
            times.push(took);
            chunk.learn(took);
        }
        (chunk, times.split_off(30))
    }

    #[test]
    fn a_chunk_takes_less_than_its_time_at_any_speed() {
        for rate in [1.1e6, 4.2e6, 11e6, 64e6, 1e9] {
            let (_, times) = steady(rate);
            let range = CHUNK_TIME / 4..=CHUNK_TIME;
            assert!(times.iter().all(|time| range.contains(time)), "{rate}");
        }
        // A machine so slow that the least takes longer.
        assert_eq!(steady(1e5).0.count(), *CHUNKS.start());
        assert_eq!(steady(1e12).0.count(), *CHUNKS.end());
    }

    #[test]
    fn one_interruption_is_soon_forgotten() {
        let (mut chunk, _) = steady(64e6);
        let before = chunk.count();
        chunk.learn(Duration::from_millis(30));
        assert_eq!(chunk.count(), before / 2);
        let took = Duration::from_secs_f64(f64::from(chunk.count()) / 64e6);
        chunk.learn(took.min(CHUNK_TIME / 5));
        assert_eq!(chunk.count(), before);
    }

    /// The share that a thread reaches whose timer is late by `late`.
    fn reached(share: f64, search: Duration, late: Duration) -> f64 {
        let mut rest = Rest::new(CpuShare::new(share).unwrap());
        let (mut busy, mut idle) = (Duration::ZERO, Duration::ZERO);
        for _ in 0..10_000 {
            busy += search;
            if let Some(pause) = rest.after(search) {
                assert!(pause >= SHORTEST_REST);
                rest.rested(pause + late);
                idle += pause + late;
            }
        }
        busy.as_secs_f64() / (busy + idle).as_secs_f64()
    }

    #[test]
    fn a_thread_keeps_to_its_share_although_timers_are_late() {
        let search = Duration::from_micros(200);
        for share in [0.01, 0.1, 0.25, 0.5, 0.9, 1.0] {
            for late in [0, 60, 900] {
                let found = reached(share, search, Duration::from_micros(late));
                assert!((found - share).abs() < 0.005, "{share}, {late}: {found}");
            }
        }
    }

    #[test]
    fn rests_that_are_cut_short_are_made_up_for_within_limits() {
        let mut rest = Rest::new(CpuShare::new(0.5).unwrap());
        let second = Duration::from_secs(1);
        assert_eq!(rest.after(second), Some(second));
        rest.rested(Duration::ZERO);
        assert_eq!(rest.after(second * 100), Some(LONGEST_REST));
        rest.rested(second * 100);
        assert_eq!(rest.after(second), None);
        assert!(rest.after(second).is_some());
    }

    #[test]
    fn ranges_of_extra_nonces_are_disjoint() {
        let mut edges = HashSet::new();
        for (salt, worker) in [
            (0, 0),
            (0, 1),
            (0, u16::MAX),
            (1, 0),
            (0x00ff_ffff, u16::MAX),
        ] {
            let mut cursor = Cursor::new(salt, worker);
            let first = cursor.next_header();
            cursor.counter = (1 << COUNTER_BITS) - 1;
            let last = cursor.next_header();
            assert_eq!(last - first, (1 << COUNTER_BITS) - 1);
            assert!(edges.insert(first) && edges.insert(last));
            // Used up: the first again.
            assert_eq!(cursor.next_header(), first);
        }
    }

    #[test]
    fn every_nonce_of_a_header_is_searched_once_and_then_the_next_header() {
        let mut cursor = Cursor::new(7, 1);
        assert_eq!(cursor.take(5), None, "no header yet");
        let header = cursor.next_header();
        let mut chunk = 1 << 8;
        let mut next = 0_u64;
        while let Some(range) = cursor.take(chunk) {
            assert_eq!(u64::from(range.first), next);
            assert!(range.count > 0 && range.count <= chunk);
            next += u64::from(range.count);
            // Odd sizes, too, so that the last one is cut.
            chunk = (chunk * 3 / 2).min((1 << 20) - 1);
        }
        assert_eq!(next, 1 << 32);
        assert_eq!(cursor.take(1), None);
        assert_eq!(cursor.next_header(), header + 1);
        assert_eq!(cursor.take(1), Some(SearchRange { first: 0, count: 1 }));
    }
}
