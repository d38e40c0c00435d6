//! Higher fees for payments that wait: by a replacement, or by a child that pays for its parent.

use serde_json::{Map, Value, json};

use super::fees;
use super::options::check_keys;
use super::psbt::fill;
use super::send::recipients;
use crate::primitives::{Amount, PubkeyHash, Txid};
use crate::rpc::amount::amount;
use crate::rpc::error::{RpcError, code};
use crate::rpc::method::{Answer, Call, Kind, Method, Param, optional, required};
use crate::rpc::payments::{self, Note, Order};
use crate::rpc::wallet_service::OpenWallet;
use crate::wallet::{FeeRate, Payee, PreparedPayment, Psbt, WalletCoin, WalletTx};

/// What a replacement must pay more for each 1000 bytes than what it replaces, at least (the mempool's price of relaying).
const INCREMENT: u64 = 1_000;
/// What it pays more where no rate is asked for (Bitcoin Core, `WALLET_INCREMENTAL_RELAY_FEE`).
const WALLET_INCREMENT: u64 = 5_000;

const TXID: Param = required("txid", Kind::Text, "A payment of the wallet that waits");
const OPTIONS: Param = optional(
    "options",
    Kind::Object,
    "fee_rate (base units a byte) or conf_target, outputs (to pay others instead), original_change_index",
);

pub(super) const BUMPFEE: Method = Method {
    name: "bumpfee",
    params: &[TXID, OPTIONS],
    about: "Replaces a payment that waits by one that pays a higher fee: from its change, and from further coins if that does not suffice.",
    result: "{\"txid\": \"hex\", \"origfee\": n, \"fee\": n, \"errors\": [...]} (object)",
    run: bumpfee,
};

pub(super) const PSBTBUMPFEE: Method = Method {
    name: "psbtbumpfee",
    params: &[TXID, OPTIONS],
    about: "Prepares the replacement that bumpfee would send, for another signer.",
    result: "{\"psbt\": \"str\", \"origfee\": n, \"fee\": n, \"errors\": [...]} (object)",
    run: psbtbumpfee,
};

pub(super) const BUMPFEEBYCHILD: Method = Method {
    name: "bumpfeebychild",
    params: &[
        required(
            "txid",
            Kind::Text,
            "A waiting transaction with an unspent output to the wallet, sent or received",
        ),
        required(
            "fee_rate",
            Kind::Amount,
            "Base units a byte that the two together shall pay",
        ),
    ],
    about: "Quarry: spends what a waiting transaction pays the wallet to the wallet itself, with a fee that makes both worth mining. For payments that somebody else sent, and those that a replacement would change.",
    result: "{\"txid\": \"hex\", \"fee\": n} (object)",
    run: bumpfeebychild,
};

fn bumpfee(call: &Call<'_>) -> Answer {
    let txid = call.args.required_txid("txid")?;
    call.wallet()?.with(call.context, |open| {
        payments::check_unlocked(open)?;
        let (old, prepared) = replacement(call, open, &txid)?;
        let note = Note {
            replaces: Some(txid),
            ..note_of(call, open, &txid)
        };
        let signed = payments::send(call.context, open, prepared, note)?;
        Ok(json!({
            "txid": signed.txid,
            "origfee": amount(old),
            "fee": amount(signed.fee),
            "errors": [],
        }))
    })
}

fn psbtbumpfee(call: &Call<'_>) -> Answer {
    let txid = call.args.required_txid("txid")?;
    call.wallet()?.with(call.context, |open| {
        let (old, prepared) = replacement(call, open, &txid)?;
        let mut psbt = Psbt::of(&prepared.tx)?;
        fill(call, open, &mut psbt, true)?;
        Ok(json!({
            "psbt": psbt.to_text(),
            "origfee": amount(old),
            "fee": amount(prepared.fee),
            "errors": [],
        }))
    })
}

/// What was noted with the payment that is replaced.
fn note_of(call: &Call<'_>, open: &OpenWallet<'_>, txid: &Txid) -> Note {
    let sent = open.wallet.outgoing(&call.context.spec().chain_id());
    let found = sent.into_iter().find(|sent| sent.txid == *txid);
    found.map_or_else(Note::default, |sent| Note {
        comment: sent.comment,
        to: sent.to,
        replaces: None,
    })
}

/// The fee of a waiting payment, and the same payment with a higher one.
fn replacement(
    call: &Call<'_>,
    open: &mut OpenWallet<'_>,
    txid: &Txid,
) -> Result<(Amount, PreparedPayment), RpcError> {
    let wallet_error = |message: &str| RpcError::new(code::WALLET_ERROR, message);
    let tx = open.book.transaction(txid).cloned();
    let tx = tx.ok_or_else(|| RpcError::not_found("Invalid or non-wallet transaction id"))?;
    if !payments::is_waiting(open, txid) {
        return Err(wallet_error(
            "Transaction has been mined, or is conflicted with a mined transaction, or does not wait in the mempool",
        ));
    }
    let Some(old_fee) = tx.fee else {
        return Err(wallet_error(
            "Transaction contains inputs that don't belong to this wallet",
        ));
    };
    let entry = call.context.mempool.entry_blocking(*txid);
    let entry = entry.ok_or_else(|| wallet_error("Transaction does not wait in the mempool"))?;
    if entry.descendants.count > 1 {
        return Err(RpcError::invalid_parameter(
            "Transaction has descendants in the mempool",
        ));
    }
    let empty = Map::new();
    let options = call.args.object("options").unwrap_or(&empty);
    check_keys(
        options,
        &[
            "fee_rate",
            "conf_target",
            "estimate_mode",
            "replaceable",
            "outputs",
            "original_change_index",
        ],
    )?;
    let old_rate = old_fee
        .units()
        .saturating_mul(1000)
        .div_ceil(entry.size.max(1));
    let least = FeeRate::per_kilobyte(old_rate.saturating_add(INCREMENT));
    let is_asked = ["fee_rate", "conf_target"]
        .iter()
        .any(|name| options.contains_key(*name));
    let rate = match is_asked {
        true => fees::of_options(call, options)?,
        false => FeeRate::per_kilobyte(old_rate.saturating_add(WALLET_INCREMENT)),
    };
    if rate < least {
        return Err(RpcError::invalid_parameter(format!(
            "Insufficient total fee: the rate must be at least {} units for 1000 bytes (the old one and {INCREMENT})",
            least.units_per_kilobyte()
        )));
    }
    let order = order_again(call, open, &tx, options, rate)?;
    Ok((old_fee, payments::prepare(call.context, open, order)?))
}

