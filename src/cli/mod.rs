//! The command line: the only code that prints.
//!
//! | where | what |
//! |---|---|
//! | `args` | what can be said |
//! | `context`, `access`, `wallet_access` | what a command starts from: folder, settings, network; the chain through a node or in the database; the wallet |
//! | `commands` | one file a command |
//! | `up` | the running node's screen |
//! | `output`, `progress`, `text`, `block_json`, `error` | how it looks, and how it fails |
//! | `passphrase` | where secrets come from |

mod access;
mod args;
mod block_json;
mod commands;
mod context;
mod error;
mod funds;
mod output;
mod passphrase;
mod progress;
mod text;
mod up;
mod wallet_access;

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use args::Args;
use context::Context;
use error::{CliResult, Context as _};
use output::Output;

use crate::node;

/// What commands other than `up` log: what a person should know.
const QUIET: &str = "warn";

/// Runs the program with its arguments, the program's name first: parse, run, exit status (0 done, 1 failed, 2 called wrongly).
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args = match Args::try_parse_from(arguments) {
        Ok(args) => args,
        Err(error) => {
            // Help goes to standard output with status 0, mistakes to standard error with status 2.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(error::USAGE));
        }
    };
    let out = Output::new(args.global.json);
    match commands::run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            out.error(&error);
            ExitCode::from(error.exit_status())
        }
    }
}

/// Sends logs to standard error.
fn start_logs(context: &Context) -> CliResult {
    let level = context.settings.log_level.as_deref().unwrap_or(QUIET);
    let format = context.settings.log_format.unwrap_or_default();
    let colours = io::stderr().is_terminal();
    node::init_telemetry(level, format, colours, BoxMakeWriter::new(io::stderr))
        .or_bad("--log-level")
}
