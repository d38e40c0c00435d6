//! A run: chains by number until enough was compared, each job a process of its own, because the kernel locks itself as a whole
//! and ends the process when an assertion of its own fails.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use clap::Args;
use quarry_oracle::generator::{Generator, Shape};
use quarry_oracle::record;
use quarry_oracle::tally::Tally;
use serde::{Deserialize, Serialize};

/// What to run.
#[derive(Args)]
pub struct Run {
    /// Blocks to compare at least.
    #[arg(long, default_value_t = 10_000)]
    blocks: u64,
    /// Payments to compare at least.
    #[arg(long, default_value_t = 0)]
    transactions: u64,
    /// The run's seed; equal seeds make equal chains.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Processes at once.
    #[arg(long, default_value_t = 2)]
    jobs: u64,
    /// The number of the first chain; to make one chain of a run again.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Where a divergence is saved.
    #[arg(long, default_value = ".")]
    save: PathBuf,
}

/// One job's part.
#[derive(Args)]
pub struct Worker {
    #[arg(long)]
    seed: u64,
    #[arg(long)]
    first: u64,
    #[arg(long)]
    step: u64,
    #[arg(long)]
    save: PathBuf,
}

/// What a job tells after each chain.
#[derive(Serialize, Deserialize)]
struct Told {
    number: u64,
    tally: Tally,
    divergence: Option<String>,
    saved: Option<PathBuf>,
}

/// Makes chains until it is killed or finds a divergence.
pub fn work(worker: &Worker) -> ExitCode {
    for number in (worker.first..).step_by(usize::try_from(worker.step).unwrap_or(1)) {
        let mut generator = Generator::new(worker.seed, number, Shape::DEFAULT);
        let outcome = generator.run();
        let mut told = Told {
            number,
            tally: generator.trial.tally.clone(),
            divergence: None,
            saved: None,
        };
        if let Err(divergence) = &outcome {
            let path = worker
                .save
                .join(format!("divergence-{}-{number}.steps", worker.seed));
            let saved = record::save(&path, &generator.trial.steps, &generator.forge.signed);
            told.divergence = Some(divergence.to_string());
            told.saved = saved.is_ok().then_some(path);
        }
        let line = serde_json::to_string(&told).expect("counts are JSON");
        let mut out = std::io::stdout().lock();
        // Nobody listens any more: the run has what it wants.
        if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
            return ExitCode::SUCCESS;
        }
        if outcome.is_err() {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// Starts the jobs and adds up what they tell.
pub fn run(run: &Run) -> ExitCode {
    let scratch = quarry_oracle::scratch();
    let start = Instant::now();
    let (sender, told) = mpsc::channel();
    let mut jobs: Vec<Child> = Vec::new();
    for job in 0..run.jobs.max(1) {
        let mut child = start_job(run, job, scratch.path());
        let out = BufReader::new(child.stdout.take().expect("the pipe was asked for"));
        let sender = sender.clone();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let told =
                    serde_json::from_str::<Told>(&line).map_err(|error| format!("{error}: {line}"));
                let _ = sender.send(told);
            }
            let _ = sender.send(Err(format!("job {job} ended")));
        });
        jobs.push(child);
    }
    let mut tally = Tally::default();
    let mut failure = None;
    let mut shown = Instant::now();
    let mut last_of_job = vec![None; jobs.len()];
    while failure.is_none() && (tally.blocks < run.blocks || tally.transactions < run.transactions)
    {
        match told.recv() {
            Ok(Ok(told)) => {
                tally.add(&told.tally);
                let job = (told.number - run.first) % run.jobs.max(1);
                last_of_job[usize::try_from(job).unwrap_or(0)] = Some(told.number);
                if let Some(divergence) = told.divergence {
                    failure = Some(describe(
                        run,
                        told.number,
                        &divergence,
                        told.saved.as_deref(),
                    ));
                }
            }
            Ok(Err(text)) => {
                failure = Some(format!(
                    "{text}; the jobs' last whole chains: {last_of_job:?}"
                ));
            }
            Err(_) => failure = Some("no job is left".into()),
        }
        if shown.elapsed() > Duration::from_secs(10) {
            shown = Instant::now();
            let seconds = start.elapsed().as_secs();
            println!(
                "{seconds:>6} s  {} chains  {} blocks  {} payments",
                tally.chains, tally.blocks, tally.transactions
            );
        }
    }
    for mut job in jobs {
        let _ = job.kill();
        let _ = job.wait();
    }
    println!("{}", tally.table());
    println!("divergences           {:>12}", u8::from(failure.is_some()));
    println!(
        "seed {}, {} jobs, {:.1} s",
        run.seed,
        run.jobs,
        start.elapsed().as_secs_f64()
    );
    match failure {
        None => ExitCode::SUCCESS,
        Some(text) => {
            println!("{text}");
            ExitCode::FAILURE
        }
    }
}

fn start_job(run: &Run, job: u64, scratch: &Path) -> Child {
    let program = std::env::current_exe().expect("a running program has a path");
    Command::new(program)
        .args(["worker", "--seed", &run.seed.to_string()])
        .args(["--first", &(run.first + job).to_string()])
        .args(["--step", &run.jobs.max(1).to_string()])
        .arg("--save")
        .arg(&run.save)
        .env("ORACLE_SCRATCH", scratch)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program can be started again")
}

fn describe(run: &Run, number: u64, divergence: &str, saved: Option<&Path>) -> String {
    let replay = saved.map_or_else(
        || format!("it could not be saved in {}", run.save.display()),
        |path| format!("oracle replay {}", path.display()),
    );
    format!(
        "divergence in chain {number} of seed {}: {divergence}\nmake it again: oracle --seed {} --first {number} --jobs 1\nreplay it:     {replay}",
        run.seed, run.seed
    )
}
