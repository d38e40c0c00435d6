//! `bench-miner`: how fast this machine searches for blocks.

use std::time::Duration;

use serde_json::json;

use super::super::args::BenchMinerArgs;
use super::super::context::Context;
use super::super::error::CliResult;
use super::super::text;
use crate::node::{Kernel, KernelSpeed, ThreadCount, TimeBase, measure_kernels};

/// How long each measurement lasts: long beside a turn of the scheduler.
const SAMPLE: Duration = Duration::from_millis(100);

/// Prints a line for each kernel; the factor compares it with the `sha2` crate, which is the first.
pub(super) fn run(context: &Context, args: &BenchMinerArgs) -> CliResult {
    let threads = args.threads.unwrap_or_else(ThreadCount::all_cores);
    let base = match args.cpu_time {
        true => TimeBase::Processor,
        false => TimeBase::Day,
    };
    let speeds = measure_kernels(threads, SAMPLE, args.rounds, base);
    let threads = threads.get().get();
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
                        "scaling": scaling(speed, threads),
                    })
                })
                .collect();
            json!({ "threads": threads, "chosen": chosen.name(), "hashes_per_second": kernels })
        },
        || table(&speeds, threads, chosen),
    )
}

/// What each of all threads reaches of what one alone does.
fn scaling(speed: &KernelSpeed, threads: usize) -> f64 {
    speed.all_threads / (speed.one_thread * threads as f64)
}

fn table(speeds: &[KernelSpeed], threads: usize, chosen: Kernel) -> String {
    let baseline = speeds.first().map_or(f64::NAN, |sha2| sha2.one_thread);
    let all = match threads {
        1 => "1 thread".to_owned(),
        many => format!("{many} threads"),
    };
    let mut lines = vec![format!(
        "kernel      1 thread       × sha2   {all:<13}  scaling"
    )];
    lines.extend(speeds.iter().map(|speed| {
        format!(
            "{:<10}  {:<13}  {:<7.2}  {:<13}  {:>5.1} %{}",
            speed.kernel.name(),
            text::hash_rate(speed.one_thread),
            speed.one_thread / baseline,
            text::hash_rate(speed.all_threads),
            100.0 * scaling(speed, threads),
            if speed.kernel == chosen {
                "   <- chosen"
            } else {
                ""
            },
        )
    }));
    lines.join("\n")
}
