//! `/tx/{txid}`.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Html;
use maud::{Markup, html};

use super::error::{PageError, stored};
use super::layout::{self, Page, address_link, block_link, shown, tx_link, value};
use crate::chain::{ChainReader, TxLocation};
use crate::explorer::format::readable;
use crate::explorer::server::Site;
use crate::primitives::{Amount, BlockHash, Coin, Encode, Transaction, Txid};

/// Inputs and outputs that are listed; a transaction of the largest size has thousands.
const LISTED: usize = 200;

/// A transaction and what is known of it.
struct Found {
    tx: Transaction,
    /// Its block and height; `None` while it waits.
    place: Option<(BlockHash, u32)>,
    /// The coins that it spends, where they are known.
    spent: Vec<Option<Coin>>,
}

pub(in crate::explorer) async fn transaction(
    State(site): State<Arc<Site>>,
    Path(txid): Path<String>,
) -> Result<Html<String>, PageError> {
    let txid: Txid = txid.parse().map_err(|_| {
        PageError::bad_request(format!(
            "'{}' is no transaction id: expected 64 hexadecimal digits.",
            shown(&txid)
        ))
    })?;
    site.blocking(move |site| {
        let waiting = site.context.mempool.get_blocking(txid);
        let reader = site.reader();
        let found = match waiting {
            Some(tx) => {
                let outpoints: Vec<_> = tx
                    .inputs
                    .iter()
                    .map(|input| input.previous_output)
                    .collect();
                let spent = stored(reader.coins(&outpoints))?;
                Found {
                    tx: (*tx).clone(),
                    place: None,
                    spent,
                }
            }
            None => mined(reader, &txid)?,
        };
        let body = describe(reader, &txid, &found);
        Ok(layout::page(
            &Page {
                title: "Transaction",
                is_live: false,
            },
            &body,
        ))
    })
    .await
}

fn mined(reader: &ChainReader, txid: &Txid) -> Result<Found, PageError> {
    let location = stored(reader.transaction(txid))?;
    let TxLocation {
        tx,
        block,
        height,
        index,
    } = location
        .ok_or_else(|| PageError::not_found(format!("Transaction {txid} is not known here.")))?;
    let index = usize::try_from(index).unwrap_or(usize::MAX);
    let mut spent = vec![None; tx.inputs.len()];
    if let (false, Some(undo), Some(body)) = (
        tx.is_coinbase(),
        stored(reader.undo(&block))?,
        stored(reader.block(&block))?,
    ) {
        // Undo data has the coins of all transactions but the coinbase, in block order.
        let before: usize = body
            .transactions
            .iter()
            .take(index)
            .skip(1)
            .map(|tx| tx.inputs.len())
            .sum();
        for (place, coin) in spent.iter_mut().zip(undo.spent.iter().skip(before)) {
            *place = Some(*coin);
        }
    }
    Ok(Found {
        tx,
        place: Some((block, height)),
        spent,
    })
}

fn describe(reader: &ChainReader, txid: &Txid, found: &Found) -> Markup {
    let tx = &found.tx;
    let tip = reader.tip().height;
    html! {
        h1 { "Transaction" }
        dl {
            dt { "Id" } dd { (txid) }
            @match &found.place {
                Some((block, height)) => {
                    dt { "Block" } dd { (block_link(block)) }
                    dt { "Height" } dd { (height) " (" (tip.saturating_sub(*height).saturating_add(1)) " confirmations)" }
                },
                None => { dt { "State" } dd { "waits in the mempool" } },
            }
            @if let Some(fee) = fee(found) {
                dt { "Fee" } dd { (fee) }
            }
            dt { "Size" } dd { (tx.encoded_len()) " bytes" }
            dt { "Version" } dd { (tx.version) }
            dt { "Lock time" } dd { (tx.lock_time) }
        }
        (inputs(found, reader.spec().address_version))
        (outputs(tx, reader.spec().address_version))
    }
}

fn inputs(found: &Found, version: u8) -> Markup {
    let tx = &found.tx;
    html! {
        h2 { "Inputs" }
        table {
            tr { th { "Spends" } th { "From" } th.number { "Value" } }
            @for (input, coin) in tx.inputs.iter().zip(&found.spent).take(LISTED) {
                tr {
                    @if tx.is_coinbase() {
                        td { "new coins: " (readable(input.script_sig.as_bytes())) } td {} td {}
                    } @else {
                        td { (tx_link(&input.previous_output.txid)) ":" (input.previous_output.vout) }
                        @match coin {
                            Some(coin) => {
                                td { (address_link(coin.pubkey_hash, version)) }
                                td.number { (coin.value) }
                            },
                            None => { td.soft { "not known" } td {} },
                        }
                    }
                }
            }
        }
        (rest(tx.inputs.len()))
    }
}

fn outputs(tx: &Transaction, version: u8) -> Markup {
    html! {
        h2 { "Outputs" }
        table {
            tr { th { "Number" } th { "To" } th.number { "Value" } }
            @for (index, output) in tx.outputs.iter().enumerate().take(LISTED) {
                tr {
                    td { (index) }
                    td {
                        @match output.script_pubkey.as_p2pkh() {
                            Some(hash) => (address_link(hash, version)),
                            None => span.soft { "a script that nobody can use here" },
                        }
                    }
                    td.number { (value(output.value)) }
                }
            }
        }
        (rest(tx.outputs.len()))
    }
}

fn rest(count: usize) -> Markup {
    html! {
        @if count > LISTED {
            p.soft { "and " (count - LISTED) " more" }
        }
    }
}

fn fee(found: &Found) -> Option<Amount> {
    if found.tx.is_coinbase() {
        return None;
    }
    let coins: Option<Vec<Amount>> = found
        .spent
        .iter()
        .map(|coin| coin.map(|coin| coin.value))
        .collect();
    let outputs: Option<Vec<Amount>> = found
        .tx
        .outputs
        .iter()
        .map(|output| output.value.check().ok())
        .collect();
    Amount::checked_sum(coins?)?.checked_sub(Amount::checked_sum(outputs?)?)
}
