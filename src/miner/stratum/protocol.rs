//! Lines in, answers out: JSON-RPC as miners speak it, one object a line.
//!
//! What comes in is as strangers wrote it: everything is bounded by the length of a line, and checked for its form here, so that
//! a [`Call`] needs no further look at JSON.

use serde_json::{Value, json};

use super::difficulty::Difficulty;
use super::limits::MAX_AGENT;
use crate::primitives::Target;

/// The bytes of the extra nonce that the miner varies.
pub(super) const EXTRA_NONCE2_LEN: usize = 4;

/// Why a request is refused: the numbers that miners know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    /// Anything else.
    Other = 20,
    /// The job is not, or no longer, known.
    Stale = 21,
    /// The share was sent before.
    Duplicate = 22,
    /// The hash is above the share's target.
    LowDifficulty = 23,
    /// The worker was not authorized.
    Unauthorized = 24,
    /// The connection has not subscribed.
    NotSubscribed = 25,
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: Code,
    /// For a person.
    pub(super) message: String,
}

impl Refusal {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    fn other(message: impl Into<String>) -> Self {
        Self::new(Code::Other, message)
    }
}

/// What a miner asks.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Call {
    /// `mining.subscribe`, with what the miner calls itself.
    Subscribe { agent: String },
    /// `mining.authorize`.
    Authorize { name: String, password: String },
    /// `mining.submit`.
    Submit(Submission),
    /// `mining.configure` (BIP310).
    Configure(Vec<Extension>),
    /// `mining.suggest_difficulty` and `mining.suggest_target`.
    Suggest(Difficulty),
    /// `mining.extranonce.subscribe`.
    SubscribeExtraNonce,
    /// `mining.ping`.
    Ping,
    /// `mining.get_version`.
    GetVersion,
}

/// An extension that a miner would like.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Extension {
    /// Varying these bits of the version.
    VersionRolling { mask: u32 },
    /// Nothing easier than this.
    MinimumDifficulty(Difficulty),
    /// News of changed extra nonces.
    SubscribeExtraNonce,
    /// Whatever else.
    Unknown(String),
}

/// A share as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Submission {
    pub(super) worker: String,
    pub(super) job: String,
    pub(super) extra_nonce2: [u8; EXTRA_NONCE2_LEN],
    pub(super) time: u32,
    pub(super) nonce: u32,
    /// The rolled bits of the version, where the miner rolls it.
    pub(super) version_bits: Option<u32>,
}

/// A line that was understood.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Request {
    pub(super) id: Value,
    pub(super) call: Call,
}

/// A line that was not.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Malformed {
    /// The id, as far as there is one; else null.
    pub(super) id: Value,
    pub(super) refusal: Refusal,
}

/// Reads a line without its end. `None` for what needs no answer: empty lines, and answers to what we sent.
pub(super) fn parse(line: &[u8]) -> Result<Option<Request>, Malformed> {
    if line.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    let nameless = |message: &str| Malformed {
        id: Value::Null,
        refusal: Refusal::other(message),
    };
    let value: Value =
        serde_json::from_slice(line).map_err(|_| nameless("the line is not JSON"))?;
    let Value::Object(mut fields) = value else {
        return Err(nameless("the line is not a JSON object"));
    };
    let id = match fields.remove("id").unwrap_or_default() {
        id @ (Value::Null | Value::Number(_) | Value::String(_)) => id,
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            return Err(nameless("the id is neither a number nor a string"));
        }
    };
    let method = match fields.remove("method") {
        Some(Value::String(method)) => method,
        None if fields.contains_key("result") || fields.contains_key("error") => return Ok(None),
        _ => {
            let refusal = Refusal::other("the request names no method");
            return Err(Malformed { id, refusal });
        }
    };
    let params = match fields.remove("params") {
        Some(Value::Array(params)) => params,
        // Some leave out an empty list.
        _ => Vec::new(),
    };
    match call(&method, &params) {
        Ok(call) => Ok(Some(Request { id, call })),
        Err(refusal) => Err(Malformed { id, refusal }),
    }
}

/// Whether a line is a request of miners. Public for the fuzz target.
pub fn check_line(line: &[u8]) -> bool {
    matches!(parse(line), Ok(Some(_)))
}

