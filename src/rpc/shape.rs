//! The notation in which the table says what a method answers, close to that of Bitcoin Core's help, and the JSON Schema it means.
//!
//! | written | meant |
//! |---|---|
//! | `n` | a number |
//! | `"hex"` | a string; the word says of what kind |
//! | `true\|false`, `null` | these |
//! | `*` | anything |
//! | `[x, ...]`, `[...]` | a list of such values, of any values |
//! | `{"name": x, "other"?: y}` | an object with these members, of which `other` may be absent |
//! | `{"<txid>": x, ...}` | an object whose names vary, with such values |
//! | `{"name": x, ...}`, `{...}` | an object with more members, of any members |
//! | `x\|y` | either |
//!
//! Words in parentheses after a value say what it is. Alternatives stand on lines of their own, or after `, or `.

use serde_json::{Map, Value, json};

/// Between alternatives. What follows one and is not in the notation is for people.
const MARKS: [&str; 2] = ["\n", ", or "];

/// The JSON Schema of a result; `None` for a text that does not begin in the notation.
pub(super) fn schema(text: &str) -> Option<Value> {
    let mut reader = Reader { rest: text };
    let mut alternatives = vec![reader.value()?];
    let mut rest = reader.rest;
    loop {
        let found = MARKS
            .iter()
            .filter_map(|mark| Some((rest.find(mark)?, mark.len())));
        let Some(after) = found.min().and_then(|(at, length)| rest.get(at + length..)) else {
            return Some(one_of(alternatives));
        };
        let mut reader = Reader { rest: after };
        rest = match reader.value() {
            Some(value) => {
                alternatives.push(value);
                reader.rest
            }
            None => after,
        };
    }
}

fn one_of(mut schemas: Vec<Value>) -> Value {
    match schemas.len() {
        1 => schemas.swap_remove(0),
        _ => json!({ "anyOf": schemas }),
    }
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    /// Steps over white space and, if it comes next, `token`.
    fn take(&mut self, token: &str) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// The same for a token that is a word, and not the beginning of one.
    fn take_word(&mut self, token: &str) -> bool {
        let rest = self.rest.trim_start();
        let ends = rest
            .strip_prefix(token)
            .is_some_and(|after| !after.starts_with(|next: char| next.is_alphanumeric()));
        ends && self.take(token)
    }

    fn expect(&mut self, token: &str) -> Option<()> {
        self.take(token).then_some(())
    }

    /// Steps over everything up to and including `end`.
    fn until(&mut self, end: char) -> Option<&'a str> {
        let (text, rest) = self.rest.split_once(end)?;
        self.rest = rest;
        Some(text)
    }

    fn value(&mut self) -> Option<Value> {
        let mut either = vec![self.single()?];
        while let Some(rest) = self.rest.strip_prefix('|') {
            self.rest = rest;
            either.push(self.single()?);
        }
        let mut schema = one_of(either);
        // Not over a line's end: there the next alternative begins.
        if let Some(rest) = self.rest.strip_prefix(" (") {
            self.rest = rest;
            let about = self.until(')')?;
            schema
                .as_object_mut()?
                .insert("description".into(), json!(about));
        }
        Some(schema)
    }

    fn single(&mut self) -> Option<Value> {
        if ["true|false", "true", "false"]
            .iter()
            .any(|word| self.take_word(word))
        {
            return Some(json!({ "type": "boolean" }));
        }
        if self.take_word("null") {
            return Some(json!({ "type": "null" }));
        }
        if self.take_word("n") {
            return Some(json!({ "type": "number" }));
        }
        if self.take("*") {
            return Some(json!({}));
        }
        if self.take("\"") {
            let kind = self.until('"')?;
            return Some(json!({ "type": "string", "title": kind }));
        }
        if self.take("[") {
            return self.list();
        }
        self.expect("{")?;
        self.object()
    }

    fn list(&mut self) -> Option<Value> {
        if self.take("...") {
            self.expect("]")?;
            return Some(json!({ "type": "array" }));
        }
        let mut items = Vec::new();
        while !self.take("]") {
            if !self.take("...") {
                items.push(self.value()?);
            }
            self.take(",");
        }
        Some(json!({ "type": "array", "items": one_of(items) }))
    }

    fn object(&mut self) -> Option<Value> {
        let (mut members, mut required) = (Map::new(), Vec::new());
        let mut others = json!(false);
        while !self.take("}") {
            if self.take("...") {
                // After names that vary it says "and so on", else "and more".
                if others == json!(false) {
                    others = json!(true);
                }
            } else {
                self.expect("\"")?;
                let name = self.until('"')?;
                let is_optional = self.take("?");
                self.expect(":")?;
                let value = self.value()?;
                if name.starts_with('<') {
                    others = value;
                } else {
                    members.insert(name.to_owned(), value);
                    if !is_optional {
                        required.push(name);
                    }
                }
            }
            self.take(",");
        }
        Some(json!({
            "type": "object",
            "properties": members,
            "required": required,
            "additionalProperties": others,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_notation_means_what_it_says() {
        assert_eq!(
            schema("n (numeric) the height"),
            Some(json!({ "type": "number", "description": "numeric" }))
        );
        let either = schema("null, or \"str\" (string) the reason, or [n, ...]\ntrue|false")
            .expect("it is in the notation");
        let types: Vec<&Value> = either["anyOf"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|one| &one["type"])
            .collect();
        assert_eq!(
            types,
            [
                &json!("null"),
                &json!("string"),
                &json!("array"),
                &json!("boolean")
            ]
        );
        for with_words in [
            "n, or nothing",
            "n\nnone of it, or what comes",
            "n not null",
        ] {
            assert_eq!(schema(with_words), Some(json!({ "type": "number" })));
        }
        let nested = schema(r#"{"a": n, "b"?: [{"<txid>": "hex", ...}], "c": {...} (of it), "d": "x"|null, ...} (object)"#).expect("it is in the notation");
        assert_eq!(nested["required"], json!(["a", "c", "d"]));
        assert_eq!(nested["additionalProperties"], json!(true));
        assert_eq!(
            nested["properties"]["b"]["items"]["additionalProperties"]["type"],
            json!("string")
        );
        assert_eq!(nested["properties"]["c"]["description"], json!("of it"));
        assert_eq!(nested["properties"]["d"]["anyOf"][1]["type"], json!("null"));
        for wrong in [
            "",
            "an object",
            "{\"a\" n}",
            "[n",
            "{\"a\": n",
            "\"open",
            "n (open",
            "{a: n}",
        ] {
            assert_eq!(schema(wrong), None, "{wrong}");
        }
    }
}
