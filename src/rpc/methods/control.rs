//! The node itself.

use serde_json::json;

use super::{CATEGORIES, find};
use crate::rpc::error::{RpcError, code};
use crate::rpc::method::{Answer, Call, Kind, Method, optional};

pub(super) static METHODS: &[Method] = &[
    Method {
        name: "help",
        params: &[optional(
            "command",
            Kind::Text,
            "The method to explain (default: all, one line each)",
        )],
        about: "Lists the methods, or explains one.",
        result: "\"str\" (string) the text",
        run: help,
    },
    Method {
        name: "stop",
        params: &[],
        about: "Asks the node to stop.",
        result: "\"Quarry stopping\" (string)",
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
            let name: String = name.chars().take(80).collect();
            Err(RpcError::new(
                code::MISC_ERROR,
                format!("help: unknown command: {name}"),
            ))
        }
    }
}

fn overview() -> String {
    let section = |(category, methods): &(&str, &[Method])| {
        let lines: Vec<String> = methods.iter().map(Method::usage).collect();
        format!("== {category} ==\n{}", lines.join("\n"))
    };
    let sections: Vec<String> = CATEGORIES.iter().map(section).collect();
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
