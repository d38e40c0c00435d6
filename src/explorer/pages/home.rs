//! `/`: the tip, the forks, the latest blocks, what waits.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Html;
use maud::{Markup, html};

use super::error::PageError;
use super::fork_tree::ForkTree;
use super::layout::{self, Page, block_link, tx_link};
use crate::chain::{HeaderInfo, Tip};
use crate::explorer::format::{age, hash_rate, utc};
use crate::explorer::health::why_not_ready;
use crate::explorer::server::Site;
use crate::mempool::MempoolInfo;
use crate::primitives::Txid;

/// Blocks in the list.
const RECENT: u32 = 15;
/// Waiting transactions in the list.
const WAITING: usize = 10;

pub(in crate::explorer) async fn home(
    State(site): State<Arc<Site>>,
) -> Result<Html<String>, PageError> {
    let body = site
        .blocking(|site| {
            let mempool = site.context.mempool.info_blocking();
            let waiting = site.context.mempool.first_ids_blocking(WAITING);
            let tree = ForkTree::of(site.reader());
            Ok(html! {
                (status(site, &site.reader().tip(), mempool.as_ref()))
                h2 { "Forks" }
                div.scroll { (tree.draw()) }
                (recent(site))
                (mempool_list(&waiting))
            })
        })
        .await?;
    let page = Page {
        title: "Overview",
        is_live: true,
    };
    Ok(layout::page(&page, &body))
}

fn status(site: &Site, tip: &Tip, mempool: Option<&MempoolInfo>) -> Markup {
    let spec = site.reader().spec();
    let difficulty = tip
        .header
        .bits
        .to_target()
        .map_or(0.0, |target| target.difficulty());
    html! {
        h1 { "Network " (spec.name) }
        dl {
            dt { "Chain id" } dd { (spec.chain_id()) }
            dt { "Height" } dd { (tip.height) }
            dt { "Tip" } dd { (block_link(&tip.hash)) }
            dt { "Tip time" } dd { (utc(tip.header.time)) " (" (age(tip.header.time)) ")" }
            dt { "Difficulty" } dd { (format!("{difficulty:.6}")) }
            @if let Some(mempool) = mempool {
                dt { "Mempool" } dd { (mempool.count) " transactions, " (mempool.bytes) " bytes" }
            }
            @if let Some(network) = site.network() {
                dt { "Peers" } dd { (network.peers) " (" (network.inbound) " inbound)" }
            }
            @if let Some(miner) = &site.context.miner {
                @let miner = miner.status();
                dt { "Miner" }
                dd {
                    @if miner.running { (hash_rate(miner.hash_rate)) " on " (miner.threads) " threads" } @else { "idle" }
                    ", " (miner.blocks_found) " blocks found"
                }
            }
            @if let Some(stratum) = &site.context.stratum {
                @let stratum = stratum.info();
                dt { "External miners" }
                dd {
                    (stratum.active_workers) " (" (hash_rate(stratum.hash_rate)) "), "
                    (stratum.accepted) " shares, " (stratum.blocks_found) " blocks found"
                }
            }
            @if let Some(reason) = why_not_ready(site) {
                dt { "Not ready" } dd.bad { (reason) }
            }
        }
    }
}

fn recent(site: &Site) -> Markup {
    let reader = site.reader();
    let height = reader.tip().height;
    let blocks: Vec<HeaderInfo> = (height.saturating_sub(RECENT - 1)..=height)
        .rev()
        .filter_map(|height| reader.header_info(&reader.hash_at(height)?))
        .collect();
    html! {
        h2 { "Latest blocks" }
        table {
            tr { th { "Height" } th { "Hash" } th.number { "Transactions" } th.number { "Age" } }
            @for block in &blocks {
                tr {
                    td { (block.height) }
                    td { (block_link(&block.hash)) }
                    td.number { (block.tx_count.unwrap_or(0)) }
                    td.number { (age(block.header.time)) }
                }
            }
        }
    }
}

fn mempool_list(waiting: &[Txid]) -> Markup {
    html! {
        h2 { "Next to be mined" }
        @if waiting.is_empty() {
            p.soft { "No transactions wait." }
        }
        table {
            @for txid in waiting {
                tr { td { (tx_link(txid)) } }
            }
        }
    }
}
