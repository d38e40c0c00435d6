//! Printing: for people, or JSON.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Value;

use super::error::{CliError, CliResult};
use crate::primitives::Amount;

/// How a command prints.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output {
    json: bool,
}

impl Output {
    /// Prints JSON or not.
    pub(super) const fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether JSON was asked for.
    pub(super) const fn is_json(self) -> bool {
        self.json
    }

    /// Prints `text()` and a line end, or the JSON value.
    pub(super) fn show(
        self,
        json: impl FnOnce() -> Value,
        text: impl FnOnce() -> String,
    ) -> CliResult {
        if self.json {
            self.json(&json())
        } else {
            self.line(text())
        }
    }

    /// Prints a line.
    pub(super) fn line(self, text: impl std::fmt::Display) -> CliResult {
        let mut out = io::stdout().lock();
        writeln!(out, "{text}")?;
        Ok(out.flush()?)
    }

    /// Prints a value as indented JSON.
    pub(super) fn json(self, value: &impl Serialize) -> CliResult {
        let text = serde_json::to_string_pretty(value).map_err(CliError::failure)?;
        self.line(text)
    }

    /// Tells why a command failed, on standard error.
    pub(super) fn error(self, error: &CliError) {
        let text = error.to_string();
        if text.is_empty() {
            return;
        }
        let mut out = io::stderr().lock();
        // Nothing is left to do where not even this can be written.
        let _ = if self.json {
            let object = serde_json::json!({ "error": text });
            writeln!(out, "{object}")
        } else if let CliError::Node(_) = error {
            writeln!(out, "{text}")
        } else {
            writeln!(out, "error: {text}")
        };
    }
}

/// An amount as a JSON number of coins, exact.
pub(super) fn coins(amount: Amount) -> Value {
    let text = amount.to_string();
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}

/// Many values as one JSON array, written one by one.
pub(super) struct JsonArray<W: Write> {
    out: W,
    empty: bool,
}

impl<W: Write> JsonArray<W> {
    /// Begins the array.
    pub(super) fn begin(mut out: W) -> io::Result<Self> {
        out.write_all(b"[")?;
        Ok(Self { out, empty: true })
    }

    /// Writes the next element.
    pub(super) fn push(&mut self, value: &impl Serialize) -> io::Result<()> {
        self.out
            .write_all(if self.empty { b"\n" } else { b",\n" })?;
        self.empty = false;
        serde_json::to_writer_pretty(&mut self.out, value).map_err(io::Error::from)
    }

    /// Ends the array.
    pub(super) fn end(mut self) -> io::Result<()> {
        self.out.write_all(b"\n]\n")?;
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn amounts_are_exact_numbers() {
        let amount = |text: &str| coins(text.parse().expect("an amount")).to_string();
        assert_eq!(amount("50"), "50");
        assert_eq!(amount("0.00000001"), "0.00000001");
        assert_eq!(amount("20999999.99999999"), "20999999.99999999");
    }

    #[test]
    fn an_array_is_valid_at_any_length() {
        for count in 0..3 {
            let mut text = Vec::new();
            let mut array = JsonArray::begin(&mut text).unwrap();
            for _ in 0..count {
                array.push(&json!({"a": 1})).unwrap();
            }
            array.end().unwrap();
            let value: Vec<Value> = serde_json::from_slice(&text).unwrap();
            assert_eq!(value.len(), count);
        }
    }
}
