//! What all pages share.

use axum::response::Html;
use maud::{DOCTYPE, Markup, html};

use crate::keys::Address;
use crate::primitives::{Amount, BlockHash, PubkeyHash, Txid, UncheckedAmount};

/// One page.
pub(super) struct Page<'a> {
    /// What the window says.
    pub(super) title: &'a str,
    /// Whether it follows the chain.
    pub(super) is_live: bool,
}

/// The whole document. Everything that is put into it is escaped by maud.
pub(super) fn page(page: &Page<'_>, body: &Markup) -> Html<String> {
    let document = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (page.title) " · Quarry" }
                link rel="stylesheet" href="/style.css";
                @if page.is_live {
                    script src="/live.js" defer {}
                }
            }
            body {
                header {
                    a.name href="/" { "Quarry" }
                    form action="/search" {
                        input type="search" name="q" placeholder="Height, block, transaction or address" aria-label="Search";
                    }
                }
                main { (body) }
            }
        }
    };
    Html(document.into_string())
}

/// Links to other pages of the same list: `path?page=N`, counted from 1.
pub(super) fn pager(path: &str, page: usize, pages: usize) -> Markup {
    html! {
        @if pages > 1 {
            nav.pages {
                @if page > 1 {
                    a href={ (path) "?page=" (page - 1) } { "← newer" }
                }
                span.soft { "page " (page) " of " (pages) }
                @if page < pages {
                    a href={ (path) "?page=" (page + 1) } { "older →" }
                }
            }
        }
    }
}

pub(super) fn block_link(hash: &BlockHash) -> Markup {
    html! { a href={ "/block/" (hash) } { (hash) } }
}

pub(super) fn tx_link(txid: &Txid) -> Markup {
    html! { a href={ "/tx/" (txid) } { (txid) } }
}

pub(super) fn address_link(hash: PubkeyHash, version: u8) -> Markup {
    let address = Address::new(hash, version).to_string();
    html! { a href={ "/address/" (address) } { (address) } }
}

/// An output's value. Blocks that were never connected may hold values that are none.
pub(super) fn value(value: UncheckedAmount) -> String {
    value.check().map_or_else(
        |_| format!("{} base units", value.0),
        |amount: Amount| amount.to_string(),
    )
}

/// What a visitor typed, short enough to be shown.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}
