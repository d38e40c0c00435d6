//! `mine`: blocks now, for networks on which they are easy, and for those who can wait.
//!
//! A running node finds them and takes what waits in its mempool. Without one they are found here, and hold nothing else than
//! their rewards.

use std::time::{Duration, Instant};

use serde_json::json;

use super::super::access::{Access, Missing};
use super::super::args::MineArgs;
use super::super::context::Context;
use super::super::error::{CliResult, Context as _};
use super::super::progress;
use super::super::wallet_access;
use crate::primitives::BlockHash;

/// How long a part of the blocks may take before the next part is made smaller: progress is told after each.
const PART_TIME: Duration = Duration::from_millis(500);
/// Blocks in a part at most, so that a node's answer stays small.
const MAX_PART: u32 = 10_000;

/// Mines, and prints the hash of each block.
pub(super) fn run(context: &Context, args: &MineArgs) -> CliResult {
    let payout = match &args.address {
        Some(text) => context.address("--address", text)?.pubkey_hash(),
        None => wallet_access::payout(context)?,
    };
    let address = context.address_of(payout).to_string();
    let access = Access::find(context, Missing::Make)?;
    let mine = |count: u32| -> CliResult<Vec<BlockHash>> {
        match &access {
            Access::Online(client) => client
                .get("generatetoaddress", json!([count, address]))
                .or_fail(),
            Access::Offline(chain) => chain.mine(payout, count).or_fail(),
        }
    };
    let mined = in_parts(context, args.count.get(), mine);
    access.close()?;
    let hashes = mined?;
    match context.out.is_json() {
        true => context
            .out
            .json(&json!({ "address": address, "blocks": hashes })),
        false => Ok(()),
    }
}

/// Mines part by part and prints each, so that a command which is interrupted has told what it mined.
fn in_parts(
    context: &Context,
    count: u32,
    mine: impl Fn(u32) -> CliResult<Vec<BlockHash>>,
) -> CliResult<Vec<BlockHash>> {
    let bar = progress::blocks("Mining", count.into());
    let mut hashes = Vec::new();
    let (mut left, mut part) = (count, 1);
    while left > 0 {
        let begin = Instant::now();
        let mined = mine(part.min(left))?;
        part = match begin.elapsed() < PART_TIME {
            true => (part * 2).min(MAX_PART),
            false => (part / 2).max(1),
        };
        left = left.saturating_sub(u32::try_from(mined.len()).unwrap_or(u32::MAX));
        bar.inc(mined.len() as u64);
        if !context.out.is_json() {
            bar.suspend(|| mined.iter().try_for_each(|hash| context.out.line(hash)))?;
        }
        hashes.extend(mined);
    }
    bar.finish_and_clear();
    Ok(hashes)
}
