//! `/events`: the node's event stream as server-sent events.
//!
//! `id:` is `<run>-<number>`: numbers begin anew with each run of the node. A browser that reconnects names the last one it saw
//! (`Last-Event-ID`), others may ask with `?from=<run>-<number>`, or with a number alone for this run, whichever it is; the
//! stream goes on there. Where events are not kept any more, or the node has restarted, it says `gap`: what the client has
//! shown must be read again.

use std::convert::Infallible;
use std::num::ParseIntError;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event as Message, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::OwnedSemaphorePermit;

use crate::chain::{
    ChainEvent, Event, EventReader, Lagged, MempoolEvent, PeerEvent, RemovalReason,
};

use super::server::Site;

/// Comments at this interval keep proxies and readers from giving up.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

#[derive(Debug, Deserialize)]
pub(super) struct From {
    /// The first event that is wanted.
    from: Option<String>,
}

/// An event as a client names it.
struct EventId {
    /// The run of the node, if it says.
    run: Option<u64>,
    number: u64,
}

impl FromStr for EventId {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, ParseIntError> {
        let (run, number) = match text.split_once('-') {
            Some((run, number)) => (Some(u64::from_str_radix(run, 16)?), number),
            None => (None, text),
        };
        let number = number.parse()?;
        Ok(Self { run, number })
    }
}

/// One client's place in the stream.
struct Follower {
    site: Arc<Site>,
    events: EventReader,
    /// To be said first: the event asked for is not of this run of the node.
    gap: bool,
    _place: OwnedSemaphorePermit,
}

pub(super) async fn events(
    State(site): State<Arc<Site>>,
    Query(query): Query<From>,
    headers: HeaderMap,
) -> Response {
    let Ok(place) = Arc::clone(&site.followers).try_acquire_owned() else {
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            "too many clients follow the events\n",
        )
            .into_response();
    };
    let wanted = match wanted(&query, &headers) {
        Ok(wanted) => wanted,
        Err(_) => {
            let sentence = "Last-Event-ID and from must be <run>-<number>\n";
            return (StatusCode::BAD_REQUEST, sentence).into_response();
        }
    };
    let log = site.context.chain.events();
    let is_here =
        |id: &EventId| id.run.is_none_or(|run| run == site.run) && id.number <= log.next_number();
    let gap = wanted.as_ref().is_some_and(|id| !is_here(id));
    let events = match wanted {
        Some(id) if !gap => log.subscribe_from(id.number),
        Some(_) | None => log.subscribe(),
    };
    let follower = Follower {
        site,
        events,
        gap,
        _place: place,
    };
    Sse::new(stream::unfold(follower, next))
        .keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
        .into_response()
}

/// The first event that a client wants, if it wants others than those to come: the one behind the last that it saw.
fn wanted(query: &From, headers: &HeaderMap) -> Result<Option<EventId>, ParseIntError> {
    if let Some(last) = headers.get("last-event-id") {
        let last: EventId = last.to_str().unwrap_or_default().parse()?;
        return Ok(Some(EventId {
            run: last.run,
            number: last.number.saturating_add(1),
        }));
    }
    query.from.as_deref().map(str::parse).transpose()
}

async fn next(mut follower: Follower) -> Option<(Result<Message, Infallible>, Follower)> {
    let message = if std::mem::take(&mut follower.gap) {
        gap(None)
    } else {
        let event = tokio::select! {
            () = follower.site.cancel.cancelled() => return None,
            event = follower.events.next() => event,
        };
        match event {
            Ok((number, event)) => {
                let (name, data) = describe(&event);
                Message::default()
                    .id(format!("{:016x}-{number}", follower.site.run))
                    .event(name)
                    .data(data.to_string())
            }
            Err(Lagged { missed }) => gap(Some(missed)),
        }
    };
    Some((Ok(message), follower))
}

fn gap(missed: Option<u64>) -> Message {
    Message::default()
        .event("gap")
        .data(json!({ "missed": missed }).to_string())
}

/// The name and content of an event. JSON has no line breaks here, and no text that a peer wrote but escaped.
fn describe(event: &Event) -> (&'static str, Value) {
    match event {
        Event::Chain(event) => chain(event),
        Event::Mempool(MempoolEvent::Added {
            txid, fee, local, ..
        }) => (
            "tx_added",
            json!({ "txid": txid, "fee": fee.to_decimal_string8(), "local": local }),
        ),
        Event::Mempool(MempoolEvent::Removed { txid, reason }) => (
            "tx_removed",
            json!({ "txid": txid, "reason": reason_name(*reason) }),
        ),
        Event::Peer(PeerEvent::Connected {
            peer,
            address,
            inbound,
        }) => (
            "peer_connected",
            json!({ "peer": peer, "address": address, "inbound": inbound }),
        ),
        Event::Peer(PeerEvent::Disconnected { peer, reason }) => (
            "peer_disconnected",
            json!({ "peer": peer, "reason": reason }),
        ),
    }
}

fn chain(event: &ChainEvent) -> (&'static str, Value) {
    match event {
        ChainEvent::Connected {
            hash,
            height,
            block,
        } => (
            "block_connected",
            json!({ "hash": hash, "height": height, "transactions": block.transactions.len(), "time": block.header.time }),
        ),
        ChainEvent::Disconnected { hash, height, .. } => (
            "block_disconnected",
            json!({ "hash": hash, "height": height }),
        ),
        ChainEvent::Reorg {
            fork,
            fork_height,
            old_tip,
            new_tip,
            disconnected,
            connected,
        } => (
            "reorg",
            json!({
                "fork": fork, "fork_height": fork_height, "old_tip": old_tip, "new_tip": new_tip,
                "disconnected": disconnected, "connected": connected,
            }),
        ),
        ChainEvent::TipChanged { hash, height } => {
            ("tip", json!({ "hash": hash, "height": height }))
        }
        ChainEvent::HeadersAdvanced { height } => ("headers", json!({ "height": height })),
        ChainEvent::Rejected { hash, reason } => {
            ("block_rejected", json!({ "hash": hash, "reason": reason }))
        }
    }
}

const fn reason_name(reason: RemovalReason) -> &'static str {
    match reason {
        RemovalReason::Confirmed => "confirmed",
        RemovalReason::Conflict => "conflict",
        RemovalReason::Replaced => "replaced",
        RemovalReason::Evicted => "evicted",
        RemovalReason::Expired => "expired",
        RemovalReason::Reorg => "reorg",
    }
}
