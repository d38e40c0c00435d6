//! How fast the kernels are on this machine.

use std::num::NonZeroUsize;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use super::config::ThreadCount;
use super::pace::{Chunk, Cursor};
use super::search::{Kernel, Search};
use crate::primitives::{BlockHash, BlockHeader, CompactTarget, MerkleRoot, Target};

/// What a rate is a rate of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeBase {
    /// The time of day: what the machine reaches now.
    Day,
    /// The processor time of each thread: what an idle machine with a core for each would reach.
    Processor,
}

/// Hashes a second of one kernel: medians.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KernelSpeed {
    /// Which.
    pub kernel: Kernel,
    /// With one thread.
    pub one_thread: f64,
    /// With all threads together.
    pub all_threads: f64,
}

/// Measures every kernel that works here, `rounds` times for `sample` with one thread and with `threads`, blocking.
///
/// The kernels take turns, so that whatever else slows the machine for a while slows all of them.
pub fn measure_kernels(
    threads: ThreadCount,
    sample: Duration,
    rounds: NonZeroUsize,
    base: TimeBase,
) -> Vec<KernelSpeed> {
    let kernels = Kernel::available();
    let mut samples = vec![(Vec::new(), Vec::new()); kernels.len()];
    for _ in 0..rounds.get() {
        for (kernel, (one, all)) in kernels.iter().zip(&mut samples) {
            one.push(rate(*kernel, 1, sample, base));
            all.push(rate(*kernel, threads.get().get(), sample, base));
        }
    }
    let medians = kernels.into_iter().zip(samples);
    medians
        .map(|(kernel, (one, all))| KernelSpeed {
            kernel,
            one_thread: median(one),
            all_threads: median(all),
        })
        .collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Hashes a second of `threads` threads that search as the miner's do.
fn rate(kernel: Kernel, threads: usize, sample: Duration, base: TimeBase) -> f64 {
    let start = Barrier::new(threads);
    thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    search_for(kernel, sample, base)
                })
            })
            .collect();
        running
            .into_iter()
            .map(|thread| thread.join().expect("a search does not panic"))
            .sum()
    })
}

/// Hashes a second of this thread; nothing meets the target.
fn search_for(kernel: Kernel, sample: Duration, base: TimeBase) -> f64 {
    let header = BlockHeader {
        version: 1,
        prev_block: BlockHash::ZERO,
        merkle_root: MerkleRoot::from_bytes([0x5a; 32]),
        time: 1,
        bits: CompactTarget(0x1d00_ffff),
        nonce: 0,
    };
    let search = Search::with_kernel(&header, &Target::from_be_bytes([0; 32]), kernel);
    let (mut chunk, mut cursor) = (Chunk::new(), Cursor::new(0, 0));
    let (begin, begin_processor) = (Instant::now(), processor_time());
    let mut hashes = 0_u64;
    loop {
        let Some(range) = cursor.take(chunk.count()) else {
            cursor.next_header();
            continue;
        };
        let chunk_begin = Instant::now();
        std::hint::black_box(search.run(range));
        chunk.learn(chunk_begin.elapsed());
        hashes += u64::from(range.count);
        let elapsed = begin.elapsed();
        if elapsed >= sample {
            let time = match base {
                TimeBase::Day => elapsed,
                TimeBase::Processor => processor_time().saturating_sub(begin_processor),
            };
            return hashes as f64 / time.as_secs_f64();
        }
    }
}

/// How long this thread has run on a processor.
#[cfg(unix)]
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    // Neither part is ever negative.
    Duration::try_from(time).unwrap_or_default()
}

/// Where the system does not tell, every thread is taken to have a processor of its own.
#[cfg(not(unix))]
fn processor_time() -> Duration {
    static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    START.elapsed()
}
