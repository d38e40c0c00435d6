//! Parameters: by position or by name, checked against the method's table row, read by name.

use std::str::FromStr;

use serde_json::{Map, Value};

use crate::keys::Address;
use crate::primitives::{Amount, AmountError, BlockHash, PubkeyHash, Txid};

use super::amount::parse_amount;
use super::error::{RpcError, code};
use super::method::{Kind, Method, Param};

/// The key under which a call by name gives its first parameters by position (Bitcoin Core does the same).
const POSITIONAL: &str = "args";

/// The parameters of one call.
///
/// # Invariants
/// One value a parameter of the method, `null` where it was not given; each of the parameter's [`Kind`].
pub(super) struct Arguments<'a> {
    method: &'a Method,
    values: Vec<Value>,
}

impl<'a> Arguments<'a> {
    /// Puts `params` (a list, an object or nothing) in the method's order.
    ///
    /// # Errors
    /// -32602 for another form, -1 with the help for a wrong number, -8 for unknown names, -3 for wrong types.
    pub(super) fn bind(method: &'a Method, params: Value) -> Result<Self, RpcError> {
        let mut values = match params {
            Value::Null => Vec::new(),
            Value::Array(values) => values,
            Value::Object(named) => in_order(method, named)?,
            Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                return Err(RpcError::new(
                    code::INVALID_PARAMS,
                    "Params must be an array or object",
                ));
            }
        };
        if values.len() > method.params.len() {
            return Err(RpcError::new(code::MISC_ERROR, method.help()));
        }
        values.resize(method.params.len(), Value::Null);
        let missing = |(param, value): (&Param, &Value)| param.required && value.is_null();
        if method.params.iter().zip(&values).any(missing) {
            return Err(RpcError::new(code::MISC_ERROR, method.help()));
        }
        check_types(method, &values)?;
        Ok(Self { method, values })
    }

    fn value(&self, name: &str) -> Option<&Value> {
        let index = self
            .method
            .params
            .iter()
            .position(|param| param.name == name)?;
        self.values.get(index).filter(|value| !value.is_null())
    }

    /// A string, if given.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.value(name)?.as_str()
    }

    /// A string that the table requires.
    pub(super) fn required_text(&self, name: &str) -> Result<&str, RpcError> {
        self.text(name).ok_or_else(|| absent(name))
    }

    /// A list, if given.
    pub(super) fn list(&self, name: &str) -> Option<&[Value]> {
        self.value(name)?.as_array().map(Vec::as_slice)
    }

    /// A value of any of the types that the table allows.
    pub(super) fn any(&self, name: &str) -> Option<&Value> {
        self.value(name)
    }

    /// A list of strings that the table requires.
    pub(super) fn required_texts(&self, name: &str) -> Result<Vec<&str>, RpcError> {
        let not_a_text = |value: &Value| {
            let found = shown(&value.to_string());
            RpcError::new(code::TYPE_ERROR, format!("{name}: {found} is not a string"))
        };
        self.list(name)
            .ok_or_else(|| absent(name))?
            .iter()
            .map(|value| value.as_str().ok_or_else(|| not_a_text(value)))
            .collect()
    }

    /// `true` or `false`, if given.
    pub(super) fn boolean(&self, name: &str) -> Option<bool> {
        self.value(name)?.as_bool()
    }

    /// A whole number within `T`'s range, if given.
    pub(super) fn integer<T: TryFrom<i128>>(&self, name: &str) -> Result<Option<T>, RpcError> {
        let Some(value) = self.value(name) else {
            return Ok(None);
        };
        let text = value.to_string();
        let number = i128::from_str(&text).map_err(|_| {
            RpcError::new(
                code::TYPE_ERROR,
                format!("{name}: {} is not a whole number", shown(&text)),
            )
        })?;
        let in_range = T::try_from(number);
        in_range.map(Some).map_err(|_| {
            RpcError::invalid_parameter(format!("{name}: {} is out of range", shown(&text)))
        })
    }

    /// A whole number that the table requires.
    pub(super) fn required_integer<T: TryFrom<i128>>(&self, name: &str) -> Result<T, RpcError> {
        self.integer(name)?.ok_or_else(|| absent(name))
    }

    /// An object, if given.
    pub(super) fn object(&self, name: &str) -> Option<&Map<String, Value>> {
        self.value(name)?.as_object()
    }

    /// A detail level: `false` and `true` are 0 and 1.
    pub(super) fn verbosity(&self, name: &str, default: u8) -> Result<u8, RpcError> {
        match self.boolean(name) {
            Some(flag) => Ok(u8::from(flag)),
            None => {
                // Core answers levels above the highest with the highest, and those below 0 with 0.
                let level: Option<i64> = self.integer(name)?;
                Ok(level.map_or(default, |level| {
                    u8::try_from(level.clamp(0, 255)).unwrap_or(u8::MAX)
                }))
            }
        }
    }

    /// An amount, if given.
    pub(super) fn amount(&self, name: &str) -> Result<Option<Amount>, RpcError> {
        self.value(name)
            .map(|value| amount_of(name, value))
            .transpose()
    }

    /// An amount above 0 that the table requires.
    pub(super) fn positive_amount(&self, name: &str) -> Result<Amount, RpcError> {
        match self.amount(name)? {
            Some(Amount::ZERO) => Err(RpcError::new(
                code::TYPE_ERROR,
                format!("Invalid {name}: it is 0; the least is 0.00000001"),
            )),
            Some(amount) => Ok(amount),
            None => Err(absent(name)),
        }
    }

    /// A block hash, if given.
    pub(super) fn block_hash(&self, name: &str) -> Result<Option<BlockHash>, RpcError> {
        self.text(name).map(|text| hash(name, text)).transpose()
    }

    /// A block hash that the table requires.
    pub(super) fn required_block_hash(&self, name: &str) -> Result<BlockHash, RpcError> {
        hash(name, self.required_text(name)?)
    }

    /// A transaction id that the table requires.
    pub(super) fn required_txid(&self, name: &str) -> Result<Txid, RpcError> {
        hash(name, self.required_text(name)?)
    }

    /// A transaction id within a list or an object.
    pub(super) fn txid_in(name: &str, value: &Value) -> Result<Txid, RpcError> {
        match value.as_str() {
            Some(text) => hash(name, text),
            None => Err(RpcError::new(
                code::TYPE_ERROR,
                format!("{name}: a transaction id is a string"),
            )),
        }
    }

    /// An address of the network with this version byte, that the table requires.
    pub(super) fn required_address(&self, name: &str, version: u8) -> Result<PubkeyHash, RpcError> {
        Ok(Address::parse(self.required_text(name)?, version)?.pubkey_hash())
    }

    /// Bytes in hexadecimal that the table requires.
    pub(super) fn required_hex(&self, name: &str, failure: &str) -> Result<Vec<u8>, RpcError> {
        hex::decode(self.required_text(name)?.trim()).map_err(|error| {
            RpcError::new(code::DESERIALIZATION_ERROR, format!("{failure} ({error})"))
        })
    }
}

