//! `/search?q=`: leads to the page of a height, hash or address.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::response::Redirect;
use serde::Deserialize;

use super::error::PageError;
use super::layout::shown;
use crate::explorer::server::Site;
use crate::keys::Address;
use crate::primitives::{BlockHash, Txid};

/// `?q=TEXT`.
#[derive(Debug, Deserialize)]
pub(in crate::explorer) struct Search {
    #[serde(default)]
    q: String,
}

/// Redirects go to values that were read and written again, never to the text itself.
pub(in crate::explorer) async fn search(
    State(site): State<Arc<Site>>,
    Query(Search { q }): Query<Search>,
) -> Result<Redirect, PageError> {
    let text = q.trim();
    if let Ok(height) = text.parse::<u32>() {
        return Ok(Redirect::to(&format!("/block/{height}")));
    }
    if let Ok(hash) = text.parse::<BlockHash>() {
        let is_block = site.reader().header_info(&hash).is_some();
        let txid = Txid::from_bytes(hash.to_bytes());
        return Ok(Redirect::to(&if is_block {
            format!("/block/{hash}")
        } else {
            format!("/tx/{txid}")
        }));
    }
    match Address::parse(text, site.reader().spec().address_version) {
        Ok(address) => Ok(Redirect::to(&format!("/address/{address}"))),
        Err(_) => Err(PageError::bad_request(format!(
            "'{}' is no height, block hash, transaction id or address of this network.",
            shown(text)
        ))),
    }
}
