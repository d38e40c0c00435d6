//! `getblocktemplate` (BIP22, BIP23), as Bitcoin Core answers it (`rpc/mining.cpp`).
//!
//! Two things differ for the sake of networks with a stall rule, on which the target follows the time of the block: `mintime` and
//! `maxtime` bound the times for which `bits` holds, and `expires` says when to ask again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::{sleep, timeout};

use crate::chain::ProposalError;
use crate::consensus::ChainSpec;
use crate::miner::{CoinbaseRoom, Template, build_roomy_template_blocking};
use crate::primitives::{Block, BlockHash, Decode, Encode, PubkeyHash, Txid};
use crate::rpc::context::{MAX_LONG_POLLS, RpcContext};
use crate::rpc::describe;
use crate::rpc::error::{RpcError, code};
use crate::rpc::method::{Answer, Call};

/// How long a long poll waits at most. Clients ask again; those that went unnoticed do not hold their places for ever.
const LONG_POLL_TIME: Duration = Duration::from_secs(10 * 60);
/// How long new transactions alone do not end a long poll, and how often they are looked at then (Bitcoin Core).
const TRANSACTIONS_WAIT: Duration = Duration::from_secs(60);
/// See [`TRANSACTIONS_WAIT`].
const TRANSACTIONS_STEP: Duration = Duration::from_secs(10);
/// How long a template is good for, in seconds, where the target does not change before.
const EXPIRES: u64 = 120;
/// Weight units of a byte that is no witness (BIP141); there are no witnesses here.
const WEIGHT: u64 = 4;

pub(super) fn getblocktemplate(call: &Call<'_>) -> Answer {
    let none = Map::new();
    let request = call.args.object("template_request").unwrap_or(&none);
    match request.get("mode") {
        None | Some(Value::Null) => {}
        Some(Value::String(mode)) if mode == "template" => {}
        Some(Value::String(mode)) if mode == "proposal" => return proposal(call, request),
        Some(_) => return Err(RpcError::invalid_parameter("Invalid mode")),
    }
    refuse_where_it_would_fork(call.context)?;
    if let Some(Value::String(id)) = request.get("longpollid") {
        long_poll(call, id)?;
    }
    template(call)
}

/// Bitcoin Core refuses on all but test networks when it is not connected or in its initial download. A private network may be a
/// single node, so that one without peers is refused only if it was told whom to connect to. Regtest is exempt as in Core.
fn refuse_where_it_would_fork(context: &RpcContext) -> Result<(), RpcError> {
    let Some(network) = &context.network else {
        return Ok(());
    };
    if *context.spec() == ChainSpec::regtest() {
        return Ok(());
    }
    let status = network.status();
    let status = status.borrow();
    if context.expects_peers && status.peers == 0 {
        let message = "Quarry is not connected!";
        return Err(RpcError::new(code::CLIENT_NOT_CONNECTED, message));
    }
    if status.sync.is_catching_up() {
        let message = "Quarry is in initial sync and waiting for blocks...";
        return Err(RpcError::new(code::CLIENT_IN_INITIAL_DOWNLOAD, message));
    }
    Ok(())
}

/// BIP23: what would become of a block that lacks only the proof of work; null where it would be taken.
fn proposal(call: &Call<'_>, request: &Map<String, Value>) -> Answer {
    let Some(Value::String(data)) = request.get("data") else {
        let message = "Missing data String key for proposal";
        return Err(RpcError::new(code::TYPE_ERROR, message));
    };
    let failed = |reason: &dyn std::fmt::Display| {
        RpcError::new(
            code::DESERIALIZATION_ERROR,
            format!("Block decode failed ({reason})"),
        )
    };
    let bytes = hex::decode(data.trim()).map_err(|error| failed(&error))?;
    let block = Block::from_bytes(&bytes).map_err(|error| failed(&error))?;
    let now = (call.context.clock)();
    match call.context.reader().check_proposal(block, now) {
        Ok(()) => Ok(Value::Null),
        Err(ProposalError::Storage(error)) => super::stored(Err(error)),
        Err(error) => Ok(json!(error.reject_reason())),
    }
}

fn template(call: &Call<'_>) -> Answer {
    let context = call.context;
    let now = (context.clock)();
    // Read before the mempool is asked, so that what comes between is news to whoever waits with this id.
    let changes = *context.mempool.changed().borrow();
    // The miner brings its own coinbase; this payout is never used.
    let template = build_roomy_template_blocking(
        context.reader(),
        Some(&context.mempool),
        PubkeyHash::ZERO,
        now,
        CoinbaseRoom::FOREIGN,
    )
    .map_err(|error| RpcError::new(code::MISC_ERROR, error.to_string()))?;
    Ok(describe_template(context.spec(), &template, changes, now))
}

