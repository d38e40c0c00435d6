//! Peers.

use std::net::IpAddr;
use std::time::Duration;

use serde_json::{Value, json};

use crate::mempool::Policy;
use crate::network::{NetworkHandle, PeerInfo};
use crate::primitives::Amount;
use crate::rpc::amount::amount;
use crate::rpc::error::{RpcError, code};
use crate::rpc::method::{Answer, Call, Method};

pub(super) static METHODS: &[Method] = &[
    Method {
        name: "getconnectioncount",
        params: &[],
        about: "How many peers are connected.",
        result: "n (numeric)",
        run: getconnectioncount,
    },
    Method {
        name: "getnetworkinfo",
        params: &[],
        about: "What this node is on the network. `version` is that of the Bitcoin Core whose interface this is, `subversion` names Quarry's; peers speak a protocol of its own, so `protocolversion` is \
                that of the formats of blocks and transactions.",
        result: "{\"version\": n, \"subversion\": \"str\", \"protocolversion\": n, \"localservices\": \"hex\", \
\"localservicesnames\": [\"str\", ...], \"localrelay\": true|false, \"timeoffset\": n, \"networkactive\": true|false, \
\"connections\": n, \"connections_in\": n, \"connections_out\": n, \"networks\": [{\"name\": \"str\", \"limited\": true|false, \
\"reachable\": true|false, \"proxy\": \"str\", \"proxy_randomize_credentials\": true|false}, ...], \"relayfee\": n, \
\"incrementalfee\": n, \"localaddresses\": [{\"address\": \"str\", \"port\": n, \"score\": n}, ...], \
\"multiaddresses\": [\"str\", ...] (Quarry: what to give to --peer), \"warnings\": [\"str\", ...]} (object)",
        run: getnetworkinfo,
    },
    Method {
        name: "getnettotals",
        params: &[],
        about: "Bytes to and from all peers since the start. Counted is what the streams of authenticated connections carry, without what Noise, Yamux, TCP and IP add.",
        result: "{\"totalbytesrecv\": n, \"totalbytessent\": n, \"timemillis\": n, \"uploadtarget\": {\"timeframe\": n, \
\"target\": n, \"target_reached\": true|false, \"serve_historical_blocks\": true|false, \"bytes_left_in_cycle\": n, \
\"time_left_in_cycle\": n}} (object)",
        run: getnettotals,
    },
    Method {
        name: "getpeerinfo",
        params: &[],
        about: "The connected peers. `bytessent` and `bytesrecv` count what the streams carry, see `getnettotals`. Quarry: `peerid`, `transport`, `score` (misbehaviour, 100 is banned), `gossip_score`, message counts.",
        result: "[{\"id\": n, \"addr\": \"str\", \"network\": \"str\", \"transport\": \"str\", \"services\": \"hex\", \
\"servicesnames\": [\"str\", ...], \"relaytxes\": true|false, \"lastsend\": n, \"lastrecv\": n, \"bytessent\": n, \
\"bytesrecv\": n, \"conntime\": n, \"timeoffset\": n, \"pingtime\"?: n, \"minping\"?: n, \"version\": n, \"subver\": \"str\", \
\"inbound\": true|false, \"startingheight\": n, \"synced_headers\": n, \"synced_blocks\": n, \"connection_type\": \"str\", \
\"peerid\": \"str\", \"best_hash\": \"hex\", \"chainwork\": \"hex\", \"score\": n, \"gossip_score\": n, \
\"messages_received\": n, \"messages_sent\": n}, ...] (array)",
        run: getpeerinfo,
    },
    Method {
        name: "ping",
        params: &[],
        about: "Does nothing more than the node does anyway: it pings every peer every few seconds, and getpeerinfo has the times.",
        result: "null",
        run: ping,
    },
];

pub(super) fn network<'a>(call: &Call<'a>) -> Result<&'a NetworkHandle, RpcError> {
    let none = || {
        RpcError::new(
            code::CLIENT_P2P_DISABLED,
            "Error: Peer-to-peer functionality missing or disabled",
        )
    };
    call.context.network.as_ref().ok_or_else(none)
}

fn getconnectioncount(call: &Call<'_>) -> Answer {
    let peers = network(call)?.status().borrow().peers;
    Ok(json!(peers))
}

/// The Bitcoin Core whose interface this is: clients choose by it what they send and expect.
const CORE_VERSION: u32 = 290_000;
/// The version of Bitcoin's formats: headers, inventories and transactions as since 70016 (Bitcoin Core, `PROTOCOL_VERSION`).
const FORMAT_VERSION: u32 = 70_016;

