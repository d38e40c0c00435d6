//! What a method is: a row of the table in [`methods`](super::methods).

use std::fmt::Write;
use std::future::{Future, pending};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::runtime::Handle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::http::Place;

use super::arguments::Arguments;
use super::context::RpcContext;
use super::error::RpcError;
use super::wallet_service::LoadedWallet;

/// What a method answers.
pub(super) type Answer = Result<Value, RpcError>;

/// One call, as a method sees it. Methods run on threads that may block, one call at a time each.
pub(super) struct Call<'a> {
    /// The node.
    pub(super) context: &'a Arc<RpcContext>,
    /// The parameters, checked against the table.
    pub(super) args: &'a Arguments<'a>,
    /// Cancelled when the client is gone or the node stops: long work ends early.
    pub(super) cancelled: &'a CancellationToken,
    /// For the few questions that only tasks answer.
    pub(super) runtime: &'a Handle,
    /// The wallet that the request's path names (`/wallet/NAME`).
    pub(super) wallet: Option<&'a str>,
    /// What the call keeps others from, unless it lends it.
    pub(super) place: &'a Place,
}

impl Call<'_> {
    /// The wallet that the request means.
    ///
    /// # Errors
    /// It is not loaded, or there are several.
    pub(super) fn wallet(&self) -> Result<LoadedWallet, RpcError> {
        self.context.wallet.select(self.wallet)
    }

    /// Waits for an event, at most for `limit`; other requests run meanwhile. `None` when the time is over, the client gone, or
    /// the node stops.
    pub(super) fn wait<T>(
        &self,
        limit: Option<Duration>,
        event: impl Future<Output = T>,
    ) -> Option<T> {
        let over = async {
            match limit {
                Some(limit) => sleep(limit).await,
                None => pending().await,
            }
        };
        self.place.lend(|| {
            self.runtime.block_on(async {
                tokio::select! {
                    () = self.cancelled.cancelled() => None,
                    () = over => None,
                    found = event => Some(found),
                }
            })
        })
    }
}

/// One method: all there is to say about it. Dispatch, `help`, the OpenRPC document and `docs/rpc.md` are made from this row.
pub(super) struct Method {
    /// As it is called.
    pub(super) name: &'static str,
    /// Parameters in order.
    pub(super) params: &'static [Param],
    /// What it does. What Bitcoin Core does not have begins with "Quarry:".
    pub(super) about: &'static str,
    /// What it answers, in the notation of [`shape`](super::shape).
    pub(super) result: &'static str,
    /// Does it.
    pub(super) run: fn(&Call<'_>) -> Answer,
}

/// One parameter.
#[derive(Debug, Clone, Copy)]
pub(super) struct Param {
    /// As it is named in calls by name.
    pub(super) name: &'static str,
    /// Another name that Bitcoin Core takes for it.
    pub(super) alias: Option<&'static str>,
    /// What values it takes.
    pub(super) kind: Kind,
    /// Whether it must be given; required ones come first.
    pub(super) required: bool,
    /// What it is when it is not given, as JSON.
    pub(super) default: Option<&'static str>,
    /// A value for the examples, as JSON; without one the kind's.
    pub(super) example: Option<&'static str>,
    /// What it means.
    pub(super) about: &'static str,
}

/// What values a parameter takes. `null` is an optional parameter that is not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A string.
    Text,
    /// A whole number.
    Integer,
    /// `true` or `false`.
    Boolean,
    /// A whole number, or `false` for 0 and `true` for 1.
    Verbosity,
    /// Coins: a number or a string with up to 8 decimals.
    Amount,
    /// A whole number or a string, such as a height or a block hash.
    IntegerOrText,
    /// A list.
    List,
    /// An object.
    Object,
    /// A list or an object.
    ListOrObject,
    /// A whole number or a list, such as the end of a range or both of its ends.
    IntegerOrList,
    /// Anything; taken for compatibility and not looked at.
    Ignored,
}

/// A JSON type, by its name in JSON Schema.
pub(super) type JsonType = &'static str;

impl Kind {
    /// The JSON types it takes.
    pub(super) const fn json_types(self) -> &'static [JsonType] {
        match self {
            Self::Text => &["string"],
            Self::Integer => &["integer"],
            Self::Boolean => &["boolean"],
            Self::Verbosity => &["integer", "boolean"],
            Self::Amount => &["number", "string"],
            Self::IntegerOrText => &["integer", "string"],
            Self::List => &["array"],
            Self::Object => &["object"],
            Self::ListOrObject => &["array", "object"],
            Self::IntegerOrList => &["integer", "array"],
            Self::Ignored => &[],
        }
    }

    /// In help texts.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Text => "string",
            Self::Integer => "numeric",
            Self::Boolean => "boolean",
            Self::Verbosity => "numeric or boolean",
            Self::Amount | Self::IntegerOrText => "numeric or string",
            Self::List => "array",
            Self::Object => "object",
            Self::ListOrObject => "array or object",
            Self::IntegerOrList => "numeric or array",
            Self::Ignored => "any",
        }
    }

    /// In error messages: Bitcoin Core's name of what is expected.
    pub(super) const fn expected(self) -> &'static str {
        match self {
            Self::Text => "string",
            Self::Boolean => "bool",
            Self::Integer | Self::Verbosity | Self::Amount => "number",
            Self::IntegerOrText => "number or string",
            Self::IntegerOrList => "number or array",
            Self::List => "array",
            Self::Object => "object",
            Self::ListOrObject => "array or object",
            Self::Ignored => "any",
        }
    }

    /// Whether a value has this type. That a number is whole is judged where it is read.
    pub(super) fn takes(self, value: &Value) -> bool {
        let found = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        let types = self.json_types();
        let fits = |taken: &&str| *taken == found || (*taken == "integer" && found == "number");
        types.is_empty() || types.iter().any(fits)
    }

    /// A value for the examples, as JSON.
    pub(super) const fn example(self) -> &'static str {
        match self {
            Self::Text => r#""text""#,
            Self::Integer | Self::Verbosity | Self::IntegerOrText | Self::IntegerOrList => "1",
            Self::Boolean => "true",
            Self::Amount => "0.1",
            Self::List => "[]",
            Self::Object | Self::ListOrObject => "{}",
            Self::Ignored => "null",
        }
    }
}

