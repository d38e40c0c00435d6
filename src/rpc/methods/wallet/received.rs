//! What the wallet's addresses were paid in all, spent or not.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::addresses::labelled;
use super::coins::MIN_CONFIRMATIONS;
use crate::primitives::{Amount, PubkeyHash, Txid};
use crate::rpc::amount::amount;
use crate::rpc::error::{RpcError, code};
use crate::rpc::method::{Answer, Call, Kind, Method, Param, optional, required};
use crate::rpc::wallet_service::OpenWallet;
use crate::wallet::{Place, WalletTx};

const IMMATURE: Param = optional(
    "include_immature_coinbase",
    Kind::Boolean,
    "Also mined coins that are not old enough (default false)",
);

pub(super) const GETRECEIVEDBYADDRESS: Method = Method {
    name: "getreceivedbyaddress",
    params: &[
        required("address", Kind::Text, "An address of the wallet"),
        MIN_CONFIRMATIONS,
        IMMATURE,
    ],
    about: "What an address was paid in all, spent or not.",
    result: "n (numeric) the amount in coins",
    run: getreceivedbyaddress,
};

pub(super) const GETRECEIVEDBYLABEL: Method = Method {
    name: "getreceivedbylabel",
    params: &[
        required("label", Kind::Text, "The label"),
        MIN_CONFIRMATIONS,
        IMMATURE,
    ],
    about: "What the addresses with a label were paid in all, spent or not.",
    result: "n (numeric) the amount in coins",
    run: getreceivedbylabel,
};

pub(super) const LISTRECEIVEDBYADDRESS: Method = Method {
    name: "listreceivedbyaddress",
    params: &[
        MIN_CONFIRMATIONS,
        optional(
            "include_empty",
            Kind::Boolean,
            "Also addresses that were paid nothing (default false)",
        ),
        optional("include_watchonly", Kind::Ignored, "Not used"),
        optional("address_filter", Kind::Text, "Only this address"),
        IMMATURE,
    ],
    about: "What each address was paid in all, spent or not.",
    result: "[{\"address\": \"str\", \"amount\": n, \"confirmations\": n, \"label\": \"str\", \"txids\": [\"hex\", ...]}, ...] (array)",
    run: listreceivedbyaddress,
};

pub(super) const LISTRECEIVEDBYLABEL: Method = Method {
    name: "listreceivedbylabel",
    params: &[
        MIN_CONFIRMATIONS,
        optional(
            "include_empty",
            Kind::Boolean,
            "Also labels whose addresses were paid nothing (default false)",
        ),
        optional("include_watchonly", Kind::Ignored, "Not used"),
        IMMATURE,
    ],
    about: "What the addresses of each label were paid in all, spent or not.",
    result: "[{\"amount\": n, \"confirmations\": n, \"label\": \"str\"}, ...] (array)",
    run: listreceivedbylabel,
};

/// What one address was paid in all.
#[derive(Default)]
struct Received {
    units: u64,
    /// Of the newest payment.
    confirmations: i64,
    txids: BTreeSet<Txid>,
}

/// What addresses were paid, by payments that count.
fn received(
    call: &Call<'_>,
    open: &OpenWallet<'_>,
) -> Result<BTreeMap<PubkeyHash, Received>, RpcError> {
    let least: i64 = call.args.integer("minconf")?.unwrap_or(1);
    let immature = call.args.boolean("include_immature_coinbase");
    let immature = immature.unwrap_or(false);
    let mut all: BTreeMap<PubkeyHash, Received> = BTreeMap::new();
    let counts = |tx: &&WalletTx| match tx.place {
        Place::Block { height, .. } => {
            immature || !tx.is_coinbase || !open.book.is_too_young(height)
        }
        Place::Mempool => true,
        Place::Sent | Place::Abandoned | Place::Conflicted { .. } => false,
    };
    for tx in open.book.history().filter(counts) {
        let confirmations = open.book.confirmations(tx);
        if confirmations < least {
            continue;
        }
        for credit in &tx.credits {
            let sum = all.entry(credit.hash).or_default();
            sum.confirmations = match sum.txids.is_empty() {
                true => confirmations,
                false => sum.confirmations.min(confirmations),
            };
            sum.units += credit.value.units();
            sum.txids.insert(tx.txid);
        }
    }
    Ok(all)
}

