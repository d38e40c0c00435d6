//! `bench-miner`: how fast this machine searches for blocks.

use std::num::NonZeroUsize;
use std::thread;
use std::time::Duration;

use serde_json::json;

use super::super::args::BenchMinerArgs;
use super::super::context::Context;
use super::super::error::CliResult;
use super::super::text;
use crate::node::{Kernel, KernelSpeed, measure_kernels};

/// How long each measurement lasts: long beside a turn of the scheduler.
const SAMPLE: Duration = Duration::from_millis(100);

/// Prints a line for each kernel; the factor compares it with the `sha2` crate, which is the first.
pub(super) fn run(context: &Context, args: &BenchMinerArgs) -> CliResult {
    let cores = || thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let threads = args.threads.unwrap_or_else(cores);
    let speeds = measure_kernels(threads, SAMPLE, args.rounds);
    let chosen = Kernel::fastest();
    context.out.show(
        || {
            let kernels: Vec<_> = speeds
                .iter()
                .map(|speed| {
                    json!({
                        "kernel": speed.kernel.name(),
                        "one_thread": speed.one_thread.round(),
                        "all_threads": speed.all_threads.round(),
                    })
                })
                .collect();
            json!({ "threads": threads, "chosen": chosen.name(), "hashes_per_second": kernels })
        },
        || table(&speeds, threads, chosen),
    )
}

fn table(speeds: &[KernelSpeed], threads: NonZeroUsize, chosen: Kernel) -> String {
    let baseline = speeds.first().map_or(f64::NAN, |sha2| sha2.one_thread);
    let all = match threads.get() {
        1 => "1 thread".to_owned(),
        many => format!("{many} threads"),
    };
    let mut lines = vec![format!("kernel      1 thread       × sha2   {all}")];
    lines.extend(speeds.iter().map(|speed| {
        format!(
            "{:<10}  {:<13}  {:<7.2}  {}{}",
            speed.kernel.name(),
            text::hash_rate(speed.one_thread),
            speed.one_thread / baseline,
            text::hash_rate(speed.all_threads),
            if speed.kernel == chosen {
                "   <- chosen"
            } else {
                ""
            },
        )
    }));
    lines.join("\n")
}
