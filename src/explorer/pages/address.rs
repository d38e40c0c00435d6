//! `/address/{address}`.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::response::Html;
use maud::{Markup, html};

use super::block::Paging;
use super::error::{PageError, stored};
use super::layout::{self, Page, pager, tx_link};
use crate::explorer::server::Site;
use crate::keys::Address;
use crate::mempool::AddressDelta;
use crate::primitives::{Amount, COIN, Coin, Txid};

/// Transactions on one page.
const BY_PAGE: usize = 50;
/// Waiting transactions that are listed.
const WAITING: usize = 20;

pub(in crate::explorer) async fn address(
    State(site): State<Arc<Site>>,
    Path(text): Path<String>,
    Query(paging): Query<Paging>,
) -> Result<Html<String>, PageError> {
    let address = Address::parse(&text, site.reader().spec().address_version)
        .map_err(|error| PageError::bad_request(format!("{error}.")))?;
    site.blocking(move |site| {
        let owner = address.pubkey_hash();
        let delta = site.context.mempool.address_delta_blocking(owner);
        let reader = site.reader();
        let coins = stored(reader.address_coins(&owner))?;
        let skipped = paging.before(BY_PAGE);
        let (listed, total) = stored(reader.latest_history(&owner, skipped, BY_PAGE))?;
        let (page, pages) = paging.of(total, BY_PAGE)?;
        let coins: Vec<Coin> = coins.into_iter().map(|(_, coin)| coin).collect();
        let body = html! {
            h1 { "Address" }
            (facts(&address, &coins, &delta))
            (waiting(&delta.txids))
            h2 { "Transactions" }
            @if total == 0 {
                p.soft { "None in the chain." }
            }
            table {
                @for (height, _, txid) in &listed {
                    tr {
                        td { a href={ "/block/" (height) } { (height) } }
                        td { (tx_link(txid)) }
                    }
                }
            }
            (pager(&format!("/address/{address}"), page, pages))
        };
        Ok(layout::page(
            &Page {
                title: "Address",
                is_live: false,
            },
            &body,
        ))
    })
    .await
}

fn facts(address: &Address, coins: &[Coin], delta: &AddressDelta) -> Markup {
    let balance = Amount::checked_sum(coins.iter().map(|coin| coin.value));
    html! {
        dl {
            dt { "Address" } dd { (address) }
            dt { "Key hash" } dd { (address.pubkey_hash()) }
            dt { "Balance" }
            dd { (balance.map_or_else(|| "more than can exist".to_owned(), |sum| sum.to_string())) " in " (coins.len()) " coins" }
            @if delta.received > 0 {
                dt { "On the way in" } dd { (coins_text(delta.received)) }
            }
            @if delta.spent > 0 {
                dt { "On the way out" } dd { (coins_text(delta.spent)) }
            }
        }
    }
}

fn waiting(txids: &[Txid]) -> Markup {
    html! {
        @if !txids.is_empty() {
            h2 { "Waiting" }
            table {
                @for txid in txids.iter().take(WAITING) {
                    tr { td { (tx_link(txid)) } }
                }
            }
        }
    }
}

/// Sums over a mempool may exceed what one amount can be: coins that move twice count twice.
fn coins_text(units: u128) -> String {
    let coin = u128::from(COIN);
    let text = format!("{}.{:08}", units / coin, units % coin);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
