//! Progress of long work: a bar with rate and time left on a terminal, nothing elsewhere.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar that counts blocks.
pub(super) fn blocks(what: &'static str, total: u64) -> ProgressBar {
    bar(
        what,
        total,
        "{prefix} {wide_bar:.cyan/blue} {pos}/{len} blocks  {per_sec}  {eta} left",
    )
}

/// A bar that counts bytes of a file; its message says more.
pub(super) fn bytes(what: &'static str, total: u64) -> ProgressBar {
    bar(
        what,
        total,
        "{prefix} {wide_bar:.cyan/blue} {bytes}/{total_bytes}  {msg}  {bytes_per_sec}  {eta} left",
    )
}

/// A sign of life for work whose length is not known.
pub(super) fn spinner(what: &'static str) -> ProgressBar {
    let spinner = bar(what, 0, "{spinner} {prefix} ({elapsed})");
    if !spinner.is_hidden() {
        spinner.enable_steady_tick(std::time::Duration::from_millis(100));
    }
    spinner
}

fn bar(what: &'static str, total: u64, template: &str) -> ProgressBar {
    let target = if std::io::stderr().is_terminal() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    let style = ProgressStyle::with_template(template).expect("the templates are constants");
    ProgressBar::with_draw_target(Some(total), target)
        .with_style(style)
        .with_prefix(what)
}
