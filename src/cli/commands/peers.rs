//! `peers`.

use serde_json::{Value, json};

use super::super::access::{call, running_node};
use super::super::args::PeersCommand;
use super::super::context::Context;
use super::super::error::{CliError, CliResult};
use super::super::text;
use crate::primitives::unix_now;
use crate::rpc::Client;

/// Prints the running node's peers, or does with them what the command says.
pub(super) fn run(context: &Context, command: Option<&PeersCommand>) -> CliResult {
    let client = running_node(context)?;
    let Some(command) = command else {
        return list(context, &client);
    };
    let node = |address: &str, what: &str| call(&client, "addnode", json!([address, what]));
    let done = match command {
        PeersCommand::Add { address } => {
            node(address, "add")?;
            format!("{address} is kept from now on")
        }
        PeersCommand::Remove { address } => {
            node(address, "remove")?;
            format!("{address} is no longer kept")
        }
        PeersCommand::Try { address } => {
            node(address, "onetry")?;
            format!("{address} is dialled")
        }
        PeersCommand::Disconnect { peer } => {
            let peer = id_of(&client, peer)?;
            call(&client, "disconnectnode", json!([peer]))?;
            format!("disconnected from {peer}")
        }
        PeersCommand::Ban { target, hours } => {
            let target = id_of(&client, target)?;
            let seconds = hours.get().saturating_mul(3_600);
            call(&client, "setban", json!([target, "add", seconds]))?;
            format!("{target} is banned for {hours} h")
        }
        PeersCommand::Unban { target } => {
            call(&client, "setban", json!([target, "remove"]))?;
            format!("{target} is no longer banned")
        }
        PeersCommand::ClearBanned => {
            call(&client, "clearbanned", json!([]))?;
            "nobody is banned".to_owned()
        }
        PeersCommand::ListAdded => return list_added(context, &client),
        PeersCommand::ListBanned => return list_banned(context, &client),
    };
    context
        .out
        .show(|| json!({ "done": done }), || done.clone())
}

/// The id of the connected peer with this number; what is no number is what it is.
fn id_of(client: &Client, peer: &str) -> CliResult<String> {
    let Ok(number) = peer.parse::<u64>() else {
        return Ok(peer.to_owned());
    };
    let peers = call(client, "getpeerinfo", json!([]))?;
    let mut peers = peers.as_array().into_iter().flatten();
    let found = peers.find(|peer| peer["id"].as_u64() == Some(number));
    let id = found.and_then(|peer| peer["peerid"].as_str());
    id.map(str::to_owned).ok_or_else(|| {
        CliError::Failure(format!(
            "no peer has the number {number}; `quarry peers` prints them"
        ))
    })
}

fn list(context: &Context, client: &Client) -> CliResult {
    let peers = call(client, "getpeerinfo", json!([]))?;
    if context.out.is_json() {
        return context.out.json(&peers);
    }
    let peers = peers.as_array().map_or(&[][..], Vec::as_slice);
    if peers.is_empty() {
        return context.out.line("no peers");
    }
    context.out.line(format_args!(
        "{:>3}  {:<36} {:<4} {:<7} {:>14} {:>8} {:>8} {:>5} {:>9} {:>9}  SOFTWARE",
        "NO", "ADDRESS", "DIR", "VIA", "AGE", "PING", "HEIGHT", "SCORE", "RECEIVED", "SENT"
    ))?;
    let now = unix_now();
    for peer in peers {
        context.out.line(row(peer, now))?;
    }
    Ok(())
}

fn row(peer: &Value, now: u64) -> String {
    let word = |field: &str| peer[field].as_str().unwrap_or("-").to_owned();
    let number = |field: &str| peer[field].as_u64();
    let shown = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |n| n.to_string());
    let direction = match peer["connection_type"].as_str() {
        Some("inbound") => "in",
        Some("manual") => "kept",
        _ => "out",
    };
    let age = number("conntime").map(|since| text::duration(now.saturating_sub(since)));
    let ping = peer["pingtime"].as_f64().map_or_else(
        || "-".to_owned(),
        |seconds| format!("{:.0} ms", seconds * 1000.0),
    );
    let score = peer["score"]
        .as_f64()
        .map_or_else(|| "-".to_owned(), |score| format!("{score:.0}"));
    let traffic = |field: &str| number(field).map_or_else(|| "-".to_owned(), text::bytes);
    format!(
        "{:>3}  {:<36} {direction:<4} {:<7} {:>14} {ping:>8} {:>8} {score:>5} {:>9} {:>9}  {}",
        shown(number("id")),
        word("addr"),
        word("transport"),
        age.unwrap_or_else(|| "-".to_owned()),
        shown(number("synced_headers")),
        traffic("bytesrecv"),
        traffic("bytessent"),
        word("subver")
    )
}

fn list_added(context: &Context, client: &Client) -> CliResult {
    let added = call(client, "getaddednodeinfo", json!([]))?;
    if context.out.is_json() {
        return context.out.json(&added);
    }
    let added = added.as_array().map_or(&[][..], Vec::as_slice);
    if added.is_empty() {
        return context.out.line("no peer is kept");
    }
    for peer in added {
        let address = peer["addednode"].as_str().unwrap_or("-");
        let state = match peer["connected"].as_bool() {
            Some(true) => "connected",
            _ => "not connected",
        };
        context.out.line(format_args!("{address:<44} {state}"))?;
    }
    Ok(())
}

fn list_banned(context: &Context, client: &Client) -> CliResult {
    let bans = call(client, "listbanned", json!([]))?;
    if context.out.is_json() {
        return context.out.json(&bans);
    }
    let bans = bans.as_array().map_or(&[][..], Vec::as_slice);
    if bans.is_empty() {
        return context.out.line("nobody is banned");
    }
    for ban in bans {
        let target = ban["address"].as_str().unwrap_or("-");
        let left = text::duration(ban["time_remaining"].as_u64().unwrap_or(0));
        context.out.line(format_args!("{target:<54} for {left}"))?;
    }
    Ok(())
}
