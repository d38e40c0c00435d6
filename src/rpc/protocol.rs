//! JSON-RPC 1.0 and 2.0 over one HTTP body: requests, batches, notifications, and the HTTP status of the answer.
//!
//! As in Bitcoin Core, a request without `"jsonrpc": "2.0"` is of version 1: its errors have an HTTP status of their own,
//! and its answers always have both `result` and `error`. One rule is the specification's and not Core's: an empty batch
//! is an invalid request.

use std::fmt;
use std::sync::Arc;

use axum::http::StatusCode;
use serde::de::{Deserialize, Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::{Map, Value, json};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::http::Place;

use super::arguments::Arguments;
use super::context::RpcContext;
use super::error::{RpcError, code};
use super::method::{Answer, Call, Method};
use super::methods;

/// Most requests in a batch. They run one after the other on one thread, so a larger batch would only hold its place longer.
pub(super) const MAX_BATCH: usize = 1000;

/// What goes back over HTTP; no body for notifications.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) body: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// One request, understood.
struct Request {
    version: Version,
    /// `None`: a notification, which gets no answer.
    id: Option<Value>,
    /// The method and its parameters, or why there is none.
    call: Result<(String, Value), RpcError>,
}

/// What all requests of a body share.
pub(super) struct Caller<'a> {
    /// The node.
    pub(super) context: &'a Arc<RpcContext>,
    /// The wallet that the path names.
    pub(super) wallet: Option<&'a str>,
    /// Cancelled when the client is gone or the node stops.
    pub(super) cancelled: &'a CancellationToken,
    /// Where tasks run.
    pub(super) runtime: &'a Handle,
    /// The place that the requests take.
    pub(super) place: &'a Place,
}

/// A request's version, its id, and its answer.
type Answered = (Version, Option<Value>, Answer);

impl Caller<'_> {
    fn call<'a>(&'a self, args: &'a Arguments<'a>) -> Call<'a> {
        Call {
            context: self.context,
            args,
            cancelled: self.cancelled,
            runtime: self.runtime,
            wallet: self.wallet,
            place: self.place,
        }
    }
}

/// Answers a body. Blocks: runs on a thread of its own.
pub(super) fn answer(caller: &Caller<'_>, body: &[u8]) -> Reply {
    let run = |requests: Vec<Request>| execute(caller, requests);
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    let answered = match first {
        Some(b'[') => serde_json::from_slice(body).map(|requests| batch(requests, run)),
        Some(_) | None => serde_json::from_slice(body).map(|request| single(request, run)),
    };
    answered.unwrap_or_else(|error| parse_error(&error))
}

/// A batch as it was received. Requests above the limit are counted and not kept: a body of small numbers would otherwise
/// become values of many times its size.
struct Batch {
    requests: Vec<Value>,
    count: usize,
}

impl<'de> Deserialize<'de> for Batch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(BatchVisitor)
    }
}

struct BatchVisitor;

impl<'de> Visitor<'de> for BatchVisitor {
    type Value = Batch;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of requests")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Batch, A::Error> {
        let mut requests = Vec::new();
        while requests.len() < MAX_BATCH {
            match list.next_element()? {
                Some(request) => requests.push(request),
                None => break,
            }
        }
        let mut count = requests.len();
        while list.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok(Batch { requests, count })
    }
}

fn parse_error(error: &serde_json::Error) -> Reply {
    let error = RpcError::new(code::PARSE_ERROR, format!("Parse error: {error}"));
    reply(
        StatusCode::INTERNAL_SERVER_ERROR,
        &version_one(Value::Null, Err(error)),
    )
}

fn single(request: Value, run: impl Fn(Vec<Request>) -> Vec<Answered>) -> Reply {
    let answered = run(vec![understand(request)]).pop();
    let Some((version, id, result)) = answered else {
        return nothing();
    };
    let status = match (version, &result) {
        (Version::One, Err(error)) => version_one_status(error),
        (Version::One, Ok(_)) | (Version::Two, _) => StatusCode::OK,
    };
    match respond(version, id, result) {
        Some(response) => reply(status, &response),
        None => nothing(),
    }
}

fn batch(batch: Batch, run: impl Fn(Vec<Request>) -> Vec<Answered>) -> Reply {
    let Batch { requests, count } = batch;
    if count == 0 || count > MAX_BATCH {
        let message = match count {
            0 => "The batch is empty".to_owned(),
            _ => format!("The batch has {count} requests, at most {MAX_BATCH} are answered"),
        };
        let error = RpcError::new(code::INVALID_REQUEST, message);
        return reply(
            StatusCode::BAD_REQUEST,
            &version_one(Value::Null, Err(error)),
        );
    }
    let mut requests = requests.into_iter().map(understand).peekable();
    let mut answers: Vec<Value> = Vec::new();
    while let Some(request) = requests.next() {
        let mut group = vec![request];
        while let Some(next) = requests.next_if(|next| goes_with(&group[0], next)) {
            group.push(next);
        }
        let answered = run(group).into_iter();
        answers.extend(answered.filter_map(|(version, id, result)| respond(version, id, result)));
    }
    if answers.is_empty() {
        return nothing();
    }
    reply(StatusCode::OK, &Value::Array(answers))
}

