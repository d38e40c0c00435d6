//! What the retarget rule promises, for several seeds. Each law is a function of the constants, so that the same law also shows
//! that it can fail: without the stall rule, or on another clock, it does.

use quarry::chain::{ChainOptions, open};
use quarry::consensus::ChainSpec;
use quarry::primitives::CompactTarget;
use std::sync::Arc;

use crate::scenarios::*;
use crate::simulation::{Dating, Miners, Simulation};

const SEEDS: std::ops::Range<u64> = 100..108;

fn holds(what: &str, value: f64, range: std::ops::RangeInclusive<f64>) -> Result<(), String> {
    if range.contains(&value) {
        Ok(())
    } else {
        Err(format!("{what}: {value}, not within {range:?}"))
    }
}

/// Spacing and cost of blocks of a network that nothing happens to.
fn steady_law(constants: Constants, seed: u64) -> Result<(), String> {
    let day = step(constants, seed, 1.0, DAY);
    holds(
        "mean spacing in seconds",
        DAY / after(&day).len() as f64,
        9.9..=10.1,
    )?;
    holds("variation of the cost", variation(&day), 0.0..=0.25)
}

/// After a hundredfold rise the spacing is right within 12 minutes (6 half-lives), and at most 9 doublings' worth of blocks came
/// too early: 100 is 6.6 doublings, each takes half-life / spacing = 12 blocks; the rest is luck before and after.
fn rise_law(constants: Constants, seed: u64) -> Result<(), String> {
    let outcome = Outcome::of((step(constants, seed, 100.0, 2.0 * HOUR), EVENT));
    holds(
        "seconds until the spacing was right",
        outcome.recovery,
        0.0..=720.0,
    )?;
    holds("blocks ahead of schedule", outcome.ahead, 0.0..=108.0)
}

/// After a fall to a hundredth no wait is longer than four minutes, the spacing is right within half an hour, and no storm of
/// easy blocks follows.
fn fall_law(constants: Constants, seed: u64) -> Result<(), String> {
    let outcome = Outcome::of((step(constants, seed, 0.01, 4.0 * HOUR), EVENT));
    holds("longest wait in seconds", outcome.longest, 0.0..=240.0)?;
    holds(
        "seconds until the spacing was right",
        outcome.recovery,
        0.0..=1800.0,
    )?;
    holds("blocks ahead of schedule", outcome.ahead, 0.0..=24.0)?;
    holds(
        "seconds a block in the fastest 30",
        outcome.fastest,
        4.0..=10.0,
    )
}

/// After a week without miners the next block comes at once, and the lost week gives at most what the two stalls that count are
/// worth (24 blocks), and as many for luck.
fn week_law(constants: Constants, seed: u64) -> Result<(), String> {
    let simulation = pause(constants, seed, (0.0, Dating::True), WEEK, 2.0 * HOUR);
    let outcome = Outcome::of((simulation, EVENT + WEEK));
    holds("seconds until the next block", outcome.next, 0.0..=1.0)?;
    holds("blocks ahead of schedule", outcome.ahead, 0.0..=48.0)?;
    holds(
        "seconds a block in the fastest 30",
        outcome.fastest,
        3.0..=10.0,
    )
}

/// Whoever lies about time finds no more blocks for his hashes, and does not change the spacing.
fn liar_law(simulation: &Simulation) -> Result<(), String> {
    holds("blocks gained by lying", gain(simulation, 1), -0.03..=0.01)?;
    let blocks = between(&simulation.blocks, EVENT, f64::INFINITY);
    holds(
        "mean spacing in seconds",
        DAY / blocks.len() as f64,
        9.9..=10.1,
    )?;
    let refused = simulation
        .miners
        .iter()
        .map(|miners| miners.refused)
        .sum::<u64>();
    holds(
        "blocks that came too early for their time",
        refused as f64,
        0.0..=5.0,
    )
}

