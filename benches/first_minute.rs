//! The first minute of a node, measured on the real binary: `cargo bench --profile release --bench first_minute`.
//!
//! From an empty data folder: how long until the RPC answers, how long until the first block is mined, and how much memory an
//! idle node has. Each is measured several times; medians and extremes are printed.

#[path = "shared/node.rs"]
mod node;

use std::fs;
use std::process::Child;
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

const CHAIN: &str = "dev";
/// Starts that are measured.
const RUNS: usize = 5;
/// How long an idle node runs before its memory is read.
const IDLE: Duration = Duration::from_secs(20);
/// No measurement waits longer.
const LIMIT: Duration = Duration::from_secs(60);

fn main() {
    let mut rpc = Vec::new();
    let mut block = Vec::new();
    for _ in 0..RUNS {
        let (dir, mut node, start) = start(&["--threads", "1"]);
        rpc.push(until(start, || node::height(dir.path(), CHAIN).map(|_| ())));
        block.push(until(start, || {
            node::height(dir.path(), CHAIN)
                .filter(|height| *height > 0)
                .map(|_| ())
        }));
        node::end(&mut node);
    }
    report("RPC answers after", "s", &mut rpc);
    report("first block after", "s", &mut block);

    let (dir, mut node, start) = start(&["--no-mine"]);
    until(start, || node::height(dir.path(), CHAIN).map(|_| ()));
    sleep(IDLE);
    let mut memory = vec![resident_mib(node.id())];
    node::end(&mut node);
    report("memory of an idle node", "MiB", &mut memory);
}

fn start(flags: &[&str]) -> (TempDir, Child, Instant) {
    let dir = TempDir::new().expect("a folder");
    let begin = Instant::now();
    let node = node::start(dir.path(), CHAIN, flags);
    (dir, node, begin)
}

fn until(start: Instant, mut met: impl FnMut() -> Option<()>) -> f64 {
    while met().is_none() {
        assert!(start.elapsed() < LIMIT, "nothing happens within {LIMIT:?}");
        sleep(Duration::from_millis(5));
    }
    start.elapsed().as_secs_f64()
}

/// Resident memory of a process (`VmRSS` of `/proc/<pid>/status`).
fn resident_mib(pid: u32) -> f64 {
    let status =
        fs::read_to_string(format!("/proc/{pid}/status")).expect("Linux tells a process's memory");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line
        .and_then(|line| line.split_whitespace().nth(1))
        .expect("a number of KiB");
    kib.parse::<f64>().expect("a number of KiB") / 1024.0
}

fn report(what: &str, unit: &str, values: &mut [f64]) {
    values.sort_by(f64::total_cmp);
    let (least, median, most) = (
        values[0],
        values[values.len() / 2],
        values[values.len() - 1],
    );
    println!(
        "{what:<24} {median:8.2} {unit:<4} (least {least:.2}, most {most:.2}, of {})",
        values.len()
    );
}
