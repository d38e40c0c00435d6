//! What methods answer has the form that the OpenRPC document promises.

use serde_json::{Map, Value, json};

use super::Node;
use crate::rpc::openrpc;

/// Whether a value fits a schema of those that `shape` makes; else where it does not.
fn check(schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    if let Some(schemas) = schema["anyOf"].as_array() {
        let mut fits = schemas.iter().map(|one| check(one, value, at));
        return match fits.any(|fit| fit.is_ok()) {
            true => Ok(()),
            false => Err(format!("{at}: {value} fits none of {schemas:?}")),
        };
    }
    let is_right = match schema["type"].as_str() {
        None => true,
        Some("null") => value.is_null(),
        Some("boolean") => value.is_boolean(),
        Some("number") => value.is_number(),
        Some("string") => value.is_string(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        Some(other) => panic!("unknown type {other}"),
    };
    if !is_right {
        return Err(format!("{at}: {value} is no {}", schema["type"]));
    }
    if let (Some(items), Some(values)) = (schema.get("items"), value.as_array()) {
        for (index, value) in values.iter().enumerate() {
            check(items, value, &format!("{at}[{index}]"))?;
        }
    }
    let (Some(members), Some(fields)) = (schema["properties"].as_object(), value.as_object())
    else {
        return Ok(());
    };
    for name in schema["required"].as_array().into_iter().flatten() {
        let name = name.as_str().expect("names are strings");
        if !fields.contains_key(name) {
            return Err(format!("{at}.{name} is missing"));
        }
    }
    for (name, value) in fields {
        let at = format!("{at}.{name}");
        match (members.get(name), &schema["additionalProperties"]) {
            (Some(schema), _) => check(schema, value, &at)?,
            (None, Value::Bool(true)) => {}
            (None, schema @ Value::Object(_)) => check(schema, value, &at)?,
            (None, _) => return Err(format!("{at} is not in the schema")),
        }
    }
    Ok(())
}

/// Asserts that a result has the form which the document says that the method's results have.
pub(super) fn assert_as_described(method: &str, result: &Value) {
    let document = openrpc();
    let methods = document["methods"].as_array().expect("a list");
    let found = methods.iter().find(|found| found["name"] == method);
    let schema = &found.expect("it is in the document")["result"]["schema"];
    if let Err(fault) = check(schema, result, method) {
        panic!("{fault}\nschema: {schema}");
    }
}

/// What the examples of the document call is answered as described, or refused for a reason that is not the call's form.
#[test]
fn every_example_can_be_called() {
    let node = Node::new();
    node.chain.extend(3);
    let document = node.call("rpc.discover", json!([]));
    assert_eq!(document, openrpc());
    let mut answered = 0;
    for method in document["methods"].as_array().expect("a list") {
        let name = method["name"].as_str().expect("a name");
        if name == "stop" {
            continue;
        }
        let params = method["examples"][0]["params"].as_array().expect("a list");
        let mut named: Map<String, Value> = params
            .iter()
            .map(|param| {
                (
                    param["name"].as_str().expect("a name").to_owned(),
                    param["value"].clone(),
                )
            })
            .collect();
        let mut parameters = method["params"].as_array().expect("a list").iter();
        if parameters.any(|param| param["name"] == "timeout") {
            named.insert("timeout".to_owned(), json!(1));
        }
        let answer = node.request(name, Value::Object(named));
        match answer.get("error") {
            None => {
                assert_as_described(name, &answer["result"]);
                answered += 1;
            }
            // The wrong number of parameters is answered with the help.
            Some(error) => {
                let message = error["message"].as_str().expect("a message");
                assert!(!message.starts_with(name), "{name}: {message}");
                assert_ne!(error["code"], json!(-32603), "{name}: {message}");
            }
        }
    }
    assert!(answered > 30, "{answered}");
}

#[test]
fn the_checker_finds_faults() {
    let schema = crate::rpc::shape::schema(r#"{"a": n, "b"?: ["hex", ...], "c": {"<x>": n, ...}}"#)
        .expect("in the notation");
    let fits = |value: Value| check(&schema, &value, "result").is_ok();
    assert!(fits(json!({ "a": 1, "c": { "k": 2 } })));
    for wrong in [
        json!({ "a": 1 }),
        json!({ "a": "1", "c": {} }),
        json!({ "a": 1, "b": [1], "c": {} }),
        json!({ "a": 1, "c": { "k": "v" } }),
        json!({ "a": 1, "c": {}, "d": 1 }),
        json!([]),
    ] {
        assert!(!fits(wrong.clone()), "{wrong}");
    }
}
