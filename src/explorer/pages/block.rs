//! `/block/{hash or height}`.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::response::Html;
use maud::{Markup, html};
use serde::Deserialize;

use super::error::{PageError, stored};
use super::layout::{self, Page, address_link, block_link, pager, shown, tx_link, value};
use crate::chain::{ChainReader, HeaderInfo};
use crate::explorer::format::{readable, utc};
use crate::explorer::server::Site;
use crate::primitives::{Block, Encode, Transaction};

/// Transactions on one page.
const BY_PAGE: usize = 50;

/// `?page=N`.
#[derive(Debug, Deserialize)]
pub(in crate::explorer) struct Paging {
    #[serde(default)]
    pub(super) page: Option<usize>,
}

impl Paging {
    /// How many items stand on the pages before the one asked for.
    pub(super) fn before(&self, by_page: usize) -> usize {
        let pages = self.page.unwrap_or(1).saturating_sub(1);
        pages.saturating_mul(by_page)
    }

    /// The page asked for among as many as `items` need, and how many those are.
    pub(super) fn of(&self, items: usize, by_page: usize) -> Result<(usize, usize), PageError> {
        let pages = items.div_ceil(by_page).max(1);
        match self.page.unwrap_or(1) {
            page if (1..=pages).contains(&page) => Ok((page, pages)),
            page => Err(PageError::not_found(format!(
                "There is no page {page}; the last one is {pages}."
            ))),
        }
    }
}

pub(in crate::explorer) async fn block(
    State(site): State<Arc<Site>>,
    Path(id): Path<String>,
    Query(paging): Query<Paging>,
) -> Result<Html<String>, PageError> {
    site.blocking(move |site| {
        let reader = site.reader();
        let info = find(reader, &id)?;
        let block = stored(reader.block(&info.hash))?;
        let body = html! {
            h1 { "Block " (info.height) }
            (facts(reader, &info, block.as_ref()))
            @match &block {
                Some(block) => (transactions(&info, block, &paging, reader.spec().address_version)?),
                None => p.soft { "Its transactions have not been received yet." },
            }
        };
        let title = format!("Block {}", info.height);
        Ok(layout::page(&Page { title: &title, is_live: false }, &body))
    })
    .await
}

fn find(reader: &ChainReader, id: &str) -> Result<HeaderInfo, PageError> {
    // No hash is as short as a height, and no height as long as a hash.
    if let Ok(height) = id.parse::<u32>() {
        let found = reader
            .hash_at(height)
            .and_then(|hash| reader.header_info(&hash));
        return found.ok_or_else(|| {
            PageError::not_found(format!(
                "There is no block at height {height}; the tip is at {}.",
                reader.tip().height
            ))
        });
    }
    let hash = id.parse().map_err(|_| {
        PageError::bad_request(format!(
            "'{}' is neither a height nor a block hash of 64 hexadecimal digits.",
            shown(id)
        ))
    })?;
    reader
        .header_info(&hash)
        .ok_or_else(|| PageError::not_found(format!("Block {hash} is not known here.")))
}

fn facts(reader: &ChainReader, info: &HeaderInfo, block: Option<&Block>) -> Markup {
    let HeaderInfo { header, height, .. } = info;
    let next = height
        .checked_add(1)
        .filter(|_| info.in_active_chain)
        .and_then(|next| reader.hash_at(next));
    let place = match (info.in_active_chain, info.is_invalid) {
        (true, _) => "in the active chain",
        (false, false) => "on a side branch",
        (false, true) => "invalid",
    };
    let coinbase = block.and_then(|block| block.transactions.first()?.inputs.first());
    html! {
        dl {
            dt { "Hash" } dd { (info.hash) }
            dt { "State" } dd class=[info.is_invalid.then_some("bad")] { (place) }
            @if info.in_active_chain {
                dt { "Confirmations" } dd { (reader.tip().height.saturating_sub(*height).saturating_add(1)) }
            }
            dt { "Time" } dd { (utc(header.time)) }
            @if *height > 0 {
                dt { "Previous" } dd { (block_link(&header.prev_block)) }
            }
            @if let Some(next) = next {
                dt { "Next" } dd { (block_link(&next)) }
            }
            dt { "Merkle root" } dd { (header.merkle_root) }
            dt { "Target" } dd { (header.bits) }
            dt { "Nonce" } dd { (header.nonce) }
            dt { "Version" } dd { (format!("{:#010x}", header.version)) }
            dt { "Chain work" } dd { (info.chainwork) }
            @if let Some(block) = block {
                dt { "Size" } dd { (block.encoded_len()) " bytes, " (block.transactions.len()) " transactions" }
            }
            @if let Some(coinbase) = coinbase {
                dt { "Coinbase" } dd { (readable(coinbase.script_sig.as_bytes())) }
            }
        }
    }
}

fn transactions(
    info: &HeaderInfo,
    block: &Block,
    paging: &Paging,
    version: u8,
) -> Result<Markup, PageError> {
    let (page, pages) = paging.of(block.transactions.len(), BY_PAGE)?;
    let listed: Vec<&Transaction> = block
        .transactions
        .iter()
        .skip((page - 1) * BY_PAGE)
        .take(BY_PAGE)
        .collect();
    Ok(html! {
        h2 { "Transactions" }
        table {
            tr { th { "Id" } th { "Pays" } }
            @for tx in listed {
                tr {
                    td { (tx_link(&tx.txid())) }
                    td { (first_outputs(tx, version)) }
                }
            }
        }
        (pager(&format!("/block/{}", info.hash), page, pages))
    })
}

/// The first outputs of a transaction; its own page has all.
fn first_outputs(tx: &Transaction, version: u8) -> Markup {
    const SHOWN: usize = 3;
    html! {
        @for output in tx.outputs.iter().take(SHOWN) {
            (value(output.value))
            @if let Some(hash) = output.script_pubkey.as_p2pkh() {
                " to " (address_link(hash, version))
            }
            br;
        }
        @if tx.outputs.len() > SHOWN {
            span.soft { "and " (tx.outputs.len() - SHOWN) " more" }
        }
    }
}