fn order_again(
    call: &Call<'_>,
    open: &OpenWallet<'_>,
    tx: &WalletTx,
    options: &Map<String, Value>,
    rate: FeeRate,
) -> Result<Order, RpcError> {
    let is_change = |payee: &&Payee| {
        let owned = open.wallet.address(&payee.hash);
        owned.is_some_and(|owned| owned.is_change()) && open.wallet.label(&payee.hash).is_none()
    };
    let change =
        match options
            .get("original_change_index")
            .filter(|at| !at.is_null())
        {
            None => tx.credits.iter().find(is_change),
            Some(at) => {
                let found = tx
                    .credits
                    .iter()
                    .find(|one| at.as_u64() == Some(one.vout.into()));
                Some(found.ok_or_else(|| {
                    RpcError::invalid_parameter("Change position is out of range")
                })?)
            }
        };
    let all = tx.payees.iter().chain(&tx.credits);
    let mut others: Vec<&Payee> = all
        .filter(|payee| Some(payee.vout) != change.map(|change| change.vout))
        .collect();
    others.sort_by_key(|payee| payee.vout);
    let same = others
        .iter()
        .map(|payee| (payee.hash, payee.value))
        .collect();
    let mut fee_payers = Vec::new();
    let to = match options.get("outputs").filter(|outputs| !outputs.is_null()) {
        Some(outputs) => recipients(call, outputs)?,
        // All went back to the wallet: there is nobody else who could pay.
        None if others.is_empty() => {
            fee_payers.push(0);
            change
                .map(|change| (change.hash, change.value))
                .into_iter()
                .collect()
        }
        None => same,
    };
    let position = change.and_then(|change| usize::try_from(change.vout).ok());
    Ok(Order {
        fixed: tx
            .debits
            .iter()
            .map(|(outpoint, coin)| WalletCoin {
                outpoint: *outpoint,
                coin: *coin,
                confirmations: 0,
            })
            .collect(),
        change: change.map(|change| change.hash),
        change_position: position.filter(|at| *at <= to.len()),
        // New unconfirmed coins could keep the replacement from being mined (BIP125, rule 2).
        min_confirmations: 1,
        fee_payers,
        ..Order::new(to, rate)
    })
}

fn bumpfeebychild(call: &Call<'_>) -> Answer {
    let txid = call.args.required_txid("txid")?;
    let asked = call.args.any("fee_rate").unwrap_or(&Value::Null);
    let rate = fees::per_byte(asked)?;
    call.wallet()?.with(call.context, |open| {
        payments::check_unlocked(open)?;
        let waiting = payments::is_waiting(open, &txid);
        let entry = call
            .context
            .mempool
            .entry_blocking(txid)
            .filter(|_| waiting);
        let entry = entry.ok_or_else(|| {
            RpcError::not_found("no transaction of the wallet of this id waits in the mempool")
        })?;
        let coins: Vec<WalletCoin> = open
            .book
            .unspent()
            .filter(|coin| coin.outpoint.txid == txid)
            .map(|coin| payments::wallet_coin(&coin))
            .collect();
        if coins.is_empty() {
            let message = "the transaction has no unspent output to the wallet";
            return Err(RpcError::new(code::WALLET_ERROR, message));
        }
        // What all that is unconfirmed must pay, less what it pays.
        let paid = u64::try_from(entry.ancestors.fee).unwrap_or(u64::MAX);
        let whole = rate.fee(entry.ancestors.size)?.units();
        let missing = Amount::from_units(whole.saturating_sub(paid)).unwrap_or(Amount::MAX);
        let hash: PubkeyHash = open
            .wallet
            .new_change_address(call.context.spec().coin_type)?;
        let own = crate::wallet::prepare_all(&coins, &[(hash, None)], rate, 0)?;
        let order = Order {
            fee_payers: vec![0],
            fixed: own.coins.clone(),
            add_inputs: false,
            least_fee: own.fee.checked_add(missing).unwrap_or(Amount::MAX),
            ..Order::new(vec![(hash, sum(&own.coins)?)], rate)
        };
        let prepared = payments::prepare(call.context, open, order)?;
        let signed = payments::send(call.context, open, prepared, Note::default())?;
        Ok(json!({ "txid": signed.txid, "fee": amount(signed.fee) }))
    })
}

fn sum(coins: &[WalletCoin]) -> Result<Amount, RpcError> {
    let sum = Amount::checked_sum(coins.iter().map(|coin| coin.coin.value));
    sum.ok_or_else(|| RpcError::new(code::DATABASE_ERROR, "the coins exceed what can exist"))
}
