//! The HTTP side: who may ask, how large, how long. What is asked is judged in `protocol`.
//!
//! The checks run from cheap to dear, and nothing of a body is read before the cookie is right: `Host` and `Origin` (403),
//! method (405), cookie (401, after a delay), content type (415), length (413), a free place (503).

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{ALLOW, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::http::{self, HostPolicy, Limits, Place, Places};

use super::context::RpcContext;
use super::cookie::Cookie;
use super::openrpc::openrpc;
use super::protocol::{self, Caller, Reply};
use super::users::{RpcUser, basic_credentials};

/// Longest request body in bytes: a block of the largest size that a chain spec allows, in hexadecimal, fits.
pub const MAX_BODY: usize = 10 << 20;
/// Connections at a time.
const MAX_CONNECTIONS: usize = 128;
/// Places for requests. A request takes one, and one more for each [`PLACE_BYTES`] of its body, because a body in memory is
/// many times its length once it is understood: small requests run side by side, the largest one at a time, and all bodies
/// together are never longer than this many times [`PLACE_BYTES`].
const MAX_RUNNING: u16 = 16;
/// Bytes of a body for which it takes one more place.
const PLACE_BYTES: usize = 1 << 20;
/// How long a request waits for its place (Bitcoin Core answers 503 when its work queue is full).
const QUEUE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Where the description of all methods is.
const OPENRPC_PATH: &str = "/openrpc.json";
/// Pause before a 401, which makes guessing slow (Bitcoin Core, `httprpc.cpp`).
const AUTH_DELAY: Duration = Duration::from_millis(250);

/// How the server is run.
#[derive(Debug, Default)]
pub struct RpcConfig {
    /// Connections at a time, where fewer than the server's own limit must do (the process may open only so many files).
    pub connections: Option<usize>,
    /// Host names, besides `localhost` and addresses, under which it answers.
    pub allowed_hosts: Vec<String>,
    /// Who is let in beside the holder of the cookie.
    pub users: Vec<RpcUser>,
}

struct Server {
    context: Arc<RpcContext>,
    cookie: Arc<Cookie>,
    users: Vec<RpcUser>,
    hosts: HostPolicy,
    places: Places,
    cancel: CancellationToken,
}

/// Serves JSON-RPC on `listener` until `cancel`. Whoever calls it joins the task and removes the cookie.
pub fn serve(
    listener: TcpListener,
    context: Arc<RpcContext>,
    cookie: Arc<Cookie>,
    config: RpcConfig,
    cancel: CancellationToken,
) -> JoinHandle<()> {
    let server = Arc::new(Server {
        context,
        cookie,
        users: config.users,
        hosts: HostPolicy::new(config.allowed_hosts),
        places: Places::new(MAX_RUNNING, QUEUE_TIMEOUT),
        cancel: cancel.clone(),
    });
    let app = Router::new().fallback(handle).with_state(server);
    let limits = Limits {
        connections: config
            .connections
            .map_or(MAX_CONNECTIONS, |most| most.min(MAX_CONNECTIONS)),
    };
    http::serve("rpc", listener, app, limits, cancel)
}

async fn handle(State(server): State<Arc<Server>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    if let Err(refusal) = server.hosts.check(&head.headers) {
        return plain(StatusCode::FORBIDDEN, &refusal.to_string());
    }
    let path = head.uri.path();
    if path == OPENRPC_PATH && head.method == Method::GET {
        // It says what the source says, and nothing of this node: no secret is needed.
        return Json(openrpc()).into_response();
    }
    let wallet = match wallet_name(path) {
        Ok(wallet) => wallet,
        Err((status, text)) => return plain(status, text),
    };
    if head.method != Method::POST {
        let answer = plain(
            StatusCode::METHOD_NOT_ALLOWED,
            "JSON-RPC takes POST requests only",
        );
        return ([(ALLOW, "POST")], answer).into_response();
    }
    if !is_admitted(&server, &head.headers) {
        sleep(AUTH_DELAY).await;
        let answer = plain(
            StatusCode::UNAUTHORIZED,
            "the user and password are those of the .cookie file in the network's folder, or of --rpc-auth",
        );
        return ([(WWW_AUTHENTICATE, r#"Basic realm="jsonrpc""#)], answer).into_response();
    }
    if !is_json(&head.headers) {
        return plain(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "the Content-Type must be application/json",
        );
    }
    // A body that does not say its length may become as long as any.
    let length = announced_length(&head.headers).unwrap_or(MAX_BODY);
    if length > MAX_BODY {
        return too_large();
    }
    let Some(place) = server.places.take_many(places_for(length)).await else {
        return plain(
            StatusCode::SERVICE_UNAVAILABLE,
            "too many requests are waiting",
        );
    };
    let body = match timeout(BODY_TIMEOUT, to_bytes(body, MAX_BODY)).await {
        Err(_) => {
            return plain(
                StatusCode::REQUEST_TIMEOUT,
                "the request body took too long",
            );
        }
        Ok(Err(error)) if is_too_long(&error) => return too_large(),
        Ok(Err(_)) => {
            return plain(
                StatusCode::BAD_REQUEST,
                "the request body is incomplete or malformed",
            );
        }
        Ok(Ok(body)) => body,
    };
    run(&server, wallet, place, body).await
}

/// How many places a request with a body of `length` bytes takes.
fn places_for(length: usize) -> u32 {
    u32::try_from(length / PLACE_BYTES).map_or(u32::MAX, |more| more.saturating_add(1))
}

/// The wallet that a path names: `/wallet/NAME`, percent-encoded; none for `/`. Other paths do not exist.
fn wallet_name(path: &str) -> Result<Option<String>, (StatusCode, &'static str)> {
    if path == "/" {
        return Ok(None);
    }
    let Some(name) = path.strip_prefix("/wallet/") else {
        let text = "JSON-RPC is served at / and /wallet/NAME, its description at /openrpc.json";
        return Err((StatusCode::NOT_FOUND, text));
    };
    let text = "the wallet's name is not percent-encoded UTF-8";
    let name = percent_decoded(name).ok_or((StatusCode::BAD_REQUEST, text))?;
    Ok(Some(name))
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        bytes.extend(hex::decode(digits).ok()?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

/// Runs the request where it may block. When the client goes away this future is dropped, which tells long work to end; the
/// work keeps its place until it has.
async fn run(
    server: &Server,
    wallet: Option<String>,
    place: Place,
    body: axum::body::Bytes,
) -> Response {
    let cancelled = server.cancel.child_token();
    let _ends_work = cancelled.clone().drop_guard();
    let context = Arc::clone(&server.context);
    let runtime = Handle::current();
    let work = move |place: &Place| {
        let caller = Caller {
            context: &context,
            wallet: wallet.as_deref(),
            cancelled: &cancelled,
            runtime: &runtime,
            place,
        };
        protocol::answer(&caller, &body)
    };
    match place.run_lending(work).await {
        Ok(reply) => into_response(reply),
        Err(error) => {
            tracing::error!(%error, "an RPC method failed");
            plain(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal error; the node's log has the details",
            )
        }
    }
}

fn into_response(reply: Reply) -> Response {
    match reply.body {
        Some(body) => (reply.status, [(CONTENT_TYPE, "application/json")], body).into_response(),
        None => reply.status.into_response(),
    }
}

/// Whether the one `Authorization` header is the cookie's or a user's.
fn is_admitted(server: &Server, headers: &HeaderMap) -> bool {
    let mut headers = headers.get_all(AUTHORIZATION).iter();
    let (Some(header), None) = (headers.next(), headers.next()) else {
        return false;
    };
    basic_credentials(header.as_bytes()).is_some_and(|given| {
        server.cookie.admits(&given) || server.users.iter().any(|user| user.admits(&given))
    })
}

/// A page of another site can send forms and plain text without asking the browser; JSON it cannot.
fn is_json(headers: &HeaderMap) -> bool {
    let value = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let kind = value
        .and_then(|value| value.split(';').next())
        .unwrap_or_default();
    [
        "application/json",
        "application/json-rpc",
        "application/jsonrequest",
    ]
    .iter()
    .any(|json| kind.trim().eq_ignore_ascii_case(json))
}

fn announced_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// `to_bytes` gives one opaque error; the cause says whether the limit was met.
fn is_too_long(error: &axum::Error) -> bool {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if error.to_string().contains("length limit exceeded") {
            return true;
        }
        cause = error.source();
    }
    false
}

fn too_large() -> Response {
    plain(
        StatusCode::PAYLOAD_TOO_LARGE,
        &format!("the request body is larger than {MAX_BODY} bytes"),
    )
}

fn plain(status: StatusCode, text: &str) -> Response {
    (status, Body::from(format!("{text}\n"))).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_bodies_take_one_place_and_two_of_the_largest_do_not_fit() {
        assert_eq!((places_for(0), places_for(PLACE_BYTES - 1)), (1, 1));
        assert_eq!(places_for(PLACE_BYTES), 2);
        let largest = places_for(MAX_BODY);
        assert!(largest <= MAX_RUNNING.into() && 2 * largest > MAX_RUNNING.into());
    }

    #[test]
    fn the_path_names_the_wallet() {
        let name = |path| wallet_name(path).map_err(|(status, _)| status.as_u16());
        assert_eq!(name("/"), Ok(None));
        assert_eq!(name("/wallet/"), Ok(Some(String::new())));
        assert_eq!(name("/wallet/a%20b%c3%bc"), Ok(Some("a bü".to_owned())));
        for (path, status) in [
            ("/wallet", 404),
            ("/x", 404),
            ("/wallet/%", 400),
            ("/wallet/%f", 400),
            ("/wallet/%zz", 400),
            ("/wallet/%ff", 400),
        ] {
            assert_eq!(name(path), Err(status), "{path}");
        }
    }
}
