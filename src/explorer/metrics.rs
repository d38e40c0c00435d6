//! `/metrics`, in Prometheus' text format.

use std::fmt::{Display, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use super::health::why_not_ready;
use super::server::Site;
use crate::miner::StratumInfo;
use crate::network::NetworkStatus;
use crate::primitives::unix_now;

pub(super) async fn metrics(State(site): State<Arc<Site>>) -> Response {
    let mempool = site.context.mempool.info().await;
    let reader = site.reader();
    let (tip, best) = (reader.tip(), reader.best_header());
    let mut page = Page::default();
    page.gauge(
        "quarry_chain_height",
        "Height of the active tip.",
        tip.height,
    );
    page.gauge(
        "quarry_chain_header_height",
        "Height of the best header.",
        best.height,
    );
    page.gauge(
        "quarry_chain_tip_timestamp_seconds",
        "Time in the header of the tip.",
        tip.header.time,
    );
    let age = unix_now().saturating_sub(tip.header.time.into());
    page.gauge(
        "quarry_chain_tip_age_seconds",
        "Seconds since the time in the header of the tip.",
        age,
    );
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    let counters = &site.counters;
    page.counter(
        "quarry_chain_blocks_connected_total",
        "Blocks connected since the start.",
        count(&counters.connected),
    );
    page.counter(
        "quarry_chain_reorgs_total",
        "Reorganisations since the start.",
        count(&counters.reorgs),
    );
    page.counter(
        "quarry_chain_blocks_rejected_total",
        "Invalid blocks seen since the start.",
        count(&counters.rejected),
    );
    page.counter(
        "quarry_events_missed_total",
        "Events that these counters missed.",
        count(&counters.missed),
    );
    if let Some(mempool) = mempool {
        page.gauge(
            "quarry_mempool_transactions",
            "Transactions in the mempool.",
            mempool.count,
        );
        page.gauge("quarry_mempool_bytes", "Their encoded size.", mempool.bytes);
        page.gauge(
            "quarry_mempool_usage_bytes",
            "Memory they take, estimated.",
            mempool.usage,
        );
    }
    if let Some(network) = site.network() {
        page.gauge("quarry_network_peers", "Connected peers.", network.peers);
        page.gauge(
            "quarry_network_peers_inbound",
            "Those of them that dialled this node.",
            network.inbound,
        );
        network_metrics(&mut page, &network);
    }
    if let Some(miner) = &site.context.miner {
        let status = miner.status();
        page.gauge(
            "quarry_miner_hashes_per_second",
            "Hash rate of this node.",
            status.hash_rate,
        );
        page.gauge(
            "quarry_miner_threads",
            "Threads that search.",
            status.threads,
        );
        page.counter(
            "quarry_miner_blocks_found_total",
            "Blocks found by this node.",
            status.blocks_found,
        );
        page.counter(
            "quarry_miner_stale_blocks_total",
            "Blocks found by this node for a tip that had passed.",
            status.stale_blocks,
        );
        if let Some(time) = status.expected_time {
            page.gauge(
                "quarry_miner_expected_block_seconds",
                "How long this node takes for a block on average.",
                time.as_secs_f64(),
            );
        }
    }
    if let Some(stratum) = &site.context.stratum {
        external_miners(&mut page, &stratum.info());
    }
    page.gauge(
        "quarry_ready",
        "1 if the node is of use.",
        u8::from(why_not_ready(&site).is_none()),
    );
    page.gauge(
        "quarry_uptime_seconds",
        "Seconds since the start.",
        site.context.started.elapsed().as_secs(),
    );
    (
        [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
        page.text,
    )
        .into_response()
}

fn network_metrics(page: &mut Page, network: &NetworkStatus) {
    let metrics = &network.metrics;
    page.labelled(
        "gauge",
        "quarry_network_peers_by_direction",
        "Connected peers by who dialled.",
        "direction",
        &[
            ("inbound", network.inbound),
            ("outbound", network.peers.saturating_sub(network.inbound)),
        ],
    );
    page.labelled(
        "gauge",
        "quarry_network_mesh_peers",
        "Peers that gossip goes to directly, by topic.",
        "topic",
        &[
            ("blocks", metrics.mesh_blocks),
            ("txs", metrics.mesh_transactions),
        ],
    );
    page.counter(
        "quarry_network_silent_links_total",
        "Links ended because their gossip did not arrive, since the start.",
        metrics.silent_links,
    );
    page.gauge("quarry_network_bans", "Bans that hold.", metrics.bans);
    page.gauge(
        "quarry_network_known_peers",
        "Peers in the address book.",
        metrics.addresses,
    );
    page.labelled(
        "counter",
        "quarry_network_bytes_total",
        "Bytes on the streams of peers since the start.",
        "direction",
        &[
            ("received", metrics.bytes.received),
            ("sent", metrics.bytes.sent),
        ],
    );
}

fn external_miners(page: &mut Page, stratum: &StratumInfo) {
    page.gauge(
        "quarry_stratum_connections",
        "Connections of external miners.",
        stratum.connections,
    );
    page.gauge(
        "quarry_stratum_workers",
        "Workers that are connected.",
        stratum.active_workers,
    );
    page.gauge(
        "quarry_stratum_hashes_per_second",
        "Hash rate of external miners, from their shares.",
        stratum.hash_rate,
    );
    page.counter(
        "quarry_stratum_shares_accepted_total",
        "Shares that were taken.",
        stratum.accepted,
    );
    page.counter(
        "quarry_stratum_shares_stale_total",
        "Shares that came too late.",
        stratum.stale,
    );
    page.counter(
        "quarry_stratum_shares_rejected_total",
        "Shares that were refused for other reasons.",
        stratum.rejected,
    );
    page.counter(
        "quarry_stratum_blocks_found_total",
        "Blocks of external miners that became the tip.",
        stratum.blocks_found,
    );
}

#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.metric("gauge", name, help, value);
    }

    fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.metric("counter", name, help, value);
    }

    /// One metric with a value for each label.
    fn labelled<V: Display>(
        &mut self,
        kind: &str,
        name: &str,
        help: &str,
        label: &str,
        values: &[(&str, V)],
    ) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (word, value) in values {
            let _ = writeln!(self.text, "{name}{{{label}=\"{word}\"}} {value}");
        }
    }

    fn metric(&mut self, kind: &str, name: &str, help: &str, value: impl Display) {
        // Writing to a string cannot fail.
        let _ = writeln!(
            self.text,
            "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}"
        );
    }
}
