//! `peers`.

use serde_json::{Value, json};

use super::super::access::{call, running_node};
use super::super::context::Context;
use super::super::error::CliResult;

/// Prints the running node's peers, one a line.
pub(super) fn run(context: &Context) -> CliResult {
    let client = running_node(context)?;
    let peers = call(&client, "getpeerinfo", json!([]))?;
    if context.out.is_json() {
        return context.out.json(&peers);
    }
    let peers = peers.as_array().cloned().unwrap_or_default();
    if peers.is_empty() {
        return context.out.line("no peers");
    }
    context.out.line(format_args!(
        "{:<44} {:<4} {:>8} {:>8}  {}",
        "ADDRESS", "DIR", "HEIGHT", "PING", "SOFTWARE"
    ))?;
    for peer in peers {
        let text = |field: &str| peer[field].as_str().unwrap_or("-").to_owned();
        let direction = if peer["inbound"].as_bool() == Some(true) {
            "in"
        } else {
            "out"
        };
        let height = peer["synced_headers"]
            .as_i64()
            .or(peer["startingheight"].as_i64());
        let height = height.map_or_else(|| "-".to_owned(), |height| height.to_string());
        let ping = match &peer["pingtime"] {
            Value::Number(seconds) => seconds
                .as_f64()
                .map_or_else(|| "-".to_owned(), |s| format!("{:.0} ms", s * 1000.0)),
            _ => "-".to_owned(),
        };
        let line = format!(
            "{:<44} {direction:<4} {height:>8} {ping:>8}  {}",
            text("addr"),
            text("subver")
        );
        context.out.line(line)?;
    }
    Ok(())
}