/// Reads an amount: coins as a number or a text. `name` is what the message calls it.
pub(super) fn amount_of(name: &str, value: &Value) -> Result<Amount, RpcError> {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    parse_amount(&text).map_err(|error| amount_error(name, &error))
}

/// A method asked for a parameter that its table row does not require: a bug.
fn absent(name: &str) -> RpcError {
    RpcError::internal(format_args!("parameter {name} is missing"))
}

fn in_order(method: &Method, mut named: Map<String, Value>) -> Result<Vec<Value>, RpcError> {
    let mut values = match named.remove(POSITIONAL) {
        None => Vec::new(),
        Some(Value::Array(values)) => values,
        Some(_) => {
            return Err(RpcError::invalid_parameter(
                "Parameter args must be an array",
            ));
        }
    };
    for (index, param) in method.params.iter().enumerate() {
        let named_also = param.alias.and_then(|alias| named.remove(alias));
        let Some(value) = named.remove(param.name).or(named_also) else {
            continue;
        };
        if index < values.len() {
            let message = format!(
                "Parameter {} specified twice both as positional and named argument",
                param.name
            );
            return Err(RpcError::invalid_parameter(message));
        }
        values.resize(index, Value::Null);
        values.push(value);
    }
    match named.keys().next() {
        Some(unknown) => Err(RpcError::invalid_parameter(format!(
            "Unknown named parameter {}",
            shown(unknown)
        ))),
        None => Ok(values),
    }
}

fn check_types(method: &Method, values: &[Value]) -> Result<(), RpcError> {
    let wrong: Vec<String> = (1..)
        .zip(method.params.iter().zip(values))
        .filter(|(_, (param, value))| !value.is_null() && !param.kind.takes(value))
        .map(|(number, (param, value))| wrong_type(number, param, value))
        .collect();
    if wrong.is_empty() {
        return Ok(());
    }
    Err(RpcError::new(
        code::TYPE_ERROR,
        format!("Wrong type passed:\n{{\n{}\n}}", wrong.join(",\n")),
    ))
}

fn wrong_type(number: usize, Param { name, kind, .. }: &Param, value: &Value) -> String {
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let expected = Kind::expected(*kind);
    format!(
        "    \"Position {number} ({name})\": \"JSON value of type {found} is not of expected type {expected}\""
    )
}

fn hash<T: FromStr>(name: &str, text: &str) -> Result<T, RpcError> {
    text.parse().map_err(|_| {
        let length = text.chars().count();
        let text = shown(text);
        RpcError::invalid_parameter(if length == 64 {
            format!("{name} must be hexadecimal string (not '{text}')")
        } else {
            format!("{name} must be of length 64 (not {length}, for '{text}')")
        })
    })
}

fn amount_error(name: &str, error: &AmountError) -> RpcError {
    let kind = match error {
        AmountError::TooLarge { .. } | AmountError::TextTooLarge(_) | AmountError::Negative(_) => {
            "Amount out of range"
        }
        AmountError::TooManyDecimals(_) | AmountError::NotANumber(_) => "Invalid amount",
    };
    RpcError::new(code::TYPE_ERROR, format!("{kind}: {name}: {error}"))
}

/// A piece of the input short enough for a message.
fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}
