//! Imports of block files, timed: `make bench-import`.
//!
//! Each file is imported by Quarry, by an older Quarry if `QUARRY_BEFORE` names one, and by Bitcoin Core's kernel if
//! `QUARRY_KERNEL_IMPORT` names its importer (`tests/oracle`). All check every signature and write to the disk. Runs alternate,
//! each is a process of its own on a new folder, the time is from its start to its exit, and the file is in the page cache.
//! `QUARRY_BENCH` chooses parts by name: `payments empty reorg coins height sync`; `QUARRY_BENCH_RUNS` says how often.

mod files;
mod height;
#[path = "../shared/node.rs"]
mod node;
mod run;
mod sync;

use std::env;
use std::path::{Path, PathBuf};

use files::Files;
use run::{Cost, Importer};
use tempfile::TempDir;

/// Runs of each side on each file.
const RUNS: usize = 5;
/// Payments of the file of payments, and how many of them a block has.
const PAYMENTS: (usize, usize) = (100_000, 2_000);
/// Blocks of the file of empty blocks.
const EMPTY: u32 = 300;
/// Depth of the reorg, and payments a block.
const REORG: (u32, usize) = (100, 20);
/// Sizes of the set of coins.
const COINS: [usize; 3] = [100_000, 1_000_000, 10_000_000];
/// Blocks that spend from the set, and payments a block.
const SPENDING: (usize, usize) = (20, 2_000);

fn main() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("block-files");
    let files = Files::new(&folder);
    let runs = env::var("QUARRY_BENCH_RUNS").map_or(RUNS, |text| {
        text.parse().expect("QUARRY_BENCH_RUNS is a number")
    });
    let chosen = env::var("QUARRY_BENCH").unwrap_or_default();
    let wants =
        |part: &str| chosen.is_empty() || chosen.split_whitespace().any(|name| name == part);
    let sides = sides();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!("{cores} cores, {runs} runs of each, alternating; medians (least to most)");
    if wants("payments") {
        let (count, in_block) = PAYMENTS;
        let file = files.payments(count, in_block);
        compare(
            &format!("{count} payments, {in_block} a block"),
            &file,
            &sides,
            runs,
        );
    }
    if wants("empty") {
        compare(
            &format!("{EMPTY} empty blocks"),
            &files.empty(EMPTY),
            &sides,
            runs,
        );
    }
    if wants("reorg") {
        let (depth, in_block) = REORG;
        let file = files.reorg(depth, in_block);
        compare(
            &format!("reorg of {depth} blocks, {in_block} payments each"),
            &file,
            &sides,
            runs,
        );
    }
    if wants("coins") {
        for coins in COINS {
            spend_from(coins, &files, &sides);
        }
    }
    if wants("height") {
        height::measure();
    }
    if wants("sync") {
        let (count, in_block) = PAYMENTS;
        let file = files.payments(count, in_block);
        println!("\nsync of {count} payments, {in_block} a block, from two peers on this machine");
        let (imports, syncs, serving) = sync::measure(&sides[0].1, &file, runs);
        let wall = |costs| summary(costs, |cost| cost.wall).0;
        print_cost("import", &imports, "");
        let ratio = wall(&syncs) / wall(&imports);
        print_cost("sync", &syncs, &format!("sync/import {ratio:.2}"));
        let (cpu, range) = median(serving);
        println!("  the two peers spend {cpu:.2} s of CPU {range} on a sync");
    }
}

/// Who is compared; the first is what the others are divided by.
fn sides() -> Vec<(&'static str, Importer)> {
    let quarry = PathBuf::from(env!("CARGO_BIN_EXE_quarry"));
    let mut sides = vec![("quarry", Importer::Quarry(quarry))];
    match env::var_os("QUARRY_KERNEL_IMPORT") {
        Some(program) => sides.push(("kernel", Importer::Kernel(program.into()))),
        None => println!(
            "skipped: Bitcoin Core's kernel, because QUARRY_KERNEL_IMPORT names no importer"
        ),
    }
    if let Some(program) = env::var_os("QUARRY_BEFORE") {
        sides.push(("before", Importer::Quarry(program.into())));
    }
    sides
}

fn compare(what: &str, file: &Path, sides: &[(&'static str, Importer)], runs: usize) {
    println!("\n{what}");
    let mut costs: Vec<Vec<Cost>> = vec![Vec::new(); sides.len()];
    for _ in 0..runs {
        for ((_, importer), costs) in sides.iter().zip(&mut costs) {
            let datadir = TempDir::new().expect("a folder");
            costs.push(importer.run(datadir.path(), file));
        }
    }
    let (ours, _) = summary(&costs[0], |cost| cost.wall);
    for ((name, _), costs) in sides.iter().zip(&costs) {
        let theirs = summary(costs, |cost| cost.wall).0;
        print_cost(name, costs, &format!("quarry/{name} {:.2}", ours / theirs));
    }
}

fn print_cost(name: &str, costs: &[Cost], ratio: &str) {
    let (wall, wall_range) = summary(costs, |cost| cost.wall);
    let (cpu, cpu_range) = summary(costs, |cost| cost.cpu);
    let (peak, _) = summary(costs, |cost| cost.peak);
    println!(
        "  {name:<8} {wall:8.3} s {wall_range:<18} cpu {cpu:7.2} s {cpu_range:<16} peak {peak:6.0} MiB   {ratio}"
    );
}

/// The median, and the extremes as text.
fn summary(costs: &[Cost], of: impl Fn(&Cost) -> f64) -> (f64, String) {
    median(costs.iter().map(of).collect())
}

fn median(mut values: Vec<f64>) -> (f64, String) {
    values.sort_by(f64::total_cmp);
    let range = format!("({:.3} to {:.3})", values[0], values[values.len() - 1]);
    (values[values.len() / 2], range)
}

/// What a block costs where there are `coins` coins.
fn spend_from(coins: usize, files: &Files, sides: &[(&'static str, Importer)]) {
    let (blocks, in_block) = SPENDING;
    let (base, tail) = files.large_set(coins, blocks, in_block);
    println!(
        "\n{coins} coins, then {blocks} blocks of {in_block} payments that spend from all over them"
    );
    for (name, importer) in sides {
        let datadir = TempDir::new().expect("a folder");
        let making = importer.run(datadir.path(), &base);
        let spending = importer.run(datadir.path(), &tail);
        println!(
            "  {name:<8} making {:7.2} s, peak {:4.0} MiB; spending {:6.1} ms and {:6.1} ms of CPU a block, peak {:4.0} MiB",
            making.wall,
            making.peak,
            1e3 * spending.wall / blocks as f64,
            1e3 * spending.cpu / blocks as f64,
            spending.peak
        );
    }
}