/// A parameter that must be given.
pub(super) const fn required(name: &'static str, kind: Kind, about: &'static str) -> Param {
    Param {
        name,
        alias: None,
        kind,
        required: true,
        default: None,
        example: None,
        about,
    }
}

/// A parameter that may be left out.
pub(super) const fn optional(name: &'static str, kind: Kind, about: &'static str) -> Param {
    Param {
        required: false,
        ..required(name, kind, about)
    }
}

impl Param {
    /// Says what it is when it is not given, as JSON.
    pub(super) const fn or(self, default: &'static str) -> Self {
        Self {
            default: Some(default),
            ..self
        }
    }

    /// Says by which other name it may be given.
    pub(super) const fn also(self, alias: &'static str) -> Self {
        Self {
            alias: Some(alias),
            ..self
        }
    }

    /// Gives a value for the examples, as JSON.
    pub(super) const fn such_as(self, example: &'static str) -> Self {
        Self {
            example: Some(example),
            ..self
        }
    }

    /// Whether this is its name.
    pub(super) fn is_named(&self, name: &str) -> bool {
        self.name == name || self.alias == Some(name)
    }

    /// A value of it, as JSON, for the examples.
    pub(super) fn sample(&self) -> &'static str {
        self.example.unwrap_or_else(|| match self.name {
            "address" | "from" | "to" => r#""mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn""#,
            "blockhash" | "hash" => SAMPLE_BLOCK,
            "txid" => r#""4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b""#,
            _ => self.kind.example(),
        })
    }

    /// `(numeric, optional, default=1)`.
    pub(super) fn terms(&self) -> String {
        let need = match (self.required, self.default) {
            (true, _) => "required".to_owned(),
            (false, None) => "optional".to_owned(),
            (false, Some(default)) => format!("optional, default={default}"),
        };
        format!("({}, {need})", self.kind.name())
    }
}

/// The first block of regtest.
pub(super) const SAMPLE_BLOCK: &str =
    r#""0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206""#;

impl Method {
    /// The first line of its help: `getblock "blockhash" ( verbosity )`.
    pub(super) fn usage(&self) -> String {
        let mut line = self.name.to_owned();
        for param in self.params {
            let quote = if param.kind == Kind::Text { "\"" } else { "" };
            let shown = format!("{quote}{}{quote}", param.name);
            line += &if param.required {
                format!(" {shown}")
            } else {
                format!(" ( {shown} )")
            };
        }
        line
    }

    /// Parameters for an example call, as JSON: those that must be given.
    pub(super) fn sample_params(&self) -> Vec<&'static str> {
        let needed = self.params.iter().filter(|param| param.required);
        needed.map(Param::sample).collect()
    }

    /// Examples, as commands of a shell.
    pub(super) fn examples(&self) -> [String; 2] {
        let params = self.sample_params();
        let plain = |text: &&str| match text.trim_matches('"') {
            bare if bare
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'.') =>
            {
                bare.to_owned()
            }
            bare => format!("'{bare}'"),
        };
        let words: Vec<String> = params.iter().map(plain).collect();
        let command = format!("quarry rpc {} {}", self.name, words.join(" "));
        let body = format!(
            r#"{{"jsonrpc": "2.0", "id": 1, "method": "{}", "params": [{}]}}"#,
            self.name,
            params.join(", ")
        );
        let post = format!(
            "curl --user __cookie__ --data-binary '{body}' -H 'content-type: application/json' http://127.0.0.1:7668/"
        );
        [command.trim_end().to_owned(), post]
    }

    /// The whole help.
    pub(super) fn help(&self) -> String {
        let mut text = format!("{}\n\n{}\n", self.usage(), self.about);
        if !self.params.is_empty() {
            text += "\nArguments:\n";
        }
        for (number, param) in (1..).zip(self.params) {
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "{number}. {} {} {}",
                param.name,
                param.terms(),
                param.about
            );
        }
        let _ = writeln!(text, "\nResult:\n{}\n\nExamples:", self.result);
        for example in self.examples() {
            let _ = writeln!(text, "> {example}");
        }
        text
    }
}
