//! Lines of external miners: the input is one line.

use quarry::miner::check_line;
use serde_json::Value;

use crate::memory::bounded;

/// Bytes of memory for each byte of a line: the parser's tree of it, and an error that names what was expected.
const FACTOR: u64 = 200;
const FIXED: u64 = 64 << 10;

/// Runs one input.
pub fn run(line: &[u8]) {
    let is_request = |line: &[u8]| bounded("line", line.len(), FACTOR, FIXED, || check_line(line));
    let verdict = is_request(line);
    // Some end their lines as terminals do; the verdict is about what is between the ends.
    assert_eq!(verdict, is_request(&[b" ", line, b"\r"].concat()));
    if !verdict {
        return;
    }
    let value: Value = serde_json::from_slice(line).expect("a request is JSON");
    let fields = value.as_object().expect("a request is an object");
    let method = fields["method"].as_str().expect("a request has a method");
    assert!(method.starts_with("mining."), "{method}");
    let id = fields.get("id").unwrap_or(&Value::Null);
    assert!(id.is_null() || id.is_number() || id.is_string(), "{id}");
    // What an answer repeats of it is JSON again, on one line.
    let again: Value = serde_json::from_str(&id.to_string()).expect("an id is JSON");
    assert_eq!(again, *id);
    assert!(!id.to_string().contains('\n'));
}

/// Each request as miners send it, and others that break one rule each.
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let request = |method: &str, params: &str| {
        format!(r#"{{"id": 1, "method": "mining.{method}", "params": {params}}}"#)
    };
    let submit = r#"["w.1", "1b", "00000001", "6544e7c2", "b2957c02"]"#;
    let rolled = r#"["w.1", "1b", "00000001", "6544e7c2", "b2957c02", "04d46000"]"#;
    let configure = r#"[["version-rolling", "minimum-difficulty", "subscribe-extranonce", "info"], {"version-rolling.mask": "1fffe000", "minimum-difficulty.value": 0.5}]"#;
    let seeds = [
        ("subscribe", request("subscribe", r#"["miner/1", null]"#)),
        ("authorize", request("authorize", r#"["w", "d=0.1"]"#)),
        ("submit", request("submit", submit)),
        ("submit-rolled", request("submit", rolled)),
        ("submit-short", request("submit", r#"["w", "1"]"#)),
        (
            "submit-number",
            request("submit", &submit.replace(r#""b2957c02""#, "7")),
        ),
        ("configure", request("configure", configure)),
        (
            "suggest-difficulty",
            request("suggest_difficulty", "[1e-9]"),
        ),
        ("suggest-negative", request("suggest_difficulty", "[-1]")),
        (
            "suggest-target",
            request("suggest_target", &format!("[\"{}\"]", "0f".repeat(32))),
        ),
        ("extranonce", request("extranonce.subscribe", "[]")),
        ("ping", request("ping", "[]")),
        ("version", request("get_version", "[]")),
        ("unknown", request("get_work", "[]")),
        (
            "id-text",
            r#"{"id": "a\n", "method": "mining.ping"}"#.to_owned(),
        ),
        (
            "id-object",
            r#"{"id": {}, "method": "mining.ping"}"#.to_owned(),
        ),
        (
            "answer",
            r#"{"id": 1, "result": true, "error": null}"#.to_owned(),
        ),
        ("http", "GET / HTTP/1.1\r".to_owned()),
        ("nested", "[".repeat(200)),
        ("empty", String::new()),
    ];
    seeds
        .into_iter()
        .map(|(name, line)| (name.to_owned(), line.into_bytes()))
        .collect()
}