fn understand(request: Value) -> Request {
    let invalid = |version, id, message: &str| Request {
        version,
        id,
        call: Err(RpcError::new(code::INVALID_REQUEST, message)),
    };
    let Value::Object(mut fields) = request else {
        return invalid(Version::One, Some(Value::Null), "Invalid Request object");
    };
    let version = match fields.get("jsonrpc") {
        None | Some(Value::Null) => Version::One,
        Some(Value::String(text)) if text == "2.0" => Version::Two,
        Some(Value::String(text)) if text == "1.0" || text == "1.1" => Version::One,
        Some(_) => {
            return invalid(
                Version::One,
                Some(id_of(&mut fields)),
                "JSON-RPC version not supported",
            );
        }
    };
    let is_notification = version == Version::Two && !fields.contains_key("id");
    let id = (!is_notification).then(|| id_of(&mut fields));
    let method = match fields.remove("method") {
        None | Some(Value::Null) => return invalid(version, id, "Missing method"),
        Some(Value::String(method)) => method,
        Some(_) => return invalid(version, id, "Method must be a string"),
    };
    let params = fields.remove("params").unwrap_or_default();
    Request {
        version,
        id,
        call: Ok((method, params)),
    }
}

fn id_of(fields: &mut Map<String, Value>) -> Value {
    fields.remove("id").unwrap_or_default()
}

/// Whether two neighbours are answered together.
fn goes_with(first: &Request, next: &Request) -> bool {
    match (&first.call, &next.call) {
        (Ok((first, _)), Ok((next, _))) => first == next && methods::together(first).is_some(),
        (Ok(_) | Err(_), Ok(_) | Err(_)) => false,
    }
}

/// Answers a request, or several of one method.
fn execute(caller: &Caller<'_>, requests: Vec<Request>) -> Vec<Answered> {
    let mut heads = Vec::with_capacity(requests.len());
    let mut bound = Vec::with_capacity(requests.len());
    for Request { version, id, call } in requests {
        heads.push((version, id));
        bound.push(call.and_then(|(method, params)| bind(caller, &method, params)));
    }
    let method = bound.iter().flatten().map(|(method, _)| *method).next();
    let calls = bound.iter().flatten().map(|(_, args)| caller.call(args));
    let calls: Vec<Call<'_>> = calls.collect();
    let answers = method.map_or_else(Vec::new, |method| run(caller, method, &calls));
    let mut answers = answers.into_iter();
    let answer = |bound: &Result<(&Method, Arguments<'_>), RpcError>| match bound {
        Ok(_) => answers.next().unwrap_or_else(|| Err(not_run())),
        Err(error) => Err(error.clone()),
    };
    let answers: Vec<Answer> = bound.iter().map(answer).collect();
    let heads = heads.into_iter().zip(answers);
    heads
        .map(|((version, id), answer)| (version, id, answer))
        .collect()
}

fn bind(
    caller: &Caller<'_>,
    method: &str,
    params: Value,
) -> Result<(&'static Method, Arguments<'static>), RpcError> {
    // Between the requests of a batch: nobody waits for the answers any more, or the node ends.
    if caller.cancelled.is_cancelled() {
        return Err(not_run());
    }
    let method = methods::find(method).ok_or_else(|| unknown(method))?;
    let args = Arguments::bind(method, params)?;
    Ok((method, args))
}

/// Runs calls of one method.
fn run(caller: &Caller<'_>, method: &Method, calls: &[Call<'_>]) -> Vec<Answer> {
    let _active = caller.context.active.enter(method.name);
    match methods::together(method.name) {
        Some(together) => together(calls),
        None => calls.iter().map(|call| (method.run)(call)).collect(),
    }
}

fn not_run() -> RpcError {
    RpcError::new(code::MISC_ERROR, "not run: the node is stopping")
}

fn unknown(method: &str) -> RpcError {
    let name: String = method.chars().take(80).collect();
    let message = match methods::reason(method) {
        Some(reason) => format!("Method not found: '{name}' is left out: {reason}"),
        None => format!("Method not found: '{name}'; `help` lists the methods"),
    };
    RpcError::new(code::METHOD_NOT_FOUND, message)
}

fn respond(version: Version, id: Option<Value>, result: Answer) -> Option<Value> {
    let id = id?;
    Some(match version {
        Version::One => version_one(id, result),
        Version::Two => match result {
            Ok(result) => json!({ "jsonrpc": "2.0", "result": result, "id": id }),
            Err(error) => json!({ "jsonrpc": "2.0", "error": error.to_json(), "id": id }),
        },
    })
}

fn version_one(id: Value, result: Answer) -> Value {
    let (result, error) = match result {
        Ok(result) => (result, Value::Null),
        Err(error) => (Value::Null, error.to_json()),
    };
    json!({ "result": result, "error": error, "id": id })
}

/// Bitcoin Core, `JSONErrorReply`.
fn version_one_status(error: &RpcError) -> StatusCode {
    match error.code {
        code::INVALID_REQUEST => StatusCode::BAD_REQUEST,
        code::METHOD_NOT_FOUND => StatusCode::NOT_FOUND,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn nothing() -> Reply {
    Reply {
        status: StatusCode::NO_CONTENT,
        body: None,
    }
}

fn reply(status: StatusCode, body: &Value) -> Reply {
    let mut text = body.to_string();
    text.push('\n');
    Reply {
        status,
        body: Some(text),
    }
}
