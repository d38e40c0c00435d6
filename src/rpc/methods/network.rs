//! Peers.

use std::time::Duration;

use serde_json::{Value, json};

use crate::network::{NetworkHandle, PeerInfo};
use crate::rpc::error::{RpcError, code};
use crate::rpc::method::{Answer, Call, Kind, Method, required};

pub(super) static METHODS: &[Method] = &[
    Method {
        name: "addnode",
        params: &[
            required(
                "node",
                Kind::Text,
                "host:port, or a multiaddress such as /ip4/10.0.0.7/tcp/7667",
            ),
            required(
                "command",
                Kind::Text,
                "'add' to keep a connection to the node, 'remove' to forget it",
            ),
        ],
        about: "Adds a peer that is always kept, or removes one.",
        result: "null",
        run: addnode,
    },
    Method {
        name: "getconnectioncount",
        params: &[],
        about: "How many peers are connected.",
        result: "n (numeric)",
        run: getconnectioncount,
    },
    Method {
        name: "getpeerinfo",
        params: &[],
        about: "The connected peers. Quarry: `peerid`, `score` (misbehaviour, 100 is banned), `gossip_score`, message counts.",
        result: "[{...}, ...] (array)",
        run: getpeerinfo,
    },
];

fn network<'a>(call: &Call<'a>) -> Result<&'a NetworkHandle, RpcError> {
    let none = || {
        RpcError::new(
            code::CLIENT_P2P_DISABLED,
            "Error: Peer-to-peer functionality missing or disabled",
        )
    };
    call.context.network.as_ref().ok_or_else(none)
}

fn addnode(call: &Call<'_>) -> Answer {
    let node = call.args.required_text("node")?;
    let network = network(call)?;
    match call.args.required_text("command")? {
        "add" => {
            let added = call.runtime.block_on(network.add_peer(node));
            if !added.map_err(|error| RpcError::invalid_parameter(error.to_string()))? {
                let message = "Error: Node already added";
                return Err(RpcError::new(code::CLIENT_NODE_ALREADY_ADDED, message));
            }
        }
        "remove" => {
            if !call.runtime.block_on(network.remove_peer(node)) {
                let message = "Error: Node could not be removed. It has not been added previously.";
                return Err(RpcError::new(code::CLIENT_NODE_NOT_ADDED, message));
            }
        }
        other => {
            let other: String = other.chars().take(40).collect();
            return Err(RpcError::invalid_parameter(format!(
                "command is '{other}'; right are 'add' and 'remove'"
            )));
        }
    }
    Ok(Value::Null)
}

fn getconnectioncount(call: &Call<'_>) -> Answer {
    let peers = network(call)?.status().borrow().peers;
    Ok(json!(peers))
}

fn getpeerinfo(call: &Call<'_>) -> Answer {
    let mut peers = call.runtime.block_on(network(call)?.peers());
    peers.sort_by(|a, b| (b.connected_seconds, &a.peer_id).cmp(&(a.connected_seconds, &b.peer_id)));
    let now = (call.context.clock)();
    Ok((0_u32..)
        .zip(&peers)
        .map(|(id, peer)| describe(id, peer, now))
        .collect())
}

fn describe(id: u32, peer: &PeerInfo, now: u64) -> Value {
    let connection = match (peer.inbound, peer.reserved) {
        (true, _) => "inbound",
        (false, true) => "manual",
        (false, false) => "outbound-full-relay",
    };
    let mut shown = json!({
        "id": id,
        "addr": peer.address,
        "services": "0000000000000001",
        "servicesnames": ["NETWORK"],
        "relaytxes": true,
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
    if let (Some(milliseconds), Some(fields)) = (peer.latency_ms, shown.as_object_mut()) {
        let seconds = Duration::from_millis(milliseconds).as_secs_f64();
        fields.insert("pingtime".into(), json!(seconds));
    }
    shown
}