/// Received amounts count what was spent since, so that they can add up to more than exists at once.
fn units(units: u64) -> Value {
    amount(Amount::from_units(units).unwrap_or(Amount::MAX))
}

fn getreceivedbyaddress(call: &Call<'_>) -> Answer {
    let version = call.context.spec().address_version;
    let hash = call.args.required_address("address", version)?;
    call.wallet()?.with(call.context, |open| {
        if !open.wallet.owns(&hash) {
            return Err(RpcError::new(
                code::WALLET_ERROR,
                "Address not found in wallet",
            ));
        }
        let all = received(call, open)?;
        Ok(units(all.get(&hash).map_or(0, |sum| sum.units)))
    })
}

fn getreceivedbylabel(call: &Call<'_>) -> Answer {
    let wanted = call.args.required_text("label")?;
    let coin_type = call.context.spec().coin_type;
    call.wallet()?.with(call.context, |open| {
        let labelled = labelled(open.wallet, coin_type);
        let mut with_label = labelled.iter().filter(|(_, (label, _))| label == wanted);
        let all = received(call, open)?;
        let sums = with_label.clone().filter_map(|(hash, _)| all.get(hash));
        let sum = sums.map(|sum| sum.units).sum();
        match with_label.next() {
            Some(_) => Ok(units(sum)),
            None => Err(RpcError::new(
                code::WALLET_ERROR,
                "Label not found in wallet",
            )),
        }
    })
}

fn listreceivedbyaddress(call: &Call<'_>) -> Answer {
    let with_empty = call.args.boolean("include_empty").unwrap_or(false);
    let spec = call.context.spec();
    let filter = match call.args.text("address_filter") {
        Some(_) => Some(
            call.args
                .required_address("address_filter", spec.address_version)?,
        ),
        None => None,
    };
    call.wallet()?.with(call.context, |open| {
        let all = received(call, open)?;
        let labelled = labelled(open.wallet, spec.coin_type);
        let own = labelled.iter().filter(|(_, (_, is_own))| *is_own);
        let nothing = Received::default();
        let shown = own
            .filter(|(hash, _)| filter.is_none_or(|wanted| wanted == **hash))
            .map(|(hash, (label, _))| (hash, label, all.get(hash)))
            .filter(|(_, _, sum)| sum.is_some() || with_empty)
            .map(|(hash, label, sum)| {
                let sum = sum.unwrap_or(&nothing);
                json!({
                    "address": call.context.address(*hash),
                    "amount": units(sum.units),
                    "confirmations": sum.confirmations,
                    "label": label,
                    "txids": sum.txids,
                })
            });
        Ok(shown.collect())
    })
}

fn listreceivedbylabel(call: &Call<'_>) -> Answer {
    let with_empty = call.args.boolean("include_empty").unwrap_or(false);
    let coin_type = call.context.spec().coin_type;
    call.wallet()?.with(call.context, |open| {
        let all = received(call, open)?;
        let mut by_label: BTreeMap<String, Option<(u64, i64)>> = BTreeMap::new();
        for (hash, (label, is_own)) in labelled(open.wallet, coin_type) {
            if !is_own {
                continue;
            }
            let sum = by_label.entry(label).or_default();
            if let Some(more) = all.get(&hash) {
                let (units, confirmations) = sum.unwrap_or((0, i64::MAX));
                *sum = Some((units + more.units, confirmations.min(more.confirmations)));
            }
        }
        let shown = by_label
            .into_iter()
            .filter(|(_, sum)| sum.is_some() || with_empty)
            .map(|(label, sum)| {
                let (sum, confirmations) = sum.unwrap_or((0, 0));
                json!({ "amount": units(sum), "confirmations": confirmations, "label": label })
            });
        Ok(shown.collect())
    })
}
