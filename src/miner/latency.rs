//! How soon the searching threads follow: new work, and the end of the search.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::board::Board;
use super::config::MinerConfig;
use super::pace::{Cursor, Rest};
use super::search::Kernel;
use super::template::{Template, TemplateError};
use super::workers::{Searcher, yield_to_others};
use crate::consensus::{ChainSpec, ParentContext};
use crate::primitives::{BlockHash, CompactTarget, PubkeyHash};

/// A target that no hash meets in any measurement.
const UNREACHABLE: CompactTarget = CompactTarget(0x1000_ffff);

/// A median and the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spread {
    /// Half of the values are at most this.
    pub median: Duration,
    /// All of them are.
    pub worst: Duration,
}

impl Spread {
    /// Of any number of values; of none, 0.
    pub fn of(mut values: Vec<Duration>) -> Self {
        values.sort_unstable();
        Self {
            median: values.get(values.len() / 2).copied().unwrap_or_default(),
            worst: values.last().copied().unwrap_or_default(),
        }
    }
}

/// How soon the threads follow, each counted by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Latency {
    /// From giving a searching thread new work until it begins with it.
    pub new_work: Spread,
    /// From ending the search until a thread has left it.
    pub cancel: Spread,
}

/// Measures `rounds` times how soon threads follow that search as this configuration says, blocking.
///
/// # Errors
/// [`TemplateError`] where there is nothing to search.
pub fn measure_latency(
    config: &MinerConfig,
    rounds: NonZeroUsize,
) -> Result<Latency, TemplateError> {
    let template = Arc::new(unsolvable()?);
    let board = Board::new(true);
    let threads = config.threads.get().get();
    let kernel = config.kernel.unwrap_or_else(Kernel::fastest);
    let (begins, begun) = channel();
    let (leaves, left) = channel();
    let post = || {
        let begin = Instant::now();
        board.post(Arc::clone(&template));
        begin
    };
    let (mut new_work, mut cancel) = (Vec::new(), Vec::new());
    thread::scope(|scope| {
        for index in (0..=u16::MAX).take(threads) {
            let (board, begins, leaves) = (&board, begins.clone(), leaves.clone());
            let searcher = Searcher::new(kernel, Rest::new(config.share), Cursor::new(0, index));
            scope.spawn(move || {
                yield_to_others(config.niceness);
                follow(board, searcher, &begins, &leaves);
            });
        }
        for round in 0..rounds.get() {
            // Each time at another place of what the threads do in turns.
            let pause = Duration::from_micros(1500 + 377 * (round as u64 % 10));
            board.set_enabled(true);
            since(post(), threads, &begun);
            thread::sleep(pause);
            let begin = post();
            since(begin, threads, &left);
            new_work.extend(since(begin, threads, &begun));
            thread::sleep(pause);
            let begin = Instant::now();
            board.set_enabled(false);
            cancel.extend(since(begin, threads, &left));
        }
        board.stop();
    });
    Ok(Latency {
        new_work: Spread::of(new_work),
        cancel: Spread::of(cancel),
    })
}

/// Searches whatever is posted; tells when it begins and when it leaves.
fn follow(
    board: &Board,
    mut searcher: Searcher,
    begins: &Sender<Instant>,
    leaves: &Sender<Instant>,
) {
    let mut seen = None;
    while let Some(work) = board.wait(seen) {
        seen = Some(work.generation);
        // Both are listened to until the end.
        let _ = begins.send(Instant::now());
        searcher.search(board, &work);
        let _ = leaves.send(Instant::now());
    }
}

/// How long after `begin` each of the threads did what it tells of.
fn since(begin: Instant, threads: usize, told: &Receiver<Instant>) -> Vec<Duration> {
    let told = told.iter().take(threads);
    told.map(|at| at.saturating_duration_since(begin)).collect()
}

fn unsolvable() -> Result<Template, TemplateError> {
    let spec = ChainSpec {
        pow_limit: UNREACHABLE,
        ..ChainSpec::regtest()
    };
    let parent = ParentContext {
        hash: BlockHash::ZERO,
        height: 0,
        latest_time: spec.genesis.time,
        base: UNREACHABLE,
        latest_time_before: None,
        median_time_past: spec.genesis.time,
    };
    Template::assemble(&spec, parent, Vec::new(), PubkeyHash::ZERO, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Times decide nothing here: what is measured must only be what it is said to be.
    #[test]
    fn every_thread_is_counted_in_every_round() {
        assert_eq!(unsolvable().unwrap().bits(), UNREACHABLE);
        let spread = Spread::of((1..=5).map(Duration::from_secs).collect());
        let (median, worst) = (Duration::from_secs(3), Duration::from_secs(5));
        assert_eq!(spread, Spread { median, worst });
        let (sender, told) = channel();
        let begin = Instant::now();
        for late in [2, 1, 9] {
            sender.send(begin + Duration::from_secs(late)).unwrap();
        }
        let found = since(begin, 2, &told);
        assert_eq!(found, [Duration::from_secs(2), Duration::from_secs(1)]);
    }
}
