//! The node itself.

use std::fs;
use std::time::Duration;

use serde_json::json;

use super::{by_category, find, reason};
use crate::rpc::error::{RpcError, code};
use crate::rpc::method::{Answer, Call, Kind, Method, optional};
use crate::rpc::openrpc::openrpc;

pub(super) static METHODS: &[Method] = &[
    Method {
        name: "getmemoryinfo",
        params: &[
            optional("mode", Kind::Text, "\"stats\", the only one there is").or(r#""stats""#),
        ],
        about: "The memory of the process. Nothing is locked in memory, so Bitcoin Core's `locked` is all 0. Quarry: `resident`, \
                in bytes, where the system tells it.",
        result: "{\"locked\": {\"used\": n, \"free\": n, \"total\": n, \"locked\": n, \"chunks_used\": n, \"chunks_free\": n}, \
\"resident\": n|null} (object)",
        run: getmemoryinfo,
    },
    Method {
        name: "getrpcinfo",
        params: &[],
        about: "The calls that run, the longest first, with their microseconds.",
        result: "{\"active_commands\": [{\"method\": \"str\", \"duration\": n}, ...], \"logpath\": \"str\" (empty: logs go to standard error)} (object)",
        run: getrpcinfo,
    },
    Method {
        name: "help",
        params: &[optional(
            "command",
            Kind::Text,
            "The method to explain; without it all are listed, one line each",
        )
        .such_as("\"getblock\"")],
        about: "Lists the methods, or explains one.",
        result: "\"str\" (string) the text",
        run: help,
    },
    Method {
        name: "rpc.discover",
        params: &[],
        about: "All methods with their parameters and results, as an OpenRPC document.",
        result: "{...} (object) the document",
        run: discover,
    },
    Method {
        name: "stop",
        params: &[],
        about: "Asks the node to stop.",
        result: "\"str\" (string) that it is stopping",
        run: stop,
    },
    Method {
        name: "uptime",
        params: &[],
        about: "How long the node has been running.",
        result: "n (numeric) seconds",
        run: uptime,
    },
];

fn help(call: &Call<'_>) -> Answer {
    let Some(name) = call.args.text("command").filter(|name| !name.is_empty()) else {
        return Ok(json!(overview()));
    };
    match find(name) {
        Some(method) => Ok(json!(method.help().trim_end())),
        None => {
            let shown: String = name.chars().take(80).collect();
            let message = match reason(name) {
                Some(reason) => format!("help: {shown} is left out: {reason}"),
                None => format!("help: unknown command: {shown}"),
            };
            Err(RpcError::new(code::MISC_ERROR, message))
        }
    }
}

fn getrpcinfo(call: &Call<'_>) -> Answer {
    let active = call.context.active.list();
    let shown = active
        .into_iter()
        .map(|(method, duration)| json!({ "method": method, "duration": micros(duration) }));
    Ok(json!({ "active_commands": shown.collect::<Vec<_>>(), "logpath": "" }))
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn getmemoryinfo(call: &Call<'_>) -> Answer {
    if let Some(mode) = call.args.text("mode").filter(|mode| *mode != "stats") {
        let mode: String = mode.chars().take(40).collect();
        return Err(RpcError::invalid_parameter(format!("unknown mode {mode}")));
    }
    let locked = json!({
        "used": 0, "free": 0, "total": 0, "locked": 0, "chunks_used": 0, "chunks_free": 0,
    });
    Ok(json!({ "locked": locked, "resident": resident_bytes() }))
}

/// As Linux tells it.
fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    kilobytes.checked_mul(1024)
}

fn discover(_: &Call<'_>) -> Answer {
    Ok(openrpc())
}

fn overview() -> String {
    let section = |(category, methods): (&str, Vec<&Method>)| {
        let lines: Vec<String> = methods.into_iter().map(Method::usage).collect();
        format!("== {category} ==\n{}", lines.join("\n"))
    };
    let sections: Vec<String> = by_category().into_iter().map(section).collect();
    sections.join("\n\n")
}

fn stop(call: &Call<'_>) -> Answer {
    // The answer still goes out: requests in flight are given time to end.
    call.context.stop.cancel();
    Ok(json!("Quarry stopping"))
}

fn uptime(call: &Call<'_>) -> Answer {
    Ok(json!(call.context.started.elapsed().as_secs()))
}
