//! Logs: `tracing` events, as text or JSON lines, to a writer that the caller chooses.

use serde::Deserialize;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

/// Libraries that tell at `info` what only their authors want to know.
const QUIET: [&str; 4] = [
    "libp2p=warn",
    "multistream_select=warn",
    "yamux=warn",
    "netlink=warn",
];

/// The form of log lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Why logs cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// Not a level.
    #[error(
        "'{text}' is no log level ({reason}): expected error, warn, info, debug or trace, or directives such as info,quarry::network=debug"
    )]
    Level {
        /// What was given.
        text: String,
        /// What is wrong.
        reason: String,
    },
    /// It was done before.
    #[error("logs are set up already")]
    Twice,
}

/// Sends the logs of this process to `writer`. `level` is a level or a list of directives.
///
/// # Errors
/// [`TelemetryError`], which names the level.
pub fn init(
    level: &str,
    format: LogFormat,
    colours: bool,
    writer: BoxMakeWriter,
) -> Result<(), TelemetryError> {
    let bad = |reason: String| TelemetryError::Level {
        text: level.to_owned(),
        reason,
    };
    // A typing mistake such as "inof" would parse as a directive for a module of that name and silence everything.
    let plain = !level.contains(['=', ',']);
    if plain
        && level
            .parse::<tracing::level_filters::LevelFilter>()
            .is_err()
    {
        return Err(bad("unknown level".to_owned()));
    }
    let quiet = QUIET.join(",");
    // Of two directives for one target the last wins, so the user's own come last.
    let directives = match level {
        "debug" | "trace" => level.to_owned(),
        _ => format!("{quiet},{level}"),
    };
    let filter = EnvFilter::try_new(directives).map_err(|error| bad(error.to_string()))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        // A log that cannot be written (a closed pipe, a full disk) is lost; telling of it on the same stream would panic.
        .log_internal_errors(false)
        .with_ansi(colours);
    match format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    }
    .map_err(|_| TelemetryError::Twice)
}
