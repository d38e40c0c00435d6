//! Requests, batches and notifications.

use serde_json::{Value, json};

use super::Node;
use crate::rpc::method::{Kind, Param};
use crate::rpc::methods::by_category;
use crate::rpc::protocol::MAX_BATCH;

pub(super) fn parsed(text: &str) -> Value {
    serde_json::from_str(text).expect("answers are JSON")
}

#[test]
fn version_one_answers_as_core_does() {
    let node = Node::new();
    let answer = node.post(r#"{"method":"getblockcount","id":"a"}"#);
    assert_eq!(answer.status, 200);
    assert_eq!(
        parsed(&answer.body),
        json!({ "result": 0, "error": null, "id": "a" })
    );
    for (body, status, code) in [
        (r#"{"method":"nonsense","id":1}"#, 404, -32601),
        (r#"{"method":5,"id":1}"#, 400, -32600),
        (r#"{"id":1}"#, 400, -32600),
        (r#"{"jsonrpc":"3.0","method":"uptime","id":1}"#, 400, -32600),
        ("5", 400, -32600),
        (
            r#"{"method":"getblockhash","params":"x","id":1}"#,
            500,
            -32602,
        ),
        (r#"{"method":"getblockhash","params":[99],"id":1}"#, 500, -8),
        ("", 500, -32700),
        ("{", 500, -32700),
        (r#"{"method":NaN}"#, 500, -32700),
    ] {
        let answer = node.post(body);
        assert_eq!(
            (answer.status, &parsed(&answer.body)["error"]["code"]),
            (status, &json!(code)),
            "{body}"
        );
    }
    assert_eq!(node.post(b"\"\xff\"").status, 500);
    assert_eq!(
        parsed(&node.post("[".repeat(100_000)).body)["error"]["code"],
        json!(-32700)
    );
}

#[test]
fn version_two_answers_errors_with_status_200_and_nothing_to_notifications() {
    let node = Node::new();
    let answer = node.post(r#"{"jsonrpc":"2.0","method":"nonsense","id":null}"#);
    assert_eq!(answer.status, 200);
    let body = parsed(&answer.body);
    assert_eq!(
        (body.get("result"), &body["error"]["code"]),
        (None, &json!(-32601))
    );
    let answer = node.post(r#"{"jsonrpc":"2.0","method":"getblockcount"}"#);
    assert_eq!((answer.status, answer.body.as_str()), (204, ""));
}

#[test]
fn r05_batches_are_answered_in_order_and_within_limits() {
    let node = Node::new();
    let mixed = json!([
        { "jsonrpc": "2.0", "method": "getblockcount", "id": 1 },
        { "jsonrpc": "2.0", "method": "getblockcount" },
        { "method": "nonsense", "id": 2 },
        [1],
        7,
    ]);
    let answer = node.post(mixed.to_string());
    assert_eq!(answer.status, 200);
    let answers = parsed(&answer.body);
    let answers = answers.as_array().expect("a list");
    assert_eq!(answers.len(), 4);
    assert_eq!(
        answers[0],
        json!({ "jsonrpc": "2.0", "result": 0, "id": 1 })
    );
    assert_eq!(answers[1]["error"]["code"], json!(-32601));
    assert_eq!(answers[2]["error"]["code"], json!(-32600));

    let notifications = json!([{ "jsonrpc": "2.0", "method": "uptime" }]);
    assert_eq!(node.post(notifications.to_string()).status, 204);
    for wrong in [json!([]), Value::Array(vec![json!(1); MAX_BATCH + 1])] {
        let answer = node.post(wrong.to_string());
        assert_eq!(
            (answer.status, &parsed(&answer.body)["error"]["code"]),
            (400, &json!(-32600))
        );
    }
}

/// What is above the limit is read to its end, but not kept.
#[test]
fn r05_a_batch_that_is_much_too_long_is_counted_only() {
    let node = Node::new();
    let count = 4_000_000;
    let long = format!("[{}1]", "1,".repeat(count - 1));
    let answer = node.post(&long);
    assert_eq!(answer.status, 400);
    assert!(
        answer.body.contains(&format!("{count} requests")),
        "{answer:?}"
    );
    let broken = node.post(format!("{long}]"));
    assert_eq!(
        (broken.status, &parsed(&broken.body)["error"]["code"]),
        (500, &json!(-32700))
    );
}

/// What nobody waits for any more is not run: the same token is cancelled when the client goes away.
#[test]
fn a_batch_ends_with_the_node() {
    let node = Node::new();
    let requests: Vec<Value> = ["getblockcount", "stop", "getnewaddress"]
        .iter()
        .map(|method| json!({ "jsonrpc": "2.0", "id": 1, "method": method }))
        .collect();
    let answers = parsed(&node.post(json!(requests).to_string()).body);
    assert_eq!(answers[0]["result"], json!(0));
    assert!(answers[1]["result"].is_string());
    assert_eq!(answers[2]["error"]["code"], json!(-1), "{answers}");
}

#[test]
fn parameters_have_names_too() {
    let node = Node::new();
    let genesis = node.call("getblockhash", json!([0]));
    assert_eq!(node.call("getblockhash", json!({ "height": 0 })), genesis);
    assert_eq!(
        node.call("getblock", json!({ "args": [genesis], "verbosity": 1 }))["hash"],
        genesis
    );
    assert_eq!(
        node.call("getblock", json!([genesis, null]))["hash"],
        genesis
    );
    for (method, params, code) in [
        ("getblockhash", json!({ "hight": 0 }), -8),
        ("getblockhash", json!({ "args": [0], "height": 0 }), -8),
        ("getblockhash", json!({ "args": 0 }), -8),
        ("getblockhash", json!([]), -1),
        ("getblockhash", json!([null]), -1),
        ("getblockhash", json!([0, 0]), -1),
        ("getblockhash", json!(["0"]), -3),
        ("getblockhash", json!([0.5]), -3),
        ("getblockhash", json!([-1]), -8),
        ("getblockhash", json!([u64::MAX]), -8),
        ("getblock", json!(["00"]), -8),
        ("getblock", json!(["x".repeat(64)]), -8),
    ] {
        assert_eq!(node.code(method, params.clone()), code, "{method} {params}");
    }
}

/// Every method with every kind of junk in every place: an error of the table or a result, never our own fault.
#[test]
fn r04_no_parameter_brings_a_method_down() {
    let node = Node::new();
    let address = node.call("getnewaddress", json!([]));
    let junk = [
        "null",
        "true",
        "-1",
        "1.5",
        "1e400",
        "-0",
        "99999999999999999999999",
        "\"\"",
        "\"zz\"",
        "\"\\u202e\\u0000\"",
        "[]",
        "{}",
        "\"-1\"",
        "\"ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff\"",
    ];
    let mut bodies = Vec::new();
    for (_, methods) in by_category() {
        for method in methods {
            let params = if method.name == "stop" {
                1
            } else {
                method.params.len()
            };
            for place in 0..params.max(1) {
                for value in junk {
                    // What stands around the junk is of the right type, the address is a real one, and nobody waits for long.
                    let sound = |param: &Param| match param.name {
                        "address" | "from" | "to" => address.to_string(),
                        "timeout" => "1".to_owned(),
                        _ => sample(param.kind).to_owned(),
                    };
                    let waits = method
                        .params
                        .iter()
                        .position(|param| param.name == "timeout");
                    if waits == Some(place) && ["null", "-0"].contains(&value) {
                        continue;
                    }
                    let length = waits.map_or(place + 1, |waits| (place + 1).max(waits + 1));
                    let mut params: Vec<String> =
                        method.params.iter().take(length).map(sound).collect();
                    match params.get_mut(place) {
                        Some(at) => value.clone_into(at),
                        None => params.push(value.to_owned()),
                    }
                    bodies.push(format!(
                        r#"{{"jsonrpc":"2.0","id":1,"method":"{}","params":[{}]}}"#,
                        method.name,
                        params.join(",")
                    ));
                }
            }
        }
    }
    for batch in bodies.chunks(MAX_BATCH) {
        let answer = node.post(format!("[{}]", batch.join(",")));
        assert_eq!(answer.status, 200, "{answer:?}");
        let answers = parsed(&answer.body);
        let answers = answers.as_array().expect("a list");
        assert_eq!(answers.len(), batch.len());
        for (body, answer) in batch.iter().zip(answers) {
            assert_ne!(answer["error"]["code"], json!(-32603), "{body}: {answer}");
        }
    }
}

fn sample(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "\"x\"",
        Kind::Integer | Kind::Verbosity | Kind::IntegerOrText | Kind::IntegerOrList => "0",
        Kind::Boolean => "false",
        Kind::Amount => "0.1",
        Kind::List => "[]",
        Kind::Object | Kind::ListOrObject => "{}",
        Kind::Ignored => "null",
    }
}

#[test]
fn every_method_has_a_help() {
    let node = Node::new();
    let overview = node.call("help", json!([]));
    let overview = overview.as_str().expect("a text");
    let mut names = Vec::new();
    for (category, methods) in by_category() {
        assert_eq!(overview.matches(&format!("== {category} ==")).count(), 1);
        for method in methods {
            names.push(method.name);
            assert!(
                method.params.is_sorted_by_key(|param| !param.required),
                "{}",
                method.name
            );
            let help = node.call("help", json!([method.name]));
            let help = help.as_str().expect("a text");
            assert!(
                help.starts_with(method.name) && help.contains("Result:"),
                "{help}"
            );
            for text in method.params.iter().flat_map(|param| {
                let sample = param.required.then(|| param.sample());
                param.default.into_iter().chain(sample)
            }) {
                let value: Value =
                    serde_json::from_str(text).expect("samples and defaults are JSON");
                assert!(!value.is_null(), "{}", method.name);
            }
        }
    }
    for name in [
        "getblockchaininfo",
        "getblockcount",
        "getbestblockhash",
        "getblockhash",
        "getblock",
        "getblockheader",
        "getrawtransaction",
        "sendrawtransaction",
        "getrawmempool",
        "getmempoolinfo",
        "getpeerinfo",
        "getconnectioncount",
        "addnode",
        "getnewaddress",
        "getbalance",
        "sendtoaddress",
        "generatetoaddress",
        "submitblock",
        "getchaintips",
        "invalidateblock",
        "reconsiderblock",
        "stop",
        "help",
        "uptime",
        "getaddressbalance",
        "listaddresses",
        "sendfrom",
        "getmininginfo",
        "getminingstatus",
        "walletpassphrase",
    ] {
        assert_eq!(
            names.iter().filter(|found| **found == name).count(),
            1,
            "{name}"
        );
    }
    assert_eq!(node.code("help", json!(["nonsense"])), -1);
}
