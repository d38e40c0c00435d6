//! What a method is: a row of the table in [`methods`](super::methods).

use std::fmt::Write;
use std::sync::Arc;

use serde_json::Value;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::arguments::Arguments;
use super::context::RpcContext;
use super::error::RpcError;

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
}

/// One method.
pub(super) struct Method {
    /// As it is called.
    pub(super) name: &'static str,
    /// Parameters in order.
    pub(super) params: &'static [Param],
    /// What it does.
    pub(super) about: &'static str,
    /// What it answers.
    pub(super) result: &'static str,
    /// Does it.
    pub(super) run: fn(&Call<'_>) -> Answer,
}

/// One parameter.
#[derive(Debug, Clone, Copy)]
pub(super) struct Param {
    /// As it is named in calls by name.
    pub(super) name: &'static str,
    /// What values it takes.
    pub(super) kind: Kind,
    /// Whether it must be given; required ones come first.
    pub(super) required: bool,
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
    /// A JSON object.
    Object,
    /// Anything; taken for compatibility and not looked at.
    Ignored,
}

impl Kind {
    /// In help texts.
    fn name(self) -> &'static str {
        match self {
            Self::Text => "string",
            Self::Integer => "numeric",
            Self::Boolean => "boolean",
            Self::Verbosity => "numeric or boolean",
            Self::Amount => "numeric or string",
            Self::Object => "json object",
            Self::Ignored => "any",
        }
    }

    /// In error messages: JSON's name of what is expected.
    pub(super) fn json_type(self) -> &'static str {
        match self {
            Self::Text => "string",
            Self::Boolean => "bool",
            Self::Integer | Self::Verbosity | Self::Amount => "number",
            Self::Object => "object",
            Self::Ignored => "any",
        }
    }

    /// Whether a value has this type.
    pub(super) fn takes(self, value: &Value) -> bool {
        match self {
            Self::Text => value.is_string(),
            Self::Integer => value.is_number(),
            Self::Boolean => value.is_boolean(),
            Self::Verbosity => value.is_number() || value.is_boolean(),
            Self::Amount => value.is_number() || value.is_string(),
            Self::Object => value.is_object(),
            Self::Ignored => true,
        }
    }
}

/// A parameter that must be given.
pub(super) const fn required(name: &'static str, kind: Kind, about: &'static str) -> Param {
    Param {
        name,
        kind,
        required: true,
        about,
    }
}

/// A parameter that may be left out.
pub(super) const fn optional(name: &'static str, kind: Kind, about: &'static str) -> Param {
    Param {
        name,
        kind,
        required: false,
        about,
    }
}

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

    /// The whole help.
    pub(super) fn help(&self) -> String {
        let mut text = format!("{}\n\n{}\n", self.usage(), self.about);
        if !self.params.is_empty() {
            text += "\nArguments:\n";
        }
        for (number, param) in (1..).zip(self.params) {
            let need = if param.required {
                "required"
            } else {
                "optional"
            };
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "{number}. {} ({}, {need}) {}",
                param.name,
                param.kind.name(),
                param.about
            );
        }
        let _ = writeln!(text, "\nResult:\n{}", self.result);
        text
    }
}