fn call(method: &str, params: &[Value]) -> Result<Call, Refusal> {
    Ok(match method {
        "mining.subscribe" => Call::Subscribe {
            agent: text(params, 0).map(plain).unwrap_or_default(),
        },
        "mining.authorize" => Call::Authorize {
            name: text(params, 0)
                .ok_or_else(|| expects(method, "[name, password]"))?
                .to_owned(),
            password: text(params, 1).unwrap_or_default().to_owned(),
        },
        "mining.submit" => Call::Submit(submission(params).ok_or_else(|| {
            let form = "[worker, job, extranonce2 (8 hex digits), ntime (8), nonce (8)] and, if the version is rolled, its bits (8)";
            expects(method, form)
        })?),
        "mining.configure" => {
            Call::Configure(extensions(params).ok_or_else(|| {
                expects(method, "[[extension, ...], {\"extension.parameter\": value, ...}]")
            })?)
        }
        "mining.suggest_difficulty" => {
            let given = params.first().and_then(Value::as_f64);
            let difficulty = given.and_then(Difficulty::new);
            Call::Suggest(difficulty.ok_or_else(|| expects(method, "[a number above 0]"))?)
        }
        "mining.suggest_target" => {
            let target = text(params, 0).and_then(target);
            Call::Suggest(Difficulty::of(
                &target.ok_or_else(|| expects(method, "[64 hex digits]"))?,
            ))
        }
        "mining.extranonce.subscribe" => Call::SubscribeExtraNonce,
        "mining.ping" => Call::Ping,
        "mining.get_version" => Call::GetVersion,
        other => {
            let message = format!("there is no method '{}'", plain(other));
            return Err(Refusal::other(message));
        }
    })
}

fn expects(method: &str, form: &str) -> Refusal {
    Refusal::other(format!("{method} takes {form}"))
}

fn text(params: &[Value], index: usize) -> Option<&str> {
    params.get(index)?.as_str()
}

/// What may be shown and logged of a stranger's text.
fn plain(text: &str) -> String {
    let shown = text.chars().filter(|c| c.is_ascii_graphic() || *c == ' ');
    shown.take(MAX_AGENT).collect()
}

fn submission(params: &[Value]) -> Option<Submission> {
    let version_bits = match params.get(5) {
        None | Some(Value::Null) => None,
        Some(_) => Some(hex_number(text(params, 5)?)?),
    };
    Some(Submission {
        worker: text(params, 0)?.to_owned(),
        job: text(params, 1)?.to_owned(),
        extra_nonce2: bytes(text(params, 2)?)?,
        time: hex_number(text(params, 3)?)?,
        nonce: hex_number(text(params, 4)?)?,
        version_bits,
    })
}

fn extensions(params: &[Value]) -> Option<Vec<Extension>> {
    let names = params.first()?.as_array()?;
    let options = params.get(1).and_then(Value::as_object);
    let option = |name: &str| options?.get(name);
    let extension = |name: &Value| {
        Some(match name.as_str()? {
            "version-rolling" => Extension::VersionRolling {
                mask: match option("version-rolling.mask") {
                    None => u32::MAX,
                    Some(mask) => hex_number(mask.as_str()?)?,
                },
            },
            "minimum-difficulty" => {
                let value = option("minimum-difficulty.value")?.as_f64()?;
                Extension::MinimumDifficulty(Difficulty::new(value)?)
            }
            "subscribe-extranonce" => Extension::SubscribeExtraNonce,
            other => Extension::Unknown(plain(other)),
        })
    };
    names.iter().map(extension).collect()
}

/// Exactly so many bytes in hexadecimal.
fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    Some(bytes)
}

/// Eight hexadecimal digits, the highest first.
fn hex_number(text: &str) -> Option<u32> {
    bytes(text).map(u32::from_be_bytes)
}

/// A target above 0.
fn target(text: &str) -> Option<Target> {
    let bytes: [u8; 32] = bytes(text.trim_start_matches("0x"))?;
    (bytes != [0; 32]).then(|| Target::from_be_bytes(bytes))
}

/// The line of an answer.
pub(super) fn answer(id: &Value, result: &Value) -> String {
    json!({ "id": id, "result": result, "error": null }).to_string()
}

/// The line of a refusal.
pub(super) fn refuse(id: &Value, refusal: &Refusal) -> String {
    let error = json!([refusal.code as u8, refusal.message, null]);
    json!({ "id": id, "result": null, "error": error }).to_string()
}

