//! `oracle`: random chains before three judges, and recorded ones again.

mod run;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use quarry_oracle::record;
use quarry_oracle::trial::Trial;

/// Compares Quarry's consensus with Bitcoin Core's kernel and with a naive model.
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: run::Run,
}

#[derive(Subcommand)]
enum Command {
    /// Feed the steps of a saved divergence once more.
    Replay {
        /// The file that a run saved.
        file: PathBuf,
    },
    /// Make some of a run's chains; what a run starts, one a job.
    #[command(hide = true)]
    Worker(run::Worker),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.command {
        None => run::run(&arguments.run),
        Some(Command::Worker(worker)) => run::work(&worker),
        Some(Command::Replay { file }) => replay(&file),
    }
}

fn replay(file: &std::path::Path) -> ExitCode {
    let (steps, signed) = match record::load(file) {
        Ok(loaded) => loaded,
        Err(error) => {
            eprintln!("{}: {error}", file.display());
            return ExitCode::FAILURE;
        }
    };
    let mut trial = Trial::regtest(true);
    let last = steps.len();
    for (number, step) in (1..).zip(steps) {
        match trial.step(step, &signed) {
            Err(divergence) => {
                println!("step {number} of {last}: {divergence}");
                return ExitCode::FAILURE;
            }
            Ok(verdict) if number == last => println!("step {number} of {last}: {verdict:?}"),
            Ok(_) => {}
        }
    }
    match trial.compare_all() {
        Ok(()) => {
            println!("{last} steps, no divergence");
            ExitCode::SUCCESS
        }
        Err(divergence) => {
            println!("after the last step: {divergence}");
            ExitCode::FAILURE
        }
    }
}
