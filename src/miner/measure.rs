//! How fast the kernels are on this machine.

use std::num::NonZeroUsize;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use super::search::{Kernel, Search, SearchRange};
use super::workers::CHUNK;
use crate::primitives::{BlockHash, BlockHeader, CompactTarget, MerkleRoot, Target};

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
    threads: NonZeroUsize,
    sample: Duration,
    rounds: NonZeroUsize,
) -> Vec<KernelSpeed> {
    let kernels = Kernel::available();
    let mut samples = vec![(Vec::new(), Vec::new()); kernels.len()];
    for _ in 0..rounds.get() {
        for (kernel, (one, all)) in kernels.iter().zip(&mut samples) {
            one.push(rate(*kernel, 1, sample));
            all.push(rate(*kernel, threads.get(), sample));
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
fn rate(kernel: Kernel, threads: usize, sample: Duration) -> f64 {
    let start = Barrier::new(threads);
    thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    search_for(kernel, sample)
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
fn search_for(kernel: Kernel, sample: Duration) -> f64 {
    let header = BlockHeader {
        version: 1,
        prev_block: BlockHash::ZERO,
        merkle_root: MerkleRoot::from_bytes([0x5a; 32]),
        time: 1,
        bits: CompactTarget(0x1d00_ffff),
        nonce: 0,
    };
    let search = Search::with_kernel(&header, &Target::from_be_bytes([0; 32]), kernel);
    let begin = Instant::now();
    let mut hashes = 0_u32;
    loop {
        let found = search.run(SearchRange {
            first: hashes,
            count: CHUNK,
        });
        std::hint::black_box(found);
        hashes = hashes.wrapping_add(CHUNK);
        let elapsed = begin.elapsed();
        if elapsed >= sample {
            return f64::from(hashes) / elapsed.as_secs_f64();
        }
    }
}
