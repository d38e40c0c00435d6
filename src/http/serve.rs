//! The accept loop.
//!
//! `axum::serve` has no limits on headers, idle connections or their number, so the loop is our own, over hyper's HTTP/1.
//! [`serve`] starts one task, which owns its connections' tasks; all end with its cancellation token, and whoever called
//! [`serve`] joins it.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::stream::ImpatientStream;
use super::waiting::{BusyBody, Connection, WaitingList};

/// Longest request head in bytes; a longer one is answered 431 (Bitcoin Core, `MAX_HEADERS_SIZE`).
pub const HEADER_BYTES: usize = 8192;
/// Most headers of a request; more are answered 431.
const HEADER_COUNT: usize = 64;
/// How long a request head may take, and how long a connection may idle between requests.
const HEADER_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a client may take nothing of what it is sent.
const WRITE_PATIENCE: Duration = Duration::from_secs(30);
/// How long requests in flight may take after the cancellation.
const GRACE: Duration = Duration::from_secs(3);
/// Pause after a failed accept, which is most often "too many open files": without it the loop would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// What a connection above the limit gets, best effort.
const BUSY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nContent-Length: 21\r\n\
Connection: close\r\n\r\ntoo many connections\n";

/// Limits of one server.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at a time. For one more, the one that has waited longest for a request is closed; when none waits, it is
    /// answered 503 and closed itself. Bounds tasks, descriptors and memory.
    pub connections: usize,
}

/// Serves `app` on `listener` until `cancel`; then lets requests in flight end for three seconds.
pub fn serve(
    name: &'static str,
    listener: TcpListener,
    app: Router,
    limits: Limits,
    cancel: CancellationToken,
) -> JoinHandle<()> {
    tokio::spawn(accept(name, listener, app, limits, cancel))
}

async fn accept(
    name: &'static str,
    listener: TcpListener,
    app: Router,
    limits: Limits,
    cancel: CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(limits.connections));
    let waiting = Arc::<WaitingList>::default();
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = cancel.cancelled() => break,
            Some(ended) = connections.join_next(), if !connections.is_empty() => {
                report(name, ended);
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(server = name, %error, "cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        if slots.available_permits() == 0 && !waiting.close_longest() {
            // Fits into an empty send buffer, so this either succeeds at once or does not matter.
            let _ = stream.try_write(BUSY);
            continue;
        }
        // Free already, or as soon as the closed connection's task runs.
        let Ok(slot) = slots.clone().acquire_owned().await else {
            break;
        };
        let waiting = Arc::clone(&waiting);
        let connection = connection(stream, app.clone(), waiting, cancel.clone());
        connections.spawn(async move {
            connection.await;
            drop(slot);
        });
    }
    drop(listener);
    while let Some(ended) = connections.join_next().await {
        report(name, ended);
    }
}

/// A handler's panic is a bug and ends its connection only; it is told loudly.
fn report(name: &'static str, ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(server = name, %error, "a connection failed");
    }
}

async fn connection(
    stream: TcpStream,
    app: Router,
    waiting: Arc<WaitingList>,
    cancel: CancellationToken,
) {
    // Small answers should not wait for an acknowledgement; without the option they are only slower.
    let _ = stream.set_nodelay(true);
    let io = TokioIo::new(ImpatientStream::new(stream, WRITE_PATIENCE));
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_headers(HEADER_COUNT)
        .max_buf_size(HEADER_BYTES);
    let close = CancellationToken::new();
    let turns = Connection::new(waiting, close.clone());
    let app = TowerToHyperService::new(app);
    let service = service_fn(move |request: Request<Incoming>| {
        let busy = turns.begin();
        let answer = app.call(request);
        async move {
            let answer = answer.await?;
            Ok::<_, Infallible>(answer.map(|body| BusyBody { body, _busy: busy }))
        }
    });
    let mut connection = pin!(builder.serve_connection(io, service));
    // Errors here are the client's: resets, malformed requests, timeouts.
    tokio::select! {
        result = connection.as_mut() => {
            if let Err(error) = result {
                tracing::debug!(%error, "connection ended");
            }
            return;
        }
        () = close.cancelled() => return,
        () = cancel.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _ = timeout(GRACE, connection).await;
}
