//! The plots of `docs/difficulty.md`: what happens to the network, its difficulty, and its blocks.

use crate::plot::{BLUE, GREEN, Mark, ORANGE, Panel, Series, draw, reference};
use crate::scenarios::*;
use crate::simulation::{Dating, Found, Simulation};

/// The seed of what is drawn.
const SEED: u64 = 1;
/// How many blocks the moving mean of the interval is over.
const MEAN_OVER: usize = 20;

/// All plots, by the names of their files.
pub fn all() -> Vec<(&'static str, String)> {
    let today = Constants::today();
    let start = |rate| alone(today, SEED, rate, HOUR);
    vec![
        (
            "steady",
            network_plot(
                "Steady hash rate",
                &step(today, SEED, 1.0, HOUR),
                EVENT,
                (0.0, 60.0),
            ),
        ),
        (
            "up",
            network_plot(
                "Hash rate ×100",
                &step(today, SEED, 100.0, HOUR),
                EVENT,
                (-5.0, 25.0),
            ),
        ),
        (
            "down",
            network_plot(
                "Hash rate ÷100",
                &step(today, SEED, 0.01, HOUR),
                EVENT,
                (-5.0, 55.0),
            ),
        ),
        (
            "down-without-stall-rule",
            network_plot(
                "Hash rate ÷100, without the stall rule",
                &step(today.without_stall_rule(), SEED, 0.01, 4.0 * HOUR),
                EVENT,
                (-5.0, 115.0),
            ),
        ),
        (
            "leave",
            network_plot(
                "90 % of the hash rate leave",
                &step(today, SEED, 0.1, HOUR),
                EVENT,
                (-5.0, 55.0),
            ),
        ),
        (
            "week",
            network_plot(
                "Switched off for a week",
                &pause(today, SEED, (0.0, Dating::True), WEEK, HOUR),
                EVENT + WEEK,
                (-2.0, 28.0),
            ),
        ),
        (
            "visitors",
            network_plot(
                "Visitors with ten times the hash rate, who come when it is easy",
                &visitors(today, SEED, 10.0, (1.0, 1.5), Dating::True, HOUR),
                EVENT,
                (-5.0, 55.0),
            ),
        ),
        (
            "start",
            network_plot(
                "One miner of 10 MH/s begins a network",
                &start(1e7),
                0.0,
                (0.0, 30.0),
            ),
        ),
        (
            "liars-late",
            liars_plot("30 % of the miners date as late as allowed", Dating::Late),
        ),
        (
            "liars-early",
            liars_plot("30 % of the miners date as early as allowed", Dating::Early),
        ),
    ]
}

/// Hash rate, hashes a block, and intervals over `x` minutes since `event`.
fn network_plot(title: &str, simulation: &Simulation, event: f64, x: (f64, f64)) -> String {
    let minutes = |at: f64| (at - event) / MINUTE;
    let rates = &simulation.rates;
    // While nobody mines there is no place on a logarithmic axis; the lowest stands for it.
    let rate_steps = rates
        .iter()
        .map(|(at, rate)| (minutes(*at), rate.max(1e5)))
        .collect();
    let fair = rates
        .iter()
        .map(|(at, rate)| (minutes(*at), rate.max(1e4) * 10.0))
        .collect();
    let eased = simulation
        .blocks
        .iter()
        .filter(|block| block.cost < block.base_cost);
    let eased: Vec<Found> = eased.copied().collect();
    let panels = [
        Panel {
            label: "hash rate, H/s",
            decades: Some((5, 11)),
            series: vec![series("", Mark::Steps, GREEN, rate_steps)],
        },
        Panel {
            label: "hashes a block",
            decades: Some((6, 12)),
            series: vec![
                Series {
                    mark: Mark::Steps,
                    color: GREEN,
                    ..reference("hash rate × 10 s", fair)
                },
                line(
                    "a block that is not overdue",
                    ORANGE,
                    &simulation.blocks,
                    &minutes,
                    |block| block.base_cost,
                ),
                dots("an overdue block", BLUE, &eased, &minutes, |block| {
                    block.cost
                }),
            ],
        },
        intervals(&simulation.blocks, &minutes, x),
    ];
    draw(title, "minutes", x, &panels)
}

/// How far header times are from the truth, hashes a block, and intervals over an hour of a network with 30 % liars.
fn liars_plot(title: &str, lie: Dating) -> String {
    let mut simulation = settled(Constants::today(), SEED, network(0.3, lie, 1.0));
    simulation.run_until(EVENT + HOUR);
    let minutes = |at: f64| (at - EVENT) / MINUTE;
    let x = (0.0, 60.0);
    let blocks = between(&simulation.blocks, EVENT, f64::INFINITY);
    let genesis = f64::from(Constants::today().spec().genesis.time);
    let off = |by: usize| {
        let of_group = blocks.iter().filter(|block| block.by == by);
        of_group
            .map(|block| {
                (
                    minutes(block.at),
                    f64::from(block.header.time) - genesis - block.at,
                )
            })
            .collect()
    };
    let panels = [
        Panel {
            label: "header time − true time, s",
            decades: None,
            series: vec![
                series("truthful", Mark::Dots, BLUE, off(0)),
                series("liars", Mark::Dots, ORANGE, off(1)),
            ],
        },
        Panel {
            label: "hashes a block",
            decades: Some((8, 10)),
            series: vec![
                reference(
                    "hash rate × 10 s",
                    vec![(x.0, RATE * 10.0), (x.1, RATE * 10.0)],
                ),
                line("a block", ORANGE, blocks, &minutes, |block| block.base_cost),
            ],
        },
        intervals(blocks, &minutes, x),
    ];
    draw(title, "minutes", x, &panels)
}

fn intervals(blocks: &[Found], minutes: &impl Fn(f64) -> f64, x: (f64, f64)) -> Panel {
    let mean = blocks
        .windows(MEAN_OVER + 1)
        .map(|run| {
            let (first, last) = (run[0].at, run[MEAN_OVER].at);
            (minutes(last), (last - first) / MEAN_OVER as f64)
        })
        .collect();
    Panel {
        label: "block interval, s",
        decades: Some((-2, 4)),
        series: vec![
            dots("block", BLUE, blocks, minutes, |block| {
                block.interval.max(0.01)
            }),
            series("mean of 20", Mark::Line, ORANGE, mean),
            reference("10 s", vec![(x.0, 10.0), (x.1, 10.0)]),
        ],
    }
}

fn series(
    label: &'static str,
    mark: Mark,
    color: plotters::style::RGBColor,
    points: Vec<(f64, f64)>,
) -> Series {
    Series {
        label,
        mark,
        color,
        points,
    }
}

fn dots(
    label: &'static str,
    color: plotters::style::RGBColor,
    blocks: &[Found],
    minutes: &impl Fn(f64) -> f64,
    value: impl Fn(&Found) -> f64,
) -> Series {
    series(
        label,
        Mark::Dots,
        color,
        blocks
            .iter()
            .map(|block| (minutes(block.at), value(block)))
            .collect(),
    )
}

fn line(
    label: &'static str,
    color: plotters::style::RGBColor,
    blocks: &[Found],
    minutes: &impl Fn(f64) -> f64,
    value: impl Fn(&Found) -> f64,
) -> Series {
    Series {
        mark: Mark::Line,
        ..dots(label, color, blocks, minutes, value)
    }
}
