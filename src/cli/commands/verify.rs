//! `verify-chain`.

use serde_json::{Value, json};

use super::super::access::{Access, Missing};
use super::super::context::Context;
use super::super::error::{CliError, CliResult, Context as _};
use super::super::progress;
use crate::node::OfflineChain;
use crate::primitives::CoinStats;

/// Compares everything stored with what follows from the blocks; with `full`, after applying every rule to them again.
pub(super) fn run(context: &Context, full: bool) -> CliResult {
    let chain = match Access::find(context, Missing::Refuse)? {
        Access::Offline(chain) => chain,
        Access::Online(client) => {
            return Err(CliError::Failure(format!(
                "the node (process {}) is changing the chain; stop it first with `{}`",
                client.node().pid,
                context.command("rpc stop")
            )));
        }
    };
    let sound = match compare(context, &chain, full)? {
        Verdict::Sound => true,
        Verdict::Unsound => false,
    };
    chain.close().or_fail()?;
    match sound {
        true => Ok(()),
        false => Err(CliError::Failure(format!(
            "the stored chain is not what its blocks lead to; build it anew with\n  {}",
            context.command("reindex")
        ))),
    }
}

enum Verdict {
    Sound,
    Unsound,
}

fn compare(context: &Context, chain: &OfflineChain, full: bool) -> CliResult<Verdict> {
    let blocks = u64::from(chain.tip().height) + 1;
    let bar = progress::blocks("Comparing", blocks);
    let audit = chain
        .audit(&mut |height| bar.set_position(u64::from(height) + 1))
        .or_fail();
    bar.finish_and_clear();
    let audit = audit?;
    let revalidation = match full {
        true => {
            let bar = progress::blocks("Validating", blocks);
            let mut percent = 0;
            let result = chain.revalidate(&context.network(), &mut |done, total| {
                bar.set_position(done + 1);
                tell_percent(&mut percent, done, total);
            });
            bar.finish_and_clear();
            Some(result.or_fail()?)
        }
        false => None,
    };
    let sound = audit.is_sound() && revalidation.as_ref().is_none_or(|it| it.is_sound());
    let columns: Vec<_> = audit
        .columns
        .iter()
        .map(|column| {
            (
                column.column,
                column.is_sound(),
                column.stored.rows(),
                column.recomputed.rows(),
            )
        })
        .collect();
    let json = || {
        let columns: serde_json::Map<_, _> = columns
            .iter()
            .map(|(name, sound, stored, recomputed)| {
                let account = json!({ "sound": sound, "stored": stored, "recomputed": recomputed });
                ((*name).to_owned(), account)
            })
            .collect();
        let full = revalidation.as_ref().map(|it| {
            let rows = it
                .differences
                .iter()
                .map(|row| json!({ "column": row.column, "key": row.key, "what": row.what }));
            json!({
                "sound": it.is_sound(),
                "height": it.validated.height,
                "invalid_blocks": it.invalid,
                "missing_blocks": it.missing,
                "differences": it.difference_count,
                "rows": rows.collect::<Vec<_>>(),
            })
        });
        json!({
            "sound": sound,
            "height": audit.recorded.height,
            "tip": audit.recorded.tip,
            "recorded": stats(&audit.recorded),
            "stored": stats(&audit.stored),
            "recomputed": stats(&audit.recomputed),
            "columns": columns,
            "faults": audit.faults,
            "fault_count": audit.fault_count,
            "full": full,
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
            "The chain is sound"
        } else {
            "THE CHAIN IS DAMAGED"
        };
        let mut lines = vec![
            format!(
                "{verdict} at height {}, block {}",
                audit.recorded.height, audit.recorded.tip
            ),
            account("recorded", &audit.recorded),
            account("stored", &audit.stored),
            account("recomputed", &audit.recomputed),
        ];
        lines.extend(
            columns
                .iter()
                .map(|(name, sound, stored, recomputed)| match sound {
                    true => format!("{name:<15} {stored} rows, all right"),
                    false => format!(
                        "{name:<15} {stored} rows, the blocks lead to {recomputed} and to OTHERS"
                    ),
                }),
        );
        lines.extend(told(&audit.faults, audit.fault_count));
        if let Some(full) = &revalidation {
            lines.push(match full.is_sound() {
                true => format!("Every rule holds in every block up to height {}", full.validated.height),
                false => format!(
                    "VALID UP TO HEIGHT {} ONLY: {} blocks break a rule, {} are missing or above a missing one, {} rows differ",
                    full.validated.height, full.invalid, full.missing, full.difference_count
                ),
            });
            let rows: Vec<_> = full
                .differences
                .iter()
                .map(|row| format!("{}/{} {}", row.column, row.key, row.what))
                .collect();
            lines.extend(told(&rows, full.difference_count));
        }
        lines.join("\n")
    };
    context.out.show(json, text)?;
    Ok(if sound {
        Verdict::Sound
    } else {
        Verdict::Unsound
    })
}

/// Faults as lines, and how many are left out.
fn told(faults: &[String], count: u64) -> Vec<String> {
    let mut lines: Vec<_> = faults.iter().map(|fault| format!("  {fault}")).collect();
    let left_out = count.saturating_sub(faults.len() as u64);
    if left_out > 0 {
        lines.push(format!("  and {left_out} more"));
    }
    lines
}

/// Logs each whole percent once, for those who watch a log and not a terminal.
pub(super) fn tell_percent(last: &mut u64, done: u64, total: u64) {
    let percent = done.saturating_mul(100) / total.max(1);
    if percent > *last {
        *last = percent;
        tracing::info!(percent, blocks = done, of = total, "validating");
    }
}

fn stats(stats: &CoinStats) -> Value {
    json!({
        "coins": stats.coins,
        "total_units": stats.total,
        "digest": stats.accumulator.to_hex(),
    })
}
