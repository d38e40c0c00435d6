//! Peers that are kept, disconnected, banned.

use serde_json::{Value, json};

use super::network::network;
use crate::network::BanTarget;
use crate::rpc::error::{RpcError, code};
use crate::rpc::method::{Answer, Call, Kind, Method, optional, required};

/// How long a ban by hand lasts if nothing else is said, seconds: as in Bitcoin Core.
const BAN_TIME: u64 = 86_400;

pub(super) static METHODS: &[Method] = &[
    Method {
        name: "addnode",
        params: &[
            required(
                "node",
                Kind::Text,
                "host:port, or a multiaddress such as /ip4/10.0.0.7/tcp/7667",
            )
            .such_as(r#""10.0.0.7:7667""#),
            required(
                "command",
                Kind::Text,
                "'add' to keep a connection to the node, 'remove' to forget it, 'onetry' to dial it once",
            )
            .such_as(r#""add""#),
        ],
        about: "Adds a peer that is always kept, removes one, or dials one now. What is added is kept until the node stops; `--peer` keeps it for longer.",
        result: "null",
        run: addnode,
    },
    Method {
        name: "clearbanned",
        params: &[],
        about: "Ends all bans, those for misbehaviour too.",
        result: "null",
        run: clearbanned,
    },
    Method {
        name: "disconnectnode",
        params: &[
            optional(
                "address",
                Kind::Text,
                "the peer's address as getpeerinfo shows it, its IP and port, or its `peerid`",
            ),
            optional("nodeid", Kind::Integer, "its `id` in getpeerinfo"),
        ],
        about: "Disconnects from a peer, given by one of the two. A peer that is kept is dialled again.",
        result: "null",
        run: disconnectnode,
    },
    Method {
        name: "getaddednodeinfo",
        params: &[optional(
            "node",
            Kind::Text,
            "one of them, as it was given; all without it",
        )],
        about: "The peers that are kept, and whether they are connected.",
        result: "[{\"addednode\": \"str\", \"connected\": true|false, \"addresses\": [{\"address\": \"str\", \
\"connected\": \"str\" (inbound or outbound)}, ...]}, ...] (array)",
        run: getaddednodeinfo,
    },
    Method {
        name: "listbanned",
        params: &[],
        about: "The bans. Quarry: `address` is a peer's id where a peer is banned and not its address.",
        result: "[{\"address\": \"str\", \"ban_created\": n, \"banned_until\": n, \"ban_duration\": n, \
\"time_remaining\": n}, ...] (array)",
        run: listbanned,
    },
    Method {
        name: "setban",
        params: &[
            required(
                "subnet",
                Kind::Text,
                "an address, addresses such as 10.0.0.0/8, or (Quarry) the `peerid` of a peer",
            )
            .such_as(r#""10.0.0.7""#),
            required("command", Kind::Text, "'add' or 'remove'").such_as(r#""add""#),
            optional("bantime", Kind::Integer, "seconds; 0 is a day").or("0"),
            optional(
                "absolute",
                Kind::Boolean,
                "bantime is when the ban ends, Unix seconds",
            )
            .or("false"),
        ],
        about: "Bans whoever has such an address, or ends the ban. Bans are kept over restarts. A peer that is kept must be removed with `addnode` before it can be banned.",
        result: "null",
        run: setban,
    },
];

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
        "onetry" => {
            let tried = call.runtime.block_on(network.try_peer(node));
            tried.map_err(|error| RpcError::invalid_parameter(error.to_string()))?;
        }
        other => return Err(unknown_command(other, "'add', 'remove' and 'onetry'")),
    }
    Ok(Value::Null)
}

fn unknown_command(command: &str, right: &str) -> RpcError {
    let command: String = command.chars().take(40).collect();
    RpcError::invalid_parameter(format!("command is '{command}'; right are {right}"))
}

fn disconnectnode(call: &Call<'_>) -> Answer {
    let network = network(call)?;
    let number: Option<u64> = call.args.integer("nodeid")?;
    // Core takes an empty address together with a number.
    let address = call.args.text("address").filter(|text| !text.is_empty());
    let found = match (address, number) {
        (Some(address), None) => call.runtime.block_on(network.disconnect(address)),
        (None, Some(number)) => call.runtime.block_on(network.disconnect_number(number)),
        (Some(_), Some(_)) | (None, None) => {
            let message = "Only one of address and nodeid should be provided.";
            return Err(RpcError::new(code::INVALID_PARAMS, message));
        }
    };
    if !found {
        let message = "Node not found in connected nodes";
        return Err(RpcError::new(code::CLIENT_NODE_NOT_CONNECTED, message));
    }
    Ok(Value::Null)
}

fn getaddednodeinfo(call: &Call<'_>) -> Answer {
    let mut added = call.runtime.block_on(network(call)?.added_peers());
    if let Some(node) = call.args.text("node") {
        added.retain(|peer| peer.address == node);
        if added.is_empty() {
            let message = "Error: Node has not been added.";
            return Err(RpcError::new(code::CLIENT_NODE_NOT_ADDED, message));
        }
    }
    let shown = added.iter().map(|peer| {
        let addresses: Vec<Value> = peer
            .connections
            .iter()
            .map(|(address, inbound)| {
                let direction = if *inbound { "inbound" } else { "outbound" };
                json!({ "address": address, "connected": direction })
            })
            .collect();
        json!({
            "addednode": peer.address,
            "connected": !addresses.is_empty(),
            "addresses": addresses,
        })
    });
    Ok(shown.collect())
}

fn listbanned(call: &Call<'_>) -> Answer {
    let bans = call.runtime.block_on(network(call)?.bans());
    let now = crate::primitives::unix_now();
    let shown = bans.iter().map(|ban| {
        json!({
            "address": ban.target,
            "ban_created": ban.created,
            "banned_until": ban.until,
            "ban_duration": ban.until.saturating_sub(ban.created),
            "time_remaining": ban.until.saturating_sub(now),
        })
    });
    Ok(shown.collect())
}

fn setban(call: &Call<'_>) -> Answer {
    let network = network(call)?;
    let invalid = |message: String| RpcError::new(code::CLIENT_INVALID_IP_OR_SUBNET, message);
    let text = call.args.required_text("subnet")?;
    let target: BanTarget = text
        .parse()
        .map_err(|error| invalid(format!("Error: Invalid IP/Subnet: {error}")))?;
    match call.args.required_text("command")? {
        "add" => {
            let now = crate::primitives::unix_now();
            let time: u64 = call.args.integer("bantime")?.unwrap_or(0);
            let until = match call.args.boolean("absolute") {
                Some(true) if time < now => {
                    let message = "Error: Absolute timestamp is in the past";
                    return Err(RpcError::invalid_parameter(message));
                }
                Some(true) => time,
                _ if time == 0 => now.saturating_add(BAN_TIME),
                _ => now.saturating_add(time),
            };
            let shown = target.to_string();
            let bans = call.runtime.block_on(network.bans());
            if bans.iter().any(|ban| ban.target == shown) {
                let message = "Error: IP/Subnet already banned";
                return Err(RpcError::new(code::CLIENT_NODE_ALREADY_ADDED, message));
            }
            if !call.runtime.block_on(network.ban(target, until)) {
                let message = "it is a peer that is kept: remove it first, with addnode";
                return Err(RpcError::invalid_parameter(message));
            }
        }
        "remove" => {
            if !call.runtime.block_on(network.unban(target)) {
                let message = "Error: Unban failed. Requested address/subnet was not previously manually banned.";
                return Err(invalid(message.into()));
            }
        }
        other => return Err(unknown_command(other, "'add' and 'remove'")),
    }
    Ok(Value::Null)
}

fn clearbanned(call: &Call<'_>) -> Answer {
    call.runtime.block_on(network(call)?.clear_bans());
    Ok(Value::Null)
}