fn getnetworkinfo(call: &Call<'_>) -> Answer {
    let status = network(call)
        .map(|network| network.status().borrow().clone())
        .ok();
    let (peers, inbound) = status
        .as_ref()
        .map_or((0, 0), |status| (status.peers, status.inbound));
    let listening = status.map_or_else(Vec::new, |status| status.listening);
    let sockets = listening.iter().filter_map(|address| socket(address));
    let local: Vec<Value> = sockets
        .map(|(address, port)| json!({ "address": address, "port": port, "score": 1 }))
        .collect();
    let relay_fee = call
        .context
        .mempool
        .info_blocking()
        .map(|info| info.min_relay_fee);
    let relay_fee = Amount::from_units(relay_fee.unwrap_or(0)).unwrap_or(Amount::MAX);
    let incremental_fee = Policy::default().incremental_fee;
    let incremental_fee = Amount::from_units(incremental_fee).unwrap_or(Amount::MAX);
    let net = |name: &str| {
        json!({
            "name": name,
            "limited": false,
            "reachable": call.context.network.is_some(),
            "proxy": "",
            "proxy_randomize_credentials": false,
        })
    };
    Ok(json!({
        "version": CORE_VERSION,
        "subversion": format!("/Quarry:{}/", env!("CARGO_PKG_VERSION")),
        "protocolversion": FORMAT_VERSION,
        "localservices": "0000000000000001",
        "localservicesnames": ["NETWORK"],
        "localrelay": true,
        "timeoffset": 0,
        "networkactive": call.context.network.is_some(),
        "connections": peers,
        "connections_in": inbound,
        "connections_out": peers.saturating_sub(inbound),
        "networks": [net("ipv4"), net("ipv6")],
        "relayfee": amount(relay_fee),
        "incrementalfee": amount(incremental_fee),
        "localaddresses": local,
        "multiaddresses": listening,
        "warnings": [],
    }))
}

/// Address and port of `/ip4/10.0.0.7/tcp/7667/…`.
pub(super) fn socket(multiaddress: &str) -> Option<(IpAddr, u16)> {
    let mut parts = multiaddress.split('/').skip(2);
    let address = parts.next()?.parse().ok()?;
    matches!(parts.next()?, "tcp" | "udp").then_some(())?;
    Some((address, parts.next()?.parse().ok()?))
}

fn ping(call: &Call<'_>) -> Answer {
    network(call).map(|_| Value::Null)
}

fn getpeerinfo(call: &Call<'_>) -> Answer {
    let mut peers = call.runtime.block_on(network(call)?.peers());
    peers.sort_by(|a, b| (b.connected_seconds, &a.peer_id).cmp(&(a.connected_seconds, &b.peer_id)));
    let now = (call.context.clock)();
    Ok(peers.iter().map(|peer| describe(peer, now)).collect())
}

fn getnettotals(call: &Call<'_>) -> Answer {
    let bytes = network(call)?.traffic();
    let seconds = (call.context.clock)();
    Ok(json!({
        "totalbytesrecv": bytes.received,
        "totalbytessent": bytes.sent,
        "timemillis": seconds.saturating_mul(1_000),
        // There is no limit on what is sent.
        "uploadtarget": {
            "timeframe": 86_400,
            "target": 0,
            "target_reached": false,
            "serve_historical_blocks": true,
            "bytes_left_in_cycle": 0,
            "time_left_in_cycle": 0,
        },
    }))
}

fn describe(peer: &PeerInfo, now: u64) -> Value {
    let connection = match (peer.inbound, peer.reserved) {
        (true, _) => "inbound",
        (false, true) => "manual",
        (false, false) => "outbound-full-relay",
    };
    let mut shown = json!({
        "id": peer.number,
        "addr": peer.address,
        "network": network_name(&peer.address),
        "transport": peer.transport,
        "services": "0000000000000001",
        "servicesnames": ["NETWORK"],
        "relaytxes": true,
        "lastsend": peer.bytes.last_sent,
        "lastrecv": peer.bytes.last_received,
        "bytessent": peer.bytes.sent,
        "bytesrecv": peer.bytes.received,
        "conntime": now.saturating_sub(peer.connected_seconds),
        "timeoffset": 0,
        "version": 0,
        "subver": peer.agent,
        "inbound": peer.inbound,
        "startingheight": peer.height,
        "synced_headers": peer.height,
        "synced_blocks": peer.height,
        "connection_type": connection,
        "peerid": peer.peer_id,
        "best_hash": peer.best_hash,
        "chainwork": peer.work,
        "score": peer.score,
        "gossip_score": peer.gossip_score,
        "messages_received": peer.messages_received,
        "messages_sent": peer.messages_sent,
    });
    let times = [
        ("pingtime", peer.latency_ms),
        ("minping", peer.least_latency_ms),
    ];
    for (name, milliseconds) in times {
        if let (Some(milliseconds), Some(fields)) = (milliseconds, shown.as_object_mut()) {
            let seconds = Duration::from_millis(milliseconds).as_secs_f64();
            fields.insert(name.into(), json!(seconds));
        }
    }
    shown
}

/// Bitcoin Core's name of the kind of address.
pub(super) fn network_name(multiaddress: &str) -> &'static str {
    if multiaddress.starts_with("/ip6/") {
        "ipv6"
    } else {
        "ipv4"
    }
}
