//! `verify-chain`.

use serde_json::{Value, json};

use super::super::access::{Access, Missing};
use super::super::context::Context;
use super::super::error::{CliError, CliResult, Context as _};
use super::super::progress;
use crate::primitives::CoinStats;

/// Recomputes the coins from the blocks and compares them with what is stored.
pub(super) fn run(context: &Context) -> CliResult {
    let chain = match Access::find(context, Missing::Refuse)? {
        Access::Offline(chain) => chain,
        Access::Online(client) => {
            return Err(CliError::Failure(format!(
                "the node (process {}) is changing the chain; stop it first with `quarry rpc stop`",
                client.node().pid
            )));
        }
    };
    let bar = progress::blocks("Verifying", u64::from(chain.tip().height) + 1);
    let audit = chain
        .audit(&mut |height| bar.set_position(u64::from(height) + 1))
        .or_fail();
    bar.finish_and_clear();
    let audit = audit?;
    chain.close().or_fail()?;
    let sound = audit.is_sound();
    let json = || {
        json!({
            "sound": sound,
            "height": audit.recorded.height,
            "tip": audit.recorded.tip,
            "recorded": stats(&audit.recorded),
            "stored": stats(&audit.stored),
            "recomputed": stats(&audit.recomputed),
        })
    };
    let text = || {
        let account = |name: &str, it: &CoinStats| {
            format!(
                "{name:<11} {} coins, {} units, digest {}",
                it.coins,
                it.total,
                it.accumulator.to_hex()
            )
        };
        let verdict = if sound {
            "The coins are sound"
        } else {
            "THE COINS ARE DAMAGED"
        };
        [
            format!(
                "{verdict} at height {}, block {}",
                audit.recorded.height, audit.recorded.tip
            ),
            account("recorded", &audit.recorded),
            account("stored", &audit.stored),
            account("recomputed", &audit.recomputed),
        ]
        .join("\n")
    };
    context.out.show(json, text)?;
    match sound {
        true => Ok(()),
        false => Err(CliError::failure(
            "the stored coins are not those of the blocks: export the blocks, and import them into a new --datadir",
        )),
    }
}

fn stats(stats: &CoinStats) -> Value {
    json!({
        "coins": stats.coins,
        "total_units": stats.total,
        "digest": stats.accumulator.to_hex(),
    })
}
