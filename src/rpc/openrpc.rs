//! The table of methods as an OpenRPC document: for programs that make clients, forms or documentation of it.

use serde_json::{Map, Value, json};

use super::method::{Method, Param};
use super::methods::by_category;
use super::shape;

/// The version of the OpenRPC specification that the document follows.
const OPENRPC_VERSION: &str = "1.3.2";

/// The document. `rpc.discover` answers with it, and the server gives it to whoever asks for `/openrpc.json`.
#[must_use]
pub fn openrpc() -> Value {
    let methods = by_category().into_iter().flat_map(|(category, methods)| {
        let described = move |method| describe(category, method);
        methods.into_iter().map(described)
    });
    json!({
        "openrpc": OPENRPC_VERSION,
        "info": {
            "title": "Quarry",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Bitcoin Core's JSON-RPC on a chain of P2PKH payments",
        },
        "servers": [{ "name": "default", "url": "http://127.0.0.1:7668/" }],
        "methods": methods.collect::<Vec<_>>(),
    })
}

fn describe(category: &str, method: &Method) -> Value {
    let params: Vec<Value> = method.params.iter().map(param).collect();
    let samples = method.sample_params();
    let example = method
        .params
        .iter()
        .zip(samples)
        .map(|(param, sample)| json!({ "name": param.name, "value": from_json(sample) }));
    json!({
        "name": method.name,
        "summary": method.about,
        "tags": [{ "name": category }],
        "paramStructure": "either",
        "params": params,
        "result": {
            "name": "result",
            "description": method.result,
            // A text that is not in the notation promises nothing; a test finds it.
            "schema": shape::schema(method.result).unwrap_or_else(|| json!({})),
        },
        "examples": [{ "name": method.name, "params": example.collect::<Vec<_>>() }],
    })
}

fn param(param: &Param) -> Value {
    let mut schema = Map::new();
    match param.kind.json_types() {
        [] => {}
        [one] => {
            schema.insert("type".into(), json!(one));
        }
        several => {
            schema.insert("type".into(), json!(several));
        }
    }
    if let Some(default) = param.default {
        schema.insert("default".into(), from_json(default));
    }
    let mut fields = json!({
        "name": param.name,
        "description": param.about,
        "required": param.required,
        "schema": schema,
    });
    if let (Some(alias), Some(fields)) = (param.alias, fields.as_object_mut()) {
        fields.insert("x-alias".into(), json!(alias));
    }
    fields
}

/// A JSON text of the table, where a test sees that it is JSON.
fn from_json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or(Value::Null)
}
