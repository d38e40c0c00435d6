//! How soon the mining threads follow, and how many blocks a second are generated: `make bench-mining`.
//!
//! New work and the end of the search are timed for each kernel that works here, also with threads that rest three quarters of
//! their time, and with those that yield to everything else, as they do in a node. Blocks are generated on a chain that syncs to
//! the disk, many with one call and one with each call, in turns, so that the ratio is of one machine at one time.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use quarry::chain::{ChainHandle, ChainOptions, ChainWriter, open, system_clock};
use quarry::consensus::ChainSpec;
use quarry::mempool::{self, MempoolHandle, Policy};
use quarry::miner::{
    CpuShare, Kernel, MinerConfig, Niceness, Spread, ThreadCount, generate_blocking,
    measure_latency,
};
use quarry::primitives::{CompactTarget, PubkeyHash};
use tempfile::TempDir;

/// How often each is timed.
const ROUNDS: NonZeroUsize = NonZeroUsize::new(500).expect("it is above 0");
/// How often the end of a generation is timed.
const CANCELS: u64 = 100;
/// Blocks that are generated with one call.
const BLOCKS: u32 = 1000;
/// How often they are.
const RUNS: usize = 5;

fn main() {
    println!("threads  kernel     share  nice   new work, median / worst    end, median / worst");
    for kernel in Kernel::available() {
        for (share, niceness) in [(1.0, 0), (0.25, 0), (1.0, 19)] {
            latency(kernel, share, niceness);
        }
    }
    let ended = generation_ends();
    println!("\na generation ends after {}", milliseconds(&ended));
    generated();
}

fn latency(kernel: Kernel, share: f64, niceness: u8) {
    let config = MinerConfig {
        threads: ThreadCount::all_cores(),
        kernel: Some(kernel),
        share: CpuShare::new(share).expect("in range"),
        niceness: Niceness::new(niceness).expect("in range"),
        payout: None,
        enabled: true,
    };
    let latency = measure_latency(&config, ROUNDS).expect("there is something to search");
    println!(
        "{:<8} {:<10} {share:<6} {niceness:<6} {:<27} {}",
        config.threads.get(),
        kernel.name(),
        milliseconds(&latency.new_work),
        milliseconds(&latency.cancel)
    );
}

fn milliseconds(spread: &Spread) -> String {
    let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
    format!(
        "{:.3} / {:.3} ms",
        milliseconds(spread.median),
        milliseconds(spread.worst)
    )
}

/// A chain with a mempool; both end when it is dropped.
struct Node {
    chain: ChainHandle,
    mempool: MempoolHandle,
    ends: Option<(ChainWriter, mempool::MempoolTask)>,
}

impl Node {
    fn new(folder: &Path, spec: ChainSpec) -> Self {
        let (chain, writer) = open(folder, spec, ChainOptions::default()).expect("an empty folder");
        let (mempool, task) =
            mempool::spawn(chain.clone(), Policy::default(), system_clock()).expect("a thread");
        Self {
            chain,
            mempool,
            ends: Some((writer, task)),
        }
    }

    /// Generates so many empty blocks with one call.
    fn generate(&self, count: u32, cancel: &AtomicBool) {
        let mempool = Some(&self.mempool);
        let payout = PubkeyHash::ZERO;
        let found = generate_blocking(&self.chain, mempool, payout, count, &system_clock(), cancel);
        assert!(found.is_ok() || cancel.load(Ordering::Relaxed));
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.mempool.stop_blocking();
        if let Some((writer, task)) = self.ends.take() {
            task.join().expect("the mempool ends in order");
            self.chain.stop_blocking();
            writer.join().expect("the chain ends in order");
        }
    }
}

/// How long a generation takes to end that would find nothing in this age of the world.
fn generation_ends() -> Spread {
    let spec = ChainSpec {
        pow_limit: CompactTarget(0x1000_ffff),
        ..ChainSpec::regtest()
    };
    let folder = TempDir::new().expect("a folder");
    let node = Node::new(folder.path(), spec);
    let cancel = AtomicBool::new(false);
    let mut times = Vec::new();
    for round in 0..CANCELS {
        cancel.store(false, Ordering::Relaxed);
        std::thread::scope(|scope| {
            let generating = scope.spawn(|| {
                node.generate(1, &cancel);
                Instant::now()
            });
            std::thread::sleep(Duration::from_micros(3000 + 377 * (round % 10)));
            let begin = Instant::now();
            cancel.store(true, Ordering::Relaxed);
            let ended = generating.join().expect("it does not panic");
            times.push(ended.saturating_duration_since(begin));
        });
    }
    Spread::of(times)
}

fn generated() {
    let folder = TempDir::new().expect("a folder");
    let node = Node::new(folder.path(), ChainSpec::regtest());
    let never = AtomicBool::new(false);
    let (mut at_once, mut singly) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let begin = Instant::now();
        node.generate(BLOCKS, &never);
        at_once.push(begin.elapsed());
        let begin = Instant::now();
        for _ in 0..BLOCKS {
            node.generate(1, &never);
        }
        singly.push(begin.elapsed());
    }
    let rate = |times: Vec<Duration>| f64::from(BLOCKS) / Spread::of(times).median.as_secs_f64();
    let (at_once, singly) = (rate(at_once), rate(singly));
    println!(
        "empty blocks a second: {at_once:.0} with one call, {singly:.0} with one call each, {:.1} times as many",
        at_once / singly
    );
}
