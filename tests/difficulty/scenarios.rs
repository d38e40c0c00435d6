//! What happens to a network: who mines, with how many hashes, and what they say the time is.

use quarry::consensus::{ChainSpec, Retarget};

use crate::simulation::{Dating, Found, Miners, Simulation};

/// The hash rate of the network before anything happens: ten computers of 10 MH/s.
pub const RATE: f64 = 1e8;
/// When it happens: after an hour in which the chain has settled.
pub const EVENT: f64 = HOUR;
pub const MINUTE: f64 = 60.0;
pub const HOUR: f64 = 3_600.0;
pub const DAY: f64 = 86_400.0;
pub const WEEK: f64 = 604_800.0;

/// The constants that the sweep varies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Constants {
    pub half_life: u32,
    pub stall_after: u32,
    pub stall_doubling: u32,
    pub drift: u32,
}

impl Constants {
    /// Those of `dev`.
    pub fn today() -> Self {
        let spec = ChainSpec::dev();
        match spec.retarget {
            Retarget::Exponential {
                half_life,
                stall_after,
                stall_doubling,
            } => Self {
                half_life,
                stall_after,
                stall_doubling,
                drift: spec.max_future_drift,
            },
            Retarget::Fixed => panic!("dev retargets"),
        }
    }

    /// `dev` with these.
    pub fn spec(self) -> ChainSpec {
        ChainSpec {
            retarget: Retarget::Exponential {
                half_life: self.half_life,
                stall_after: self.stall_after,
                stall_doubling: self.stall_doubling,
            },
            max_future_drift: self.drift,
            ..ChainSpec::dev()
        }
    }

    /// The same without easing: nothing is ever as late as a year.
    pub fn without_stall_rule(self) -> Self {
        Self {
            stall_after: 31_536_000,
            ..self
        }
    }
}

/// Truthful miners and liars, who have `share` of the hash rate, which is `factor` times the usual one after the event.
pub fn network(share: f64, lie: Dating, factor: f64) -> Vec<Miners> {
    let part = move |share: f64| {
        move |view: &crate::simulation::View| {
            share * RATE * if view.elapsed < EVENT { 1.0 } else { factor }
        }
    };
    let mut miners = vec![Miners::new(Dating::True, part(1.0 - share))];
    if share > 0.0 {
        miners.push(Miners::new(lie, part(share)));
    }
    miners
}

/// A settled network until the event.
pub fn settled(constants: Constants, seed: u64, miners: Vec<Miners>) -> Simulation {
    let spec = constants.spec();
    let spacing = f64::from(spec.target_spacing);
    let mut simulation = Simulation::new(spec, seed, miners).at_cost(RATE * spacing);
    simulation.run_until(EVENT);
    simulation.count_anew();
    simulation
}

/// A settled network whose hash rate is `factor` times as high from the event on, for `length` seconds.
pub fn step(constants: Constants, seed: u64, factor: f64, length: f64) -> Simulation {
    let mut simulation = settled(constants, seed, network(0.0, Dating::True, factor));
    simulation.run_until(EVENT + length);
    simulation
}

/// A settled network that is switched off at the event, for `pause` seconds, and runs for `length` seconds more.
pub fn pause(
    constants: Constants,
    seed: u64,
    (share, lie): (f64, Dating),
    pause: f64,
    length: f64,
) -> Simulation {
    let part = move |share: f64| {
        move |view: &crate::simulation::View| {
            let off = (EVENT..EVENT + pause).contains(&view.elapsed);
            if off { 0.0 } else { share * RATE }
        }
    };
    let miners = vec![
        Miners::new(Dating::True, part(1.0 - share)),
        Miners::new(lie, part(share)),
    ];
    let mut simulation = settled(constants, seed, miners);
    simulation.run_until(EVENT + pause + length);
    simulation
}

/// Visitors with `times` the hash rate of the residents, who come when a block costs less than `come` times what residents alone
/// would pay, and leave when it costs more than `leave` times that.
pub fn visitors(
    constants: Constants,
    seed: u64,
    times: f64,
    (come, leave): (f64, f64),
    dating: Dating,
    length: f64,
) -> Simulation {
    let usual = RATE * f64::from(constants.spec().target_spacing);
    let mut here = false;
    let visit = move |view: &crate::simulation::View| {
        if view.elapsed < EVENT {
            return 0.0;
        }
        here = view.cost < if here { leave * usual } else { come * usual };
        if here { times * RATE } else { 0.0 }
    };
    let miners = vec![
        Miners::steady(Dating::True, RATE),
        Miners::new(dating, visit),
    ];
    let mut simulation = settled(constants, seed, miners);
    simulation.run_until(EVENT + length);
    simulation
}

