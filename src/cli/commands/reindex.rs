//! `reindex`.

use serde_json::json;

use super::super::context::Context;
use super::super::error::{CliError, CliResult};
use super::super::progress;
use super::verify::tell_percent;
use crate::node::{self, MendError, Mended, shell_word};
use crate::rpc::Client;

/// Builds the chain anew from its stored blocks.
pub(super) fn run(context: &Context, salvage: bool) -> CliResult {
    let folder = context.network();
    if let Ok(client) = Client::find(folder.path()) {
        return Err(CliError::Failure(format!(
            "the node (process {}) is using the chain; stop it first with `{}`",
            client.node().pid,
            context.command("rpc stop")
        )));
    }
    let bar = progress::blocks("Reindexing", 0);
    let mut percent = 0;
    let result = node::reindex(&folder, &context.spec, salvage, &mut |done, total| {
        bar.set_length(total);
        bar.set_position(done);
        tell_percent(&mut percent, done, total);
        true
    });
    bar.finish_and_clear();
    match result {
        Ok(mended) => show(context, &mended),
        Err(error) => Err(explain(context, &error)),
    }
}

fn show(context: &Context, mended: &Mended) -> CliResult {
    let Some(done) = &mended.reindexed else {
        return context.out.show(
            || json!({ "reindexed": null, "kept": null }),
            || "The last step of an earlier reindex is done now. The chain is in place.".to_owned(),
        );
    };
    let json = || {
        json!({
            "reindexed": {
                "height": done.stats.height,
                "tip": done.stats.tip,
                "old_height": done.old_height,
                "blocks": done.blocks,
                "damaged": done.damaged,
                "invalid": done.invalid,
                "above_gap": done.above_gap,
                "unreadable": done.unreadable,
                "coins": done.stats.coins,
                "total_units": done.stats.total,
                "digest": done.stats.accumulator.to_hex(),
            },
            "kept": mended.kept,
        })
    };
    let text = || {
        let mut lines = vec![format!(
            "The chain was built anew from {} blocks. The tip is {} at height {}.",
            done.blocks, done.stats.tip, done.stats.height
        )];
        if !done.is_complete() {
            lines.push(format!(
                "{} blocks were missing or damaged, {} more were left out because they build on those.",
                done.damaged, done.above_gap
            ));
            lines.push(format!(
                "The rest comes from peers: {}",
                context.command("up")
            ));
        }
        if done.invalid > 0 {
            lines.push(format!(
                "{} blocks break a rule and are remembered so.",
                done.invalid
            ));
        }
        if let Some(kept) = &mended.kept {
            lines.push(format!(
                "The old database was kept. When all is well: rm -r {}",
                shell_word(kept)
            ));
        }
        lines.join("\n")
    };
    context.out.show(json, text)
}

fn explain(context: &Context, error: &MendError) -> CliError {
    let folder = context.network();
    let then = match error {
        MendError::Unopenable(_) => format!(
            "what is readable in its files can be taken over with\n  {}",
            context.command("reindex --salvage")
        ),
        MendError::NothingLeft(_) => format!(
            "put it aside, and the blocks come from peers:\n  mv {} {} && {}",
            shell_word(&folder.database()),
            shell_word(&folder.free_damaged_name()),
            context.command("up")
        ),
        MendError::NoChain(_) => format!("make a chain with\n  {}", context.command("up")),
        MendError::InUse { .. }
        | MendError::NoSpace { .. }
        | MendError::Source(_)
        | MendError::Target(_)
        | MendError::Io { .. } => format!(
            "nothing was changed; afterwards, call again:\n  {}",
            context.command("reindex")
        ),
    };
    CliError::Failure(format!("{error}\n{then}"))
}
