//! `status`.

use serde_json::{Value, json};

use super::super::access::{Access, Missing};
use super::super::context::Context;
use super::super::error::{CliResult, Context as _};
use super::super::text;
use crate::node::OfflineChain;
use crate::primitives::{BlockHash, BlockHeader, Decode, unix_now};
use crate::rpc::{Client, ClientError, code};

/// What is known of node and chain.
struct Status {
    node: Option<Value>,
    height: u32,
    tip: BlockHash,
    tip_time: u32,
}

/// Prints how the node, or without one the chain, is doing.
pub(super) fn run(context: &Context) -> CliResult {
    let access = Access::find(context, Missing::Refuse)?;
    let status = match &access {
        Access::Online(client) => of_node(client, &access)?,
        Access::Offline(chain) => of_chain(chain),
    };
    access.close()?;
    if context.out.is_json() {
        return context.out.json(&json!({
            "network": context.spec.name,
            "chain_id": context.spec.chain_id().to_string(),
            "datadir": context.folder.path(),
            "height": status.height,
            "tip": status.tip,
            "tip_time": status.tip_time,
            "node": status.node,
        }));
    }
    context.out.line(for_people(context, &status))
}

fn of_chain(chain: &OfflineChain) -> Status {
    let tip = chain.tip();
    Status {
        node: None,
        height: tip.height,
        tip: tip.hash,
        tip_time: tip.header.time,
    }
}

fn of_node(client: &Client, access: &Access) -> CliResult<Status> {
    let (height, tip) = access.tip()?;
    let header: String = client
        .get("getblockheader", json!([tip, false]))
        .or_fail()?;
    let header = hex::decode(header).or_fail_to("read the node's answer to getblockheader")?;
    let header =
        BlockHeader::from_bytes(&header).or_fail_to("read the node's answer to getblockheader")?;
    let mempool = client.call("getmempoolinfo", json!([])).or_fail()?;
    let node = client.node();
    Ok(Status {
        node: Some(json!({
            "pid": node.pid,
            "rpc": node.rpc,
            "explorer": node.explorer,
            "uptime": client.call("uptime", json!([])).or_fail()?,
            "peers": client.call("getconnectioncount", json!([])).or_fail()?,
            "mempool": mempool["size"],
            "mining": mining(client)?,
        })),
        height,
        tip,
        tip_time: header.time,
    })
}

/// The miner's state, if the node tells of one.
fn mining(client: &Client) -> CliResult<Value> {
    match client.call("getmininginfo", json!([])) {
        Err(ClientError::Rpc(error)) if error.code == code::METHOD_NOT_FOUND => Ok(Value::Null),
        other => other.or_fail(),
    }
}

fn for_people(context: &Context, status: &Status) -> String {
    let age = text::duration(unix_now().saturating_sub(u64::from(status.tip_time)));
    let mut rows = vec![
        (
            "Network",
            format!(
                "{} (chain id {})",
                context.spec.name,
                context.spec.chain_id().short()
            ),
        ),
        ("Data folder", context.folder.path().display().to_string()),
    ];
    match &status.node {
        None => rows.push(("Node", "not running".to_owned())),
        Some(node) => {
            let up = text::duration(node["uptime"].as_u64().unwrap_or(0));
            rows.push((
                "Node",
                format!("running for {up} (process {})", node["pid"]),
            ));
            rows.push(("RPC", node["rpc"].as_str().unwrap_or("-").to_owned()));
            let explorer = node["explorer"]
                .as_str()
                .map_or_else(|| "-".to_owned(), |at| format!("http://{at}/"));
            rows.push(("Explorer", explorer));
            rows.push(("Peers", node["peers"].to_string()));
            rows.push(("Mempool", format!("{} transactions", node["mempool"])));
        }
    }
    rows.push(("Height", status.height.to_string()));
    rows.push(("Tip", format!("{}, {age} old", status.tip)));
    let lines: Vec<_> = rows
        .iter()
        .map(|(name, value)| format!("{name:<12} {value}"))
        .collect();
    lines.join("\n")
}
