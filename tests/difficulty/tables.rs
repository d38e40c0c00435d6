//! The tables of `docs/difficulty.md`, as Markdown: means over seeds, and the worst of them.

use crate::scenarios::*;
use crate::simulation::{Dating, Miners, Simulation};

/// A name, and what makes the table.
type Table = (&'static str, fn() -> String);

/// All tables, by the names of their marks in the document.
pub fn all() -> Vec<(&'static str, String)> {
    let tables: [Table; 7] = [
        ("events", events),
        ("liars", liars),
        ("private", private),
        ("visitors", hoppers),
        ("half-life", half_lives),
        ("stall", stall_rules),
        ("drift", drifts),
    ];
    std::thread::scope(|scope| {
        let running = tables.map(|(name, table)| (name, scope.spawn(table)));
        running
            .into_iter()
            .map(|(name, table)| (name, table.join().expect("a table panicked")))
            .collect()
    })
}

/// What happens to an honest network with the constants of `dev`.
fn events() -> String {
    let today = Constants::today();
    let step = |factor| move |seed| (step(today, seed, factor, 2.0 * HOUR), EVENT);
    let week = |seed| {
        (
            pause(today, seed, (0.0, Dating::True), WEEK, 2.0 * HOUR),
            EVENT + WEEK,
        )
    };
    let start = |rate| move |seed| (alone(today, seed, rate, 2.0 * HOUR), 0.0);
    let rows: [(&str, Event<'_>); 9] = [
        ("nothing", &step(1.0)),
        ("hash rate × 10", &step(10.0)),
        ("hash rate × 100", &step(100.0)),
        ("hash rate ÷ 2", &step(0.5)),
        ("90 % leave", &step(0.1)),
        ("hash rate ÷ 100", &step(0.01)),
        ("off for a week", &week),
        ("one miner of 10 MH/s begins", &start(1e7)),
        ("one miner of 1 MH/s begins", &start(1e6)),
    ];
    let mut table = heading(&[
        "what happens",
        "next block after, s",
        "spacing back within 20 % after, min",
        "at most ahead of schedule, blocks",
        "fastest 30 blocks in a row, s each",
    ]);
    for (name, event) in rows {
        let runs: Vec<Outcome> = (0..20).map(|seed| Outcome::of(event(seed))).collect();
        let of = |value: fn(&Outcome) -> f64| Figures::of(runs.iter().map(value));
        row(
            &mut table,
            &[
                name.into(),
                of(|run| run.next).mean_and_most(1),
                of(|run| run.recovery / MINUTE).mean_and_most(0),
                of(|run| run.ahead).mean_and_most(0),
                of(|run| run.fastest).mean_and_least(2),
            ],
        );
    }
    table
}

/// A simulation, and when in it something happened.
type Event<'a> = &'a dyn Fn(u64) -> (Simulation, f64);

/// What liars get, all the time and in a network that loses most of its hash rate.
fn liars() -> String {
    let today = Constants::today();
    let mut table = heading(&[
        "liars",
        "their dates",
        "blocks for their hashes",
        "mean spacing, s",
        "longest wait in a day, s",
        "÷ 100: next block after, s",
        "÷ 100: share of the first 5 blocks",
        "÷ 100: share of the first hour",
    ]);
    for share in [0.3, 0.49] {
        for lie in [Dating::True, Dating::Late, Dating::Early, Dating::Sly] {
            let days: Vec<Simulation> = (0..6)
                .map(|seed| lying(today, seed, share, lie, 1.0, DAY))
                .collect();
            let drops: Vec<Simulation> = (0..100)
                .map(|seed| lying(today, seed, share, lie, 0.01, HOUR))
                .collect();
            let gains = Figures::of(days.iter().map(|day| gain(day, 1)));
            let spacings = Figures::of(days.iter().map(|day| DAY / after(day).len() as f64));
            let waits = Figures::of(days.iter().map(|day| {
                after(day)
                    .iter()
                    .map(|block| block.interval)
                    .fold(0.0, f64::max)
            }));
            let next = Figures::of(drops.iter().map(|drop| after(drop)[0].at - EVENT));
            row(
                &mut table,
                &[
                    percent(share, 0),
                    dates(lie).into(),
                    signed_percent(gains.mean),
                    format!("{:.2}", spacings.mean),
                    format!("{:.0}", waits.most),
                    format!("{:.0}", next.mean),
                    percent(share_of_blocks(&drops, 5), 0),
                    percent(share_of_blocks(&drops, usize::MAX), 0),
                ],
            );
        }
    }
    table
}

/// How often a chain that is mined in secret, from the settled tip on, ever gets ahead of the public one within four hours.
fn private() -> String {
    const TRIALS: u64 = 60;
    let today = Constants::today();
    let leads = [1.0, 6.0, 30.0];
    let mut table = heading(&[
        "secret miners",
        "their dates",
        "half-life, s",
        "ahead by more than 1 block's work",
        "by 6",
        "by 30",
        "secret chain, blocks",
    ]);
    let longer = Constants {
        half_life: 480,
        ..today
    };
    let rows = [0.3, 0.4, 0.49].into_iter().flat_map(|share| {
        [
            (today, share, Dating::True),
            (today, share, Dating::Late),
            (today, share, Dating::Early),
            (longer, share, Dating::True),
            (longer, share, Dating::Early),
        ]
    });
    for (constants, share, lie) in rows {
        let mut wins = [0_u32; 3];
        let mut length = 0;
        for seed in 0..TRIALS {
            let common = settled(constants, seed, network(0.0, Dating::True, 1.0));
            let race = |seed, share, dating| {
                let miners = vec![Miners::steady(dating, share * RATE)];
                let mut side = common.fork(seed, miners);
                side.run_until(EVENT + 4.0 * HOUR);
                side.blocks
            };
            let public = race(seed + TRIALS, 1.0 - share, Dating::True);
            let secret = race(seed + 2 * TRIALS, share, lie);
            length += secret.len();
            let (mut rivals, mut lead, mut best) = (public.iter().peekable(), 0.0, 0.0);
            for block in &secret {
                lead += block.cost;
                while let Some(rival) = rivals.next_if(|rival| rival.at <= block.at) {
                    lead -= rival.cost;
                }
                best = f64::max(best, lead / (RATE * 10.0));
            }
            for (wins, lead) in wins.iter_mut().zip(leads) {
                *wins += u32::from(best > lead);
            }
        }
        let [one, six, thirty] = wins.map(|wins| percent(f64::from(wins) / TRIALS as f64, 0));
        let length = format!("{:.0}", length as f64 / TRIALS as f64);
        row(
            &mut table,
            &[
                percent(share, 0),
                dates(lie).into(),
                constants.half_life.to_string(),
                one,
                six,
                thirty,
                length,
            ],
        );
    }
    table
}

/// What those get who come when it is easy, and what the others suffer.
fn hoppers() -> String {
    let today = Constants::today();
    let mut table = heading(&[
        "visitors",
        "come below, leave above",
        "their dates",
        "blocks for a hash, against residents",
        "share of the blocks",
        "mean spacing, s",
        "longest wait in a day, s",
    ]);
    for (times, name) in [
        (0.43, "30 % of all"),
        (10.0, "10 × the residents"),
        (100.0, "100 × the residents"),
    ] {
        for (come, leave) in [(0.7, 1.0), (1.0, 1.5)] {
            for lie in [Dating::True, Dating::Late, Dating::Sly] {
                let days: Vec<Simulation> = (0..3)
                    .map(|seed| visitors(today, seed, times, (come, leave), lie, DAY))
                    .collect();
                let spacings = Figures::of(days.iter().map(|day| DAY / after(day).len() as f64));
                let waits = Figures::of(days.iter().map(|day| {
                    after(day)
                        .iter()
                        .map(|block| block.interval)
                        .fold(0.0, f64::max)
                }));
                row(
                    &mut table,
                    &[
                        name.into(),
                        format!("{come:.1} ×, {leave:.1} ×"),
                        dates(lie).into(),
                        signed_percent(Figures::of(days.iter().map(advantage)).mean),
                        percent(share_of_blocks(&days, usize::MAX), 0),
                        format!("{:.2}", spacings.mean),
                        format!("{:.0}", waits.most),
                    ],
                );
            }
        }
    }
    table
}

/// The half-life, all else as in `dev`; and aserti3-2d's, scaled from 600 s blocks to 10 s ones.
fn half_lives() -> String {
    let today = Constants::today();
    let scaled = Constants {
        half_life: 2_880,
        ..today
    }
    .without_stall_rule();
    let mut table = heading(&[
        "half-life, s",
        "steady: cost varies by",
        "steady: longest wait in a day, s",
        "× 100: at most ahead, blocks",
        "× 100: back after, min",
        "÷ 100: next block, s",
        "÷ 100: back after, min",
        "÷ 100: 30 % late, share of the first hour",
        "visitors (10 ×): gain",
        "same, dating late",
    ]);
    let rows = [60, 120, 240, 480, 960].map(|half_life| Constants { half_life, ..today });
    for constants in rows.into_iter().chain([scaled]) {
        let days: Vec<Simulation> = (0..3).map(|seed| step(constants, seed, 1.0, DAY)).collect();
        let waits = Figures::of(days.iter().map(|day| {
            after(day)
                .iter()
                .map(|block| block.interval)
                .fold(0.0, f64::max)
        }));
        let hours = if constants == scaled { 40.0 } else { 4.0 };
        let up = outcomes(10, |seed| (step(constants, seed, 100.0, 4.0 * HOUR), EVENT));
        let down = outcomes(10, |seed| {
            (step(constants, seed, 0.01, hours * HOUR), EVENT)
        });
        let drops: Vec<Simulation> = (0..50)
            .map(|seed| lying(constants, seed, 0.3, Dating::Late, 0.01, HOUR))
            .collect();
        let visit = |lie| {
            let days = (0..3).map(|seed| visitors(constants, seed, 10.0, (1.0, 1.5), lie, DAY));
            signed_percent(Figures::of(days.map(|day| advantage(&day))).mean)
        };
        let name = match constants {
            _ if constants == scaled => "2,880, no stall rule".into(),
            _ if constants == today => format!("**{}**", constants.half_life),
            _ => constants.half_life.to_string(),
        };
        row(
            &mut table,
            &[
                name,
                percent(Figures::of(days.iter().map(variation)).mean, 0),
                format!("{:.0}", waits.most),
                Figures::of(up.iter().map(|run| run.ahead)).mean_and_most(0),
                Figures::of(up.iter().map(|run| run.recovery / MINUTE)).mean_and_most(0),
                Figures::of(down.iter().map(|run| run.next)).mean_and_most(0),
                Figures::of(down.iter().map(|run| run.recovery / MINUTE)).mean_and_most(0),
                percent(share_of_blocks(&drops, usize::MAX), 0),
                visit(Dating::True),
                visit(Dating::Late),
            ],
        );
    }
    table
}

/// When easing begins and how fast it goes, all else as in `dev`.
fn stall_rules() -> String {
    let today = Constants::today();
    let rows = [
        (90, 10),
        (120, 5),
        (120, 10),
        (120, 20),
        (120, 30),
        (120, 60),
        (240, 10),
        (600, 10),
    ];
    let rows = rows.map(|(stall_after, stall_doubling)| Constants {
        stall_after,
        stall_doubling,
        ..today
    });
    easing(&rows, &["eased after, s", "doubled every, s"], |row| {
        vec![
            mark(row == today, row.stall_after),
            mark(row == today, row.stall_doubling),
        ]
    })
}

/// How far ahead a block may be dated, all else as in `dev`.
fn drifts() -> String {
    let today = Constants::today();
    let rows = [5, 15, 30, 60, 119].map(|drift| Constants { drift, ..today });
    easing(&rows, &["drift, s"], |row| {
        vec![mark(row == today, row.drift)]
    })
}

fn mark(is_today: bool, value: u32) -> String {
    if is_today {
        format!("**{value}**")
    } else {
        value.to_string()
    }
}

fn easing(rows: &[Constants], names: &[&str], name: impl Fn(Constants) -> Vec<String>) -> String {
    let columns = [
        "÷ 100: next block, s",
        "÷ 100: back after, min",
        "off for a week: at most ahead, blocks",
        "steady: eased blocks a day",
        "30 % sly: blocks for their hashes",
        "÷ 100, 30 % sly: share of the first 5",
        "÷ 100, 30 % sly: share of the first hour",
        "visitors (10 ×), dating late: gain",
    ];
    let mut table = heading(&[names, &columns].concat());
    for &constants in rows {
        let down = outcomes(20, |seed| (step(constants, seed, 0.01, 2.0 * HOUR), EVENT));
        let off = outcomes(3, |seed| {
            (
                pause(constants, seed, (0.0, Dating::True), WEEK, HOUR),
                EVENT + WEEK,
            )
        });
        let truthful = (0..3).map(|seed| step(constants, seed, 1.0, DAY));
        let eased = Figures::of(truthful.map(|day| {
            after(&day)
                .iter()
                .filter(|block| block.cost < block.base_cost)
                .count() as f64
        }));
        let sly = (0..3).map(|seed| lying(constants, seed, 0.3, Dating::Sly, 1.0, DAY));
        let gains = Figures::of(sly.map(|day| gain(&day, 1)));
        let drops: Vec<Simulation> = (0..50)
            .map(|seed| lying(constants, seed, 0.3, Dating::Sly, 0.01, HOUR))
            .collect();
        let visits =
            (0..3).map(|seed| visitors(constants, seed, 10.0, (1.0, 1.5), Dating::Late, DAY));
        let visits = Figures::of(visits.map(|day| advantage(&day)));
        let mut cells = name(constants);
        cells.extend([
            Figures::of(down.iter().map(|run| run.next)).mean_and_most(0),
            Figures::of(down.iter().map(|run| run.recovery / MINUTE)).mean_and_most(0),
            Figures::of(off.iter().map(|run| run.ahead)).mean_and_most(0),
            format!("{:.1}", eased.mean),
            signed_percent(gains.mean),
            percent(share_of_blocks(&drops, 5), 0),
            percent(share_of_blocks(&drops, usize::MAX), 0),
            signed_percent(visits.mean),
        ]);
        row(&mut table, &cells);
    }
    table
}

fn outcomes(seeds: u64, run: impl Fn(u64) -> (Simulation, f64)) -> Vec<Outcome> {
    (0..seeds).map(|seed| Outcome::of(run(seed))).collect()
}

fn dates(dating: Dating) -> &'static str {
    match dating {
        Dating::True => "true",
        Dating::Late => "late",
        Dating::Early => "early",
        Dating::Sly => "sly",
    }
}

/// Mean and extremes of a figure over seeds.
struct Figures {
    mean: f64,
    least: f64,
    most: f64,
}

impl Figures {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let values: Vec<f64> = values.collect();
        Self {
            mean: values.iter().sum::<f64>() / values.len() as f64,
            least: values.iter().copied().fold(f64::INFINITY, f64::min),
            most: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        }
    }

    fn mean_and_most(&self, digits: usize) -> String {
        self.with(self.most, digits)
    }

    fn mean_and_least(&self, digits: usize) -> String {
        self.with(self.least, digits)
    }

    fn with(&self, extreme: f64, digits: usize) -> String {
        let show = |value: f64| match value.is_finite() {
            true => format!("{value:.digits$}"),
            false => "never".into(),
        };
        format!("{} ({})", show(self.mean), show(extreme))
    }
}

fn percent(value: f64, digits: usize) -> String {
    format!("{:.digits$} %", value * 100.0)
}

fn signed_percent(value: f64) -> String {
    if value.is_nan() {
        return "never come".into();
    }
    // No "-0.0".
    let tenths = (value * 1000.0).round() / 10.0 + 0.0;
    format!("{tenths:+.1} %")
}

fn heading(columns: &[&str]) -> String {
    format!(
        "| {} |\n|{}\n",
        columns.join(" | "),
        "---|".repeat(columns.len())
    )
}

fn row(table: &mut String, cells: &[String]) {
    *table += &format!("| {} |\n", cells.join(" | "));
}
