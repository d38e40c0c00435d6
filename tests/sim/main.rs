//! Whole networks in virtual time: the product's sync machine, peer scores and header weighing on 5 to 200 hosts, over links with
//! latency, loss and bandwidth, with partitions, crashes, wrong clocks and hostile hosts.
//!
//! A seed says everything. Laws, for each: connected and quiet for a while, all honest hosts have one tip; no honest host bans an
//! honest one; nothing grows beyond its limit; the same seed leaves the same trace. `make sim SEEDS=…` runs more of them, and
//! docs/simulation.md tells what they found.

mod chain;
mod host;
mod links;
mod plan;
mod work;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use plan::{LAST_BLOCKS, SECOND};
use world::{Report, World};

/// How many seeds are run, and from which on; a number each.
const SEEDS: (&str, u64) = ("QUARRY_SIM_SEEDS", 32);
const FIRST: (&str, u64) = ("QUARRY_SIM_FIRST", 1);

fn setting((name, default): (&str, u64)) -> u64 {
    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name} is no number: {text}")),
        Err(_) => default,
    }
}

/// Runs a network to its end and checks what must hold there; the rest is checked on the way.
fn run(seed: u64, hosts: Option<usize>) -> World {
    let mut world = World::new(seed, hosts);
    world.run();
    let tips = world.tips();
    let heights: Vec<_> = tips.iter().map(|tip| world.ledger.height(tip)).collect();
    let agree = tips.iter().all(|tip| *tip == tips[0]);
    assert!(agree, "no one tip at the end, heights {heights:?}");
    for host in &world.hosts {
        assert!(host.up, "plans end with all hosts up");
        assert!(host.chain.header_count() <= world.ledger.len());
    }
    world
}

/// P17: whatever went wrong, in the end there is one tip.
#[test]
fn p17_networks_agree_whatever_the_seed() {
    let (first, count) = (setting(FIRST), setting(SEEDS));
    let next = AtomicU64::new(first);
    let results = Mutex::new((Vec::new(), Vec::new()));
    let started = Instant::now();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count {
                        break;
                    }
                    let result = catch_unwind(AssertUnwindSafe(|| Outcome::of(&run(seed, None))));
                    let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
                    match result {
                        Ok(outcome) => results.0.push(outcome),
                        Err(_) => results.1.push(seed),
                    }
                }
            });
        }
    });
    let (outcomes, mut failed) = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    summarize(&outcomes, started);
    failed.sort_unstable();
    assert!(failed.is_empty(), "seeds that broke a law: {failed:?}");
}

/// What is told of a run.
struct Outcome {
    hosts: usize,
    /// Seconds from the last regular block until there was one tip.
    agreed_after: Option<u64>,
    report: Report,
}

impl Outcome {
    fn of(world: &World) -> Self {
        let after = |time: u64| time.saturating_sub(LAST_BLOCKS) / SECOND;
        Self {
            hosts: world.hosts.len(),
            agreed_after: world.agreed_at.map(after),
            report: world.report.clone(),
        }
    }
}

fn summarize(outcomes: &[Outcome], started: Instant) {
    let hosts: usize = outcomes.iter().map(|outcome| outcome.hosts).sum();
    let mut all = Report::default();
    for outcome in outcomes {
        all.add(&outcome.report);
    }
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "{} networks, {hosts} hosts, in {seconds:.1} s: {all:?}",
        outcomes.len()
    );
    let mut after: Vec<_> = outcomes
        .iter()
        .filter_map(|outcome| outcome.agreed_after)
        .collect();
    after.sort_unstable();
    let at = |percent: usize| after.get(after.len().saturating_sub(1) * percent / 100);
    println!(
        "seconds from the last regular block to one tip: half {:?}, 95 % {:?}, all {:?}",
        at(50),
        at(95),
        at(100)
    );
}

#[test]
fn two_hundred_hosts_agree() {
    let world = run(7, Some(200));
    assert_eq!(world.hosts.len(), 200);
}

#[test]
fn the_same_seed_leaves_the_same_trace() {
    for seed in [1, 2, 3] {
        let (one, other) = (run(seed, Some(12)), run(seed, Some(12)));
        assert_eq!(one.trace, other.trace, "seed {seed}");
        assert_ne!(one.trace, run(seed + 100, Some(12)).trace);
    }
}

/// Seeds bring about what they are for; a simulation in which nothing goes wrong shows nothing.
#[test]
fn seeds_bring_about_what_can_go_wrong() {
    let mut all = Report::default();
    for seed in 1..=12 {
        all.add(&run(seed, None).report);
    }
    assert!(all.reorgs >= 20 && all.deepest_reorg >= 3, "{all:?}");
    assert!(all.weighed > 0 && all.bans > 0, "{all:?}");
}