/// The line of something that the miner did not ask for.
pub(super) fn notify(method: &str, params: &Value) -> String {
    json!({ "id": null, "method": method, "params": params }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse_text(line: &str) -> Result<Option<Request>, Malformed> {
        parse(line.as_bytes())
    }

    fn call_of(line: &str) -> Call {
        parse_text(line)
            .expect("it is well formed")
            .expect("it needs an answer")
            .call
    }

    fn refusal_of(line: &str) -> String {
        let refusal = parse_text(line).expect_err("it is malformed").refusal;
        assert_eq!(refusal.code, Code::Other);
        refusal.message
    }

    // As cpuminer 2.5, ESP-Miner 2.4 (Bitaxe) and cgminer 4.12 send them.
    #[test]
    fn what_real_miners_send_is_understood() {
        assert_eq!(
            call_of(r#"{"id": 1, "method": "mining.subscribe", "params": ["cpuminer/2.5.1"]}"#),
            Call::Subscribe {
                agent: "cpuminer/2.5.1".into()
            }
        );
        let configure = r#"{"id": 1, "method": "mining.configure", "params": [["version-rolling"], {"version-rolling.mask": "ffffffff"}]}"#;
        assert_eq!(
            call_of(configure),
            Call::Configure(vec![Extension::VersionRolling { mask: u32::MAX }])
        );
        let submit = r#"{"params": ["w.1", "1b", "00000001", "6544e7c2", "b2957c02", "04d46000"], "id": 99, "method": "mining.submit"}"#;
        assert_eq!(
            call_of(submit),
            Call::Submit(Submission {
                worker: "w.1".into(),
                job: "1b".into(),
                extra_nonce2: [0, 0, 0, 1],
                time: 0x6544_e7c2,
                nonce: 0xb295_7c02,
                version_bits: Some(0x04d4_6000),
            })
        );
        let suggest = r#"{"id": 4, "method": "mining.suggest_difficulty", "params": [1000]}"#;
        assert_eq!(
            call_of(suggest),
            Call::Suggest(Difficulty::new(1000.0).unwrap())
        );
        assert_eq!(
            call_of(r#"{"id":3,"method":"mining.extranonce.subscribe","params":[]}"#),
            Call::SubscribeExtraNonce
        );
        let both = r#"{"id":"a","method":"mining.configure","params":[["minimum-difficulty","nonsense"],{"minimum-difficulty.value":2048}]}"#;
        let expected = vec![
            Extension::MinimumDifficulty(Difficulty::new(2048.0).unwrap()),
            Extension::Unknown("nonsense".into()),
        ];
        assert_eq!(call_of(both), Call::Configure(expected));
    }

    #[test]
    fn what_is_malformed_is_told_with_the_id_it_had() {
        assert_eq!(refusal_of("GET / HTTP/1.1"), "the line is not JSON");
        assert_eq!(refusal_of("[1]"), "the line is not a JSON object");
        assert!(refusal_of(r#"{"id":{},"method":"mining.ping"}"#).contains("id"));
        assert!(refusal_of(r#"{"id":1}"#).contains("no method"));
        assert!(refusal_of(r#"{"id":1,"method":"eth_getWork"}"#).contains("'eth_getWork'"));
        assert!(refusal_of(r#"{"id":1,"method":"mining.authorize"}"#).contains("password"));
        for bad in [
            r#"["w","1","0000000","6544e7c2","b2957c02"]"#,
            r#"["w","1","00000001","6544e7c2"]"#,
            r#"["w","1","00000001","6544e7c2",7]"#,
            r#"["w","1","00000001","6544e7c2","b2957c02","zz000000"]"#,
        ] {
            let line = format!(r#"{{"id":5,"method":"mining.submit","params":{bad}}}"#);
            let malformed = parse_text(&line).unwrap_err();
            assert_eq!(malformed.id, json!(5));
            assert!(malformed.refusal.message.contains("extranonce2"), "{bad}");
        }
        for bad in ["[0]", "[-1]", "[\"x\"]", "[]"] {
            let line = format!(r#"{{"id":5,"method":"mining.suggest_difficulty","params":{bad}}}"#);
            assert!(refusal_of(&line).contains("above 0"), "{bad}");
        }
    }

    #[test]
    fn answers_to_what_we_sent_and_empty_lines_need_no_answer() {
        for line in ["", " \r", r#"{"id":null,"result":true,"error":null}"#] {
            assert_eq!(parse_text(line), Ok(None));
        }
    }

    proptest! {
        #[test]
        fn nothing_that_is_sent_panics(line in ".{0,300}", bytes: Vec<u8>) {
            let _ = parse(line.as_bytes());
            let _ = parse(&bytes);
            let id = json!(line);
            let wrapped = json!({ "id": id, "method": "mining.authorize", "params": [line] });
            let request = parse_text(&wrapped.to_string()).unwrap().unwrap();
            prop_assert_eq!(request.id, id);
        }
    }
}
