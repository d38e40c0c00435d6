//! How a command fails: what it says and its exit status.

use std::fmt::{self, Display};
use std::io;

/// Exit status of a command that was called wrongly.
pub(super) const USAGE: u8 = 2;
/// Exit status of a command that failed.
pub(super) const FAILURE: u8 = 1;

/// Why a command failed.
#[derive(Debug)]
pub(super) enum CliError {
    /// It was called wrongly.
    Usage(String),
    /// It could not be done. Nothing was changed, unless the message says so.
    Failure(String),
    /// A running node's error, told in the words of `bitcoin-cli`.
    Node(String),
    /// The message is on standard output already, as the original's `Not enough funds!` is.
    Told,
    /// Nobody reads the output any more, as behind `| head`: no error.
    PipeClosed,
}

/// Whether an error is one of `StorageError::Damaged`, `StorageError::Database`, `ChainError::Damaged` or
/// `OpenError::LostDatabase`, through however many tasks its text has come.
fn tells_of_damage(text: &str) -> bool {
    const BEGINNINGS: [&str; 3] = [
        "the database is damaged",
        "the database failed",
        "the stored chain is damaged",
    ];
    BEGINNINGS.iter().any(|beginning| text.contains(beginning))
}

/// The result of a command.
pub(super) type CliResult<T = ()> = Result<T, CliError>;

impl CliError {
    /// A wrong call.
    pub(super) fn usage(error: impl Display) -> Self {
        Self::Usage(error.to_string())
    }

    /// A failure.
    pub(super) fn failure(error: impl Display) -> Self {
        Self::Failure(error.to_string())
    }

    /// The same, with what to do next if a damaged database is the cause.
    pub(super) fn with_advice(self, doctor: &str) -> Self {
        match self {
            Self::Failure(text) if tells_of_damage(&text) => Self::Failure(format!(
                "{text}\nwhat is wrong, and what mends it, is told by\n  {doctor}"
            )),
            other => other,
        }
    }

    /// Its exit status.
    pub(super) const fn exit_status(&self) -> u8 {
        match self {
            Self::Usage(_) => USAGE,
            Self::Failure(_) | Self::Node(_) | Self::Told => FAILURE,
            Self::PipeClosed => 0,
        }
    }
}

impl Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text) | Self::Failure(text) | Self::Node(text) => f.write_str(text),
            Self::Told | Self::PipeClosed => Ok(()),
        }
    }
}

/// Adds what was being done to an error.
pub(super) trait Context<T> {
    /// A failure.
    fn or_fail(self) -> CliResult<T>;
    /// A failure of doing `what`.
    fn or_fail_to(self, what: impl Display) -> CliResult<T>;
    /// A wrong call: the value of `flag`.
    fn or_bad(self, flag: &str) -> CliResult<T>;
}

impl<T, E: Display> Context<T> for Result<T, E> {
    fn or_fail(self) -> CliResult<T> {
        self.map_err(CliError::failure)
    }

    fn or_fail_to(self, what: impl Display) -> CliResult<T> {
        self.map_err(|error| CliError::Failure(format!("cannot {what}: {error}")))
    }

    fn or_bad(self, flag: &str) -> CliResult<T> {
        self.map_err(|error| CliError::Usage(format!("{flag}: {error}")))
    }
}

impl From<io::Error> for CliError {
    /// Of writing to standard output, the only input and output whose errors are converted unseen.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::PipeClosed,
            _ => Self::Failure(format!("cannot write to standard output: {error}")),
        }
    }
}
