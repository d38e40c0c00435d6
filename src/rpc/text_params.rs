//! Parameters from a command line, as `bitcoin-cli` takes them: text for what is text, JSON for everything else.

use serde_json::{Map, Value};

use super::error::RpcError;
use super::method::Kind;
use super::methods;

/// Parameters by position: `getblockhash 5`.
///
/// # Errors
/// A text that is not the JSON value its parameter needs.
pub fn positional_params(method: &str, texts: &[String]) -> Result<Value, RpcError> {
    let values = texts.iter().enumerate().map(|(index, text)| {
        let param = methods::find(method).and_then(|method| method.params.get(index));
        value(param.map(|param| (param.name, param.kind)), text)
    });
    Ok(Value::Array(values.collect::<Result<_, _>>()?))
}

/// Parameters by name: `-named getblockhash height=5`; those without `=` come first, by position.
///
/// # Errors
/// As [`positional_params`].
pub fn named_params(method: &str, texts: &[String]) -> Result<Value, RpcError> {
    let mut named = Map::new();
    let mut positional = Vec::new();
    for text in texts {
        let Some((name, text)) = text.split_once('=') else {
            positional.push(text.clone());
            continue;
        };
        let params = methods::find(method).map_or(&[][..], |method| method.params);
        let param = params.iter().find(|param| param.is_named(name));
        named.insert(
            name.to_owned(),
            value(param.map(|param| (param.name, param.kind)), text)?,
        );
    }
    if !positional.is_empty() {
        named.insert("args".to_owned(), positional_params(method, &positional)?);
    }
    Ok(Value::Object(named))
}

/// The node judges what this lets through: unknown parameters are JSON where they can be, else text.
fn value(param: Option<(&str, Kind)>, text: &str) -> Result<Value, RpcError> {
    let plain = || Value::String(text.to_owned());
    match param {
        Some((_, Kind::Text)) => Ok(plain()),
        // An amount that is no JSON number (".5") is told as an amount by the node.
        None | Some((_, Kind::Amount | Kind::IntegerOrText | Kind::Ignored)) => {
            Ok(serde_json::from_str(text).unwrap_or_else(|_| plain()))
        }
        Some((
            name,
            Kind::Integer
            | Kind::Boolean
            | Kind::Verbosity
            | Kind::List
            | Kind::Object
            | Kind::ListOrObject
            | Kind::IntegerOrList,
        )) => serde_json::from_str(text).map_err(|_| {
            let text: String = text.chars().take(80).collect();
            RpcError::invalid_parameter(format!(
                "{name}: '{text}' is not a JSON value such as 5, true or [\"a\"]"
            ))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    #[test]
    fn the_table_says_what_is_text() {
        let params = positional_params("getblock", &texts(&["00", "1"]));
        assert_eq!(params, Ok(json!(["00", 1])));
        let params = positional_params("sendtoaddress", &texts(&["123", "0.1"]));
        assert_eq!(
            params.map(|params| params.to_string()),
            Ok(r#"["123",0.1]"#.to_owned())
        );
        let params = named_params("getblock", &texts(&["00", "verbosity=true"]));
        assert_eq!(params, Ok(json!({ "verbosity": true, "args": ["00"] })));
        assert_eq!(
            positional_params("no-such-method", &texts(&["1", "x"])),
            Ok(json!([1, "x"]))
        );
        assert!(positional_params("getblockhash", &texts(&["five"])).is_err());
    }
}
