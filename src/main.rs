//! The program `quarry`: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    quarry::cli::run(std::env::args_os())
}
