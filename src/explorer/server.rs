//! Routes, limits, security headers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::chain::{ChainHandle, ChainReader};
use crate::http::{self, HostPolicy, Limits, Places};
use crate::mempool::MempoolHandle;
use crate::miner::{MinerHandle, StratumHandle};
use crate::network::NetworkStatus;
use crate::primitives::unix_now;

use super::counters::{self, Counters};
use super::pages::PageError;
use super::{events, health, metrics, pages};

/// Connections at a time, those that follow the events included.
const MAX_CONNECTIONS: usize = 256;
/// Pages that read the disk at a time.
const MAX_RUNNING: u16 = 8;
/// How long a page waits for its place.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(10);
/// Followers of the events at a time; each holds a connection for as long as it likes. The other connections are left to
/// pages and health checks.
const MAX_FOLLOWERS: usize = 64;

/// Whatever a block says, a page runs only the one script and style of this server, and talks to nobody else.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; \
                      base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
/// On every answer.
const HEADERS: [(HeaderName, &str); 4] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    (CACHE_CONTROL, "no-cache"),
];

/// The running node, as the explorer sees it.
#[derive(Clone)]
pub struct ExplorerContext {
    /// The chain and the event stream.
    pub chain: ChainHandle,
    /// The mempool.
    pub mempool: MempoolHandle,
    /// The miner, if there is one.
    pub miner: Option<MinerHandle>,
    /// The server for external miners, if there is one.
    pub stratum: Option<StratumHandle>,
    /// The status of the network, if there is one.
    pub network: Option<watch::Receiver<NetworkStatus>>,
    /// When the node started.
    pub started: Instant,
}

/// How the explorer is run.
#[derive(Debug, Clone, Default)]
pub struct ExplorerConfig {
    /// Connections at a time, where fewer than the server's own limit must do (the process may open only so many files).
    pub connections: Option<usize>,
    /// Host names, besides `localhost` and addresses, under which it answers.
    pub allowed_hosts: Vec<String>,
    /// Whether a node without peers is not ready: it was told whom to connect to.
    pub expects_peers: bool,
}

/// What handlers share.
pub(super) struct Site {
    pub(super) context: ExplorerContext,
    pub(super) counters: Arc<Counters>,
    pub(super) followers: Arc<Semaphore>,
    pub(super) expects_peers: bool,
    pub(super) cancel: CancellationToken,
    /// Tells this run of the node from others, in the ids of events.
    pub(super) run: u64,
    hosts: HostPolicy,
    places: Places,
}

/// Serves the explorer on `listener` until `cancel`. Whoever calls it joins the task.
pub fn serve(
    listener: TcpListener,
    context: ExplorerContext,
    config: ExplorerConfig,
    cancel: CancellationToken,
) -> JoinHandle<()> {
    let counters = Arc::<Counters>::default();
    let counting = counters::count(
        context.chain.subscribe(),
        Arc::clone(&counters),
        cancel.clone(),
    );
    let site = Arc::new(Site {
        context,
        counters,
        followers: Arc::new(Semaphore::new(MAX_FOLLOWERS)),
        expects_peers: config.expects_peers,
        cancel: cancel.clone(),
        // Two runs do not begin in one second.
        run: getrandom::u64().unwrap_or_else(|_| unix_now()),
        hosts: HostPolicy::new(config.allowed_hosts),
        places: Places::new(MAX_RUNNING, QUEUE_TIMEOUT),
    });
    let limits = Limits {
        connections: config
            .connections
            .map_or(MAX_CONNECTIONS, |most| most.min(MAX_CONNECTIONS)),
    };
    tokio::spawn(async move {
        let serving = http::serve("explorer", listener, router(site), limits, cancel);
        counting.await;
        if let Err(error) = serving.await {
            tracing::error!(%error, "the explorer failed");
        }
    })
}

fn router(site: Arc<Site>) -> Router {
    Router::new()
        .route("/", get(pages::home))
        .route("/block/{id}", get(pages::block))
        .route("/tx/{txid}", get(pages::transaction))
        .route("/address/{address}", get(pages::address))
        .route("/search", get(pages::search))
        .route(
            "/style.css",
            get(|| asset("text/css; charset=utf-8", include_str!("assets/style.css"))),
        )
        .route(
            "/live.js",
            get(|| {
                asset(
                    "text/javascript; charset=utf-8",
                    include_str!("assets/live.js"),
                )
            }),
        )
        .route("/healthy", get(health::healthy))
        .route("/ready", get(health::ready))
        .route("/metrics", get(metrics::metrics))
        .route("/events", get(events::events))
        .fallback(pages::unknown)
        .layer(from_fn_with_state(Arc::clone(&site), guard))
        .with_state(site)
}

async fn asset(kind: &'static str, text: &'static str) -> Response {
    ([(CONTENT_TYPE, kind)], text).into_response()
}

async fn guard(State(site): State<Arc<Site>>, request: Request, next: Next) -> Response {
    let mut response = match site.hosts.check(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(refusal) => (StatusCode::FORBIDDEN, format!("{refusal}\n")).into_response(),
    };
    for (name, value) in HEADERS {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

impl Site {
    pub(super) fn reader(&self) -> &ChainReader {
        self.context.chain.reader()
    }

    /// The network's status now.
    pub(super) fn network(&self) -> Option<NetworkStatus> {
        self.context
            .network
            .as_ref()
            .map(|status| status.borrow().clone())
    }

    /// Runs what reads the disk or asks the mempool, where it may block.
    pub(super) async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, PageError> + Send + 'static,
    ) -> Result<T, PageError> {
        let place = self.places.take().await.ok_or_else(PageError::busy)?;
        let site = Arc::clone(self);
        match place.run(move || work(&site)).await {
            Ok(result) => result,
            Err(error) => Err(PageError::internal(&error)),
        }
    }
}