fn describe_template(spec: &ChainSpec, template: &Template, changes: u64, now: u64) -> Value {
    let (mintime, last) = template.times(spec).into_inner();
    let drift = now.saturating_add(spec.max_future_drift.into());
    let maxtime = drift.min(last.into());
    json!({
        "capabilities": ["proposal"],
        "version": template.version(),
        // BIP68, BIP112 and BIP113, which every network has from its first block.
        "rules": ["csv"],
        "vbavailable": {},
        "vbrequired": 0,
        "previousblockhash": template.parent(),
        "transactions": transactions(template),
        "coinbaseaux": {},
        "coinbasevalue": template.reward().units(),
        "longpollid": long_poll_id(&template.parent(), changes),
        "target": describe::target(template.bits()),
        "mintime": mintime,
        "maxtime": maxtime,
        "mutable": ["time", "transactions", "prevblock"],
        "noncerange": "00000000ffffffff",
        "sigoplimit": spec.max_block_sigops,
        "sizelimit": spec.max_block_size,
        "weightlimit": u64::from(spec.max_block_size) * WEIGHT,
        "curtime": template.time(),
        "bits": template.bits().to_string(),
        "height": template.height(),
        "expires": EXPIRES.min(maxtime.saturating_sub(template.time().into())),
    })
}

fn transactions(template: &Template) -> Vec<Value> {
    let mut places: HashMap<Txid, usize> = HashMap::new();
    let mut shown = Vec::new();
    for (index, entry) in (1..).zip(template.transactions()) {
        let inputs = entry.tx.inputs.iter();
        let mut depends: Vec<usize> = inputs
            .filter_map(|input| places.get(&input.previous_output.txid).copied())
            .collect();
        depends.sort_unstable();
        depends.dedup();
        places.insert(entry.txid, index);
        shown.push(json!({
            "data": hex::encode(entry.tx.to_bytes()),
            "txid": entry.txid,
            "hash": entry.txid,
            "depends": depends,
            "fee": entry.fee.units(),
            "sigops": entry.sigops,
            "weight": entry.size * WEIGHT,
        }));
    }
    shown
}

/// The tip and how often the mempool had changed.
fn long_poll_id(tip: &BlockHash, changes: u64) -> String {
    format!("{tip}{changes}")
}

/// The parts of a [`long_poll_id`].
fn read_long_poll_id(id: &str) -> Option<(BlockHash, u64)> {
    let (tip, changes) = id.split_at_checked(64)?;
    Some((tip.parse().ok()?, changes.parse().ok()?))
}

/// Waits until the template with this id is out of date: at once for another tip, after a while for other transactions.
fn long_poll(call: &Call<'_>, id: &str) -> Result<(), RpcError> {
    let context = call.context;
    let Some((tip, changes)) = read_long_poll_id(id) else {
        return Err(RpcError::invalid_parameter(
            "longpollid is not one that this node gave",
        ));
    };
    let Some(_place) = context.long_polls.take() else {
        let message = format!("{MAX_LONG_POLLS} long polls are waiting already; ask without");
        return Err(RpcError::new(code::MISC_ERROR, message));
    };
    let wait = async {
        tokio::select! {
            () = call.cancelled.cancelled() => {}
            () = tip_changes(context, &tip) => {}
            () = transactions_change(context, changes) => {}
            () = sleep(LONG_POLL_TIME) => {}
        }
    };
    call.runtime.block_on(wait);
    match call.cancelled.is_cancelled() {
        true => Err(RpcError::new(code::MISC_ERROR, "Shutting down")),
        false => Ok(()),
    }
}

async fn tip_changes(context: &Arc<RpcContext>, tip: &BlockHash) {
    let mut events = context.chain.subscribe();
    while context.reader().tip().hash == *tip {
        // Whatever it is, or however much was missed: the reader knows the tip.
        let _ = events.next().await;
    }
}

async fn transactions_change(context: &Arc<RpcContext>, changes: u64) {
    sleep(TRANSACTIONS_WAIT).await;
    let mut changed = context.mempool.changed();
    while *changed.borrow_and_update() == changes {
        // The mempool's end is the node's, which ends the poll.
        let _ = timeout(TRANSACTIONS_STEP, changed.changed()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_poll_ids_are_read_as_they_are_written() {
        let tip = BlockHash::from_bytes([7; 32]);
        let id = long_poll_id(&tip, 42);
        assert_eq!(read_long_poll_id(&id), Some((tip, 42)));
        for bad in ["", "00", &id[..64], &id[2..], &"é".repeat(40)] {
            assert_eq!(read_long_poll_id(bad), None, "{bad}");
        }
    }
}