/// One miner that begins a network at the easiest target.
pub fn alone(constants: Constants, seed: u64, rate: f64, length: f64) -> Simulation {
    let miners = vec![Miners::steady(Dating::True, rate)];
    let mut simulation = Simulation::new(constants.spec(), seed, miners);
    simulation.run_until(length);
    simulation
}

/// The blocks found from `from` on and before `to`.
pub fn between(blocks: &[Found], from: f64, to: f64) -> &[Found] {
    let first = blocks.partition_point(|block| block.at < from);
    let last = blocks.partition_point(|block| block.at < to);
    &blocks[first..last]
}

/// The expected spacing of a block that is not overdue.
fn expected_spacing(block: &Found) -> f64 {
    block.base_cost / block.rate
}

/// Seconds from `event` until a block's expected spacing is within a fifth of `spacing`.
fn recovery(blocks: &[Found], event: f64, spacing: f64) -> Option<f64> {
    blocks
        .iter()
        .find(|block| (0.8..=1.2).contains(&(expected_spacing(block) / spacing)))
        .map(|block| block.at - event)
}

/// The shortest time that any `count` blocks in a row took, each.
fn fastest_run(blocks: &[Found], count: usize) -> f64 {
    blocks
        .windows(count + 1)
        .map(|run| (run[count].at - run[0].at) / count as f64)
        .fold(f64::INFINITY, f64::min)
}

/// How much more blocks a group can expect for a hash than the whole network: 0.05 is 5 % more.
pub fn gain(simulation: &Simulation, group: usize) -> f64 {
    let sum = |value: fn(&Miners) -> f64| simulation.miners.iter().map(value).sum::<f64>();
    let own = &simulation.miners[group];
    let blocks = own.expected / sum(|miners| miners.expected);
    blocks / (own.hashes / sum(|miners| miners.hashes)) - 1.0
}

/// How many blocks more for a hash the visitors got than the residents: 0.05 is 5 % more.
pub fn advantage(simulation: &Simulation) -> f64 {
    let [residents, visitors] = &simulation.miners[..] else {
        panic!("there are residents and visitors");
    };
    (visitors.expected / visitors.hashes) / (residents.expected / residents.hashes) - 1.0
}

/// A settled network with liars, whose hash rate is `factor` times as high from the event on, for `length` seconds.
pub fn lying(
    constants: Constants,
    seed: u64,
    share: f64,
    lie: Dating,
    factor: f64,
    length: f64,
) -> Simulation {
    let mut simulation = settled(constants, seed, network(share, lie, factor));
    simulation.run_until(EVENT + length);
    simulation
}

/// The blocks since the event.
pub fn after(simulation: &Simulation) -> &[Found] {
    between(&simulation.blocks, EVENT, f64::INFINITY)
}

/// Which part of the first `count` blocks since the event the second group found, over all simulations.
pub fn share_of_blocks(simulations: &[Simulation], count: usize) -> f64 {
    let (mut own, mut all) = (0, 0);
    for simulation in simulations {
        for block in after(simulation).iter().take(count) {
            own += block.by;
            all += 1;
        }
    }
    own as f64 / f64::from(all)
}

/// The standard deviation of what a block costs, as a part of it.
pub fn variation(simulation: &Simulation) -> f64 {
    let logs = || {
        after(simulation)
            .iter()
            .map(|block| libm::log(block.base_cost))
    };
    let count = logs().count() as f64;
    let mean = logs().sum::<f64>() / count;
    (logs().map(|log| (log - mean) * (log - mean)).sum::<f64>() / count).sqrt()
}

/// What became of a network after something happened to it.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    /// Seconds until the next block.
    pub next: f64,
    /// Seconds until the expected spacing is within a fifth of the right one; infinite where it never was.
    pub recovery: f64,
    /// How many more blocks than scheduled there were at the worst moment.
    pub ahead: f64,
    /// The shortest time that 30 blocks in a row took, each.
    pub fastest: f64,
    /// The longest time without a block.
    pub longest: f64,
}

impl Outcome {
    /// Of a simulation in which something happened at `event`.
    pub fn of((simulation, event): (Simulation, f64)) -> Self {
        let spacing = f64::from(simulation.spec().target_spacing);
        let blocks = between(&simulation.blocks, event, f64::INFINITY);
        let starts = || {
            [event]
                .into_iter()
                .chain(blocks.iter().map(|block| block.at))
        };
        let ends = starts().skip(1).chain([simulation.elapsed()]);
        Self {
            next: blocks
                .first()
                .map_or(f64::INFINITY, |block| block.at - event),
            recovery: recovery(blocks, event, spacing).unwrap_or(f64::INFINITY),
            ahead: (1..)
                .zip(blocks)
                .map(|(count, block)| f64::from(count) - (block.at - event) / spacing)
                .fold(0.0, f64::max),
            fastest: fastest_run(blocks, 30),
            longest: ends
                .zip(starts())
                .map(|(end, start)| end - start)
                .fold(0.0, f64::max),
        }
    }
}