fn for_all_seeds(law: impl Fn(Constants, u64) -> Result<(), String>) {
    for seed in SEEDS {
        law(Constants::today(), seed).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
}

#[test]
fn h04_a_steady_network_keeps_its_spacing() {
    for_all_seeds(steady_law);
}

#[test]
fn h04_a_hundredfold_rise_is_followed_within_minutes() {
    for_all_seeds(rise_law);
}

#[test]
fn h04_a_fall_to_a_hundredth_neither_stops_the_chain_nor_starts_a_storm() {
    for_all_seeds(fall_law);
}

#[test]
fn h04_the_stall_rule_is_what_saves_a_network_that_fell() {
    for seed in SEEDS {
        let broken = fall_law(Constants::today().without_stall_rule(), seed);
        assert!(
            broken.is_err(),
            "seed {seed}: the law holds without the rule"
        );
    }
}

#[test]
fn h04_a_week_off_costs_nothing_and_gives_no_storm() {
    for seed in SEEDS.take(3) {
        week_law(Constants::today(), seed).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
}

#[test]
fn h04_ninety_percent_may_leave_at_once() {
    for seed in SEEDS {
        let outcome = Outcome::of((step(Constants::today(), seed, 0.1, 2.0 * HOUR), EVENT));
        holds("longest wait in seconds", outcome.longest, 0.0..=240.0).unwrap();
        holds(
            "seconds until the spacing was right",
            outcome.recovery,
            0.0..=1500.0,
        )
        .unwrap();
    }
}

#[test]
fn h04_one_miner_can_begin_a_network() {
    for seed in SEEDS {
        let outcome = Outcome::of((alone(Constants::today(), seed, 1e7, HOUR), 0.0));
        holds("blocks ahead of schedule", outcome.ahead, 0.0..=96.0).unwrap();
        holds(
            "seconds until the spacing was right",
            outcome.recovery,
            0.0..=900.0,
        )
        .unwrap();
    }
}

/// A chain cannot be easier than its limit: who has less hash rate than one limit every ten seconds waits accordingly, no longer.
#[test]
fn h04_at_the_limit_blocks_come_as_fast_as_the_hash_rate_allows() {
    let rate = 1e5;
    let limit = crate::simulation::cost_of(ChainSpec::dev().pow_limit);
    for seed in SEEDS {
        let slow = alone(Constants::today(), seed, rate, DAY);
        let spacing = DAY / slow.blocks.len() as f64;
        holds(
            "mean spacing over the fastest possible",
            spacing / (limit / rate),
            0.93..=1.07,
        )
        .unwrap();
    }
}

#[test]
fn h04_visitors_do_not_change_the_spacing_nor_stop_the_chain() {
    for seed in SEEDS.take(4) {
        for times in [10.0, 100.0] {
            let day = visitors(
                Constants::today(),
                seed,
                times,
                (1.0, 1.5),
                Dating::True,
                DAY,
            );
            let spacing = DAY / after(&day).len() as f64;
            holds("mean spacing in seconds", spacing, 9.85..=10.15).unwrap();
            holds("what visitors gain", advantage(&day), -0.2..=0.3).unwrap();
            let outcome = Outcome::of((day, EVENT));
            holds("longest wait in seconds", outcome.longest, 0.0..=240.0).unwrap();
        }
    }
}

#[test]
fn h07_lying_about_time_gains_nothing_in_a_steady_network() {
    for share in [0.3, 0.49] {
        for lie in [Dating::Late, Dating::Early, Dating::Sly] {
            for seed in SEEDS.take(4) {
                liar_law(&lying(Constants::today(), seed, share, lie, 1.0, DAY))
                    .unwrap_or_else(|error| panic!("{share} {lie:?}, seed {seed}: {error}"));
            }
        }
    }
}

/// Decision 5: on the parent's own time, a block dated early makes the next one overdue for its maker alone.
#[test]
fn h07_on_the_parents_time_lying_would_pay() {
    for seed in SEEDS.take(4) {
        let spec = Constants::today().spec();
        let miners = network(0.3, Dating::Sly, 1.0);
        let mut simulation = Simulation::new(spec, seed, miners)
            .at_cost(RATE * 10.0)
            .on_parents_time();
        simulation.run_until(EVENT);
        simulation.count_anew();
        simulation.run_until(EVENT + DAY);
        let broken = liar_law(&simulation);
        assert!(
            broken.is_err(),
            "seed {seed}: the law holds on the parent's time"
        );
    }
}

/// Why the check of chain specs wants six spacings between the drift and `stall_after`: just below, late dates would pay.
#[test]
fn h07_a_drift_just_below_the_stall_would_pay() {
    let near = Constants {
        drift: 119,
        ..Constants::today()
    };
    for seed in SEEDS.take(4) {
        let broken = liar_law(&lying(near, seed, 0.3, Dating::Sly, 1.0, DAY));
        assert!(
            broken.is_err(),
            "seed {seed}: the law holds with a drift of 119 s"
        );
    }
}

/// While a fallen network recovers, eased targets are open to late dates a drift earlier. That is a few blocks, not a hold on it.
#[test]
fn h07_liars_do_not_keep_a_network_that_fell() {
    for (share, most) in [(0.3, 0.34), (0.49, 0.53)] {
        for lie in [Dating::Late, Dating::Sly] {
            let drops: Vec<Simulation> = (0..30)
                .map(|seed| lying(Constants::today(), seed, share, lie, 0.01, HOUR))
                .collect();
            let taken = share_of_blocks(&drops, usize::MAX);
            holds("share of the first hour", taken, share - 0.03..=most).unwrap();
        }
    }
}

/// Who dates his blocks into a week that was not mined, in steps, has its target eased at each. The first true date ends that, so
/// it is worth at most the way to the limit: 9 doublings of 12 blocks, two stalls (24), and luck. Not the 60,480 blocks of a week.
#[test]
fn h07_liars_cannot_mine_a_week_that_is_over() {
    for seed in SEEDS.take(3) {
        for lie in [Dating::Early, Dating::Sly] {
            let simulation = pause(Constants::today(), seed, (0.49, lie), WEEK, HOUR);
            let outcome = Outcome::of((simulation, EVENT + WEEK));
            holds("blocks ahead of schedule", outcome.ahead, 0.0..=160.0).unwrap();
        }
    }
}

/// The simulation keeps a chain's times and targets itself. The chain's engine, given the same headers with real proof of work,
/// would refuse the first whose target it sees otherwise.
#[test]
fn the_engine_takes_every_header_that_the_simulation_made() {
    let spec = ChainSpec {
        name: "simulated".into(),
        pow_limit: CompactTarget(0x207f_ffff),
        genesis: ChainSpec::regtest().genesis,
        ..ChainSpec::dev()
    };
    // From the limit up, then a fall that needs easing, with every way of dating: all branches of the rule.
    let part = |share: f64| {
        move |view: &crate::simulation::View| {
            share * if view.elapsed < 3_000.0 { 100.0 } else { 1.0 }
        }
    };
    let miners = [Dating::True, Dating::Late, Dating::Early, Dating::Sly];
    let miners = miners.map(|dating| Miners::new(dating, part(0.25))).into();
    let mut simulation = Simulation::new(spec.clone(), 1, miners).solving();
    simulation.run_until(6_000.0);
    let headers: Vec<_> = simulation.blocks.iter().map(|block| block.header).collect();
    let eased = simulation
        .blocks
        .iter()
        .filter(|block| block.cost < block.base_cost)
        .count();
    assert!(
        headers.len() > 300 && eased > 3,
        "{} headers, {eased} eased",
        headers.len()
    );

    let folder = tempfile::tempdir().unwrap();
    let now = u64::from(spec.genesis.time) + 6_000;
    let options = ChainOptions {
        sync_writes: false,
        clock: Arc::new(move || now),
    };
    let (chain, writer) = open(folder.path(), spec, options).unwrap();
    chain.submit_headers_blocking(headers.clone()).unwrap();
    assert_eq!(
        chain.reader().best_header().hash,
        headers.last().unwrap().hash()
    );
    chain.stop_blocking();
    drop(chain);
    writer.join().unwrap();
}
