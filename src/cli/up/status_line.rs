//! The line that says how the node is doing, and the loud one for a reorg.

use std::time::Duration;

use crossterm::style::Stylize;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::super::text;
use super::screen::Screen;
use crate::node::{NodeStatus, NodeView, Notice, StratumInfo};
use crate::primitives::unix_now;

/// How often the line is made anew.
const PERIOD: Duration = Duration::from_millis(500);

/// Updates the line until `stop`.
pub(super) async fn run(screen: &Screen, view: &NodeView, stop: CancellationToken) {
    let mut notices = view.notices();
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            notice = notices.recv() => match notice {
                Ok(notice) => screen.line(&loud(&notice)),
                Err(RecvError::Lagged(_)) => {}
                // The reporting task has ended, so the node is about to.
                Err(RecvError::Closed) => stop.cancelled().await,
            },
            _ = ticks.tick() => {
                screen.set_status(line(&view.status().await, unix_now()));
            }
        }
    }
    screen.set_status("Stopping…".to_owned());
}

fn loud(notice: &Notice) -> String {
    let Notice::Reorg {
        fork_height,
        old_tip,
        new_tip,
        disconnected,
        connected,
    } = notice;
    let what = format!(
        " REORG  {disconnected} out, {connected} in after height {fork_height}: {} is replaced by {} ",
        tail(&old_tip.to_string()),
        tail(&new_tip.to_string()),
    );
    what.black().on_yellow().bold().to_string()
}

/// The end of a hash: its beginning is zeros.
fn tail(hash: &str) -> &str {
    &hash[hash.len().saturating_sub(12)..]
}

fn line(status: &NodeStatus, now: u64) -> String {
    // The first block's time says when the network was made, not how the node is doing.
    let tip = match status.tip.height {
        0 => "no block yet".to_owned(),
        _ => {
            let age = now.saturating_sub(u64::from(status.tip.header.time));
            format!("tip {} old", text::duration(age))
        }
    };
    let plural = |count: usize, one: &str, many: &str| {
        format!("{count} {}", if count == 1 { one } else { many })
    };
    let mut parts = vec![
        format!("height {}", status.tip.height),
        tip,
        plural(status.network.peers, "peer", "peers"),
        plural(status.mempool, "transaction waits", "transactions wait"),
    ];
    parts.extend(mining(status));
    parts.extend(status.stratum.as_ref().map(external_miners));
    parts.join(" | ")
}

fn external_miners(stratum: &StratumInfo) -> String {
    format!(
        "{} external: {}, {} found",
        stratum.active_workers,
        text::hash_rate(stratum.hash_rate),
        stratum.blocks_found
    )
}

fn mining(status: &NodeStatus) -> Option<String> {
    let miner = &status.miner;
    miner.payout?;
    let mut line = text::hash_rate(miner.hash_rate);
    if let Some(time) = miner.expected_time {
        line += &format!(", a block in about {}", text::duration(time.as_secs()));
    }
    line += &format!(", {} found", miner.blocks_found);
    if miner.stale_blocks > 0 {
        line += &format!(" ({} stale)", miner.stale_blocks);
    }
    Some(line)
}
