//! The node's wallet.

use std::time::Duration;

use serde_json::{Value, json};

use crate::primitives::Amount;
use crate::rpc::amount::amount;
use crate::rpc::error::{RpcError, code};
use crate::rpc::method::{Answer, Call, Kind, Method, optional, required};
use crate::rpc::methods::stored;
use crate::rpc::payments::{self, Order};
use crate::wallet::{SignedPayment, WalletCoin};

/// The longest unlocking in seconds, about three years (Bitcoin Core, `MAX_SLEEP_TIME`).
const MAX_UNLOCK_SECONDS: u64 = 100_000_000;

pub(super) static METHODS: &[Method] = &[
    Method {
        name: "getaddressbalance",
        params: &[required(
            "address",
            Kind::Text,
            "Any address of this network",
        )],
        about: "Quarry: what an address has, whoever owns it. `balance` is what the chain holds for it; `pending` and \
                `being_spent` are what waiting transactions would add and take; `transactions` counts those in the chain \
                that paid it or spent its coins.",
        result: "{\"address\": \"str\", \"balance\": n, \"spendable\": n, \"immature\": n, \"pending\": n, \"being_spent\": n, \"transactions\": n} (object)",
        run: getaddressbalance,
    },
    Method {
        name: "getbalance",
        params: &[
            optional("dummy", Kind::Text, "Must be \"*\" or left out"),
            optional(
                "minconf",
                Kind::Integer,
                "Only coins with at least so many confirmations (default 0)",
            ),
            optional("include_watchonly", Kind::Ignored, "Not used"),
            optional("avoid_reuse", Kind::Ignored, "Not used"),
        ],
        about: "What the wallet can spend: mature coins and its own unconfirmed change.",
        result: "n (numeric) the amount in coins",
        run: getbalance,
    },
    Method {
        name: "getnewaddress",
        params: &[
            optional("label", Kind::Text, "Must be empty: labels are not kept"),
            optional(
                "address_type",
                Kind::Text,
                "Must be \"legacy\", the only type on this chain",
            ),
        ],
        about: "A new address of the wallet to be paid to.",
        result: "\"str\" (string) the address",
        run: getnewaddress,
    },
    Method {
        name: "listaddresses",
        params: &[optional(
            "include_change",
            Kind::Boolean,
            "Also those made for change (default false)",
        )],
        about: "Quarry: the addresses of the wallet on this network, in the order of their making.",
        result: "[\"str\", ...] (array)",
        run: listaddresses,
    },
    Method {
        name: "sendfrom",
        params: &[
            required(
                "from",
                Kind::Text,
                "The address whose coins are used; it also gets the change",
            ),
            required("to", Kind::Text, "The address to pay"),
            required("amount", Kind::Amount, "How much, in coins"),
            optional("fee_rate", Kind::Integer, "Base units per byte (default 0)"),
        ],
        about: "Quarry: pays from one address of the wallet.",
        result: "{\"txid\": \"hex\", \"fee\": n, \"change\": n} (object)",
        run: sendfrom,
    },
    Method {
        name: "sendtoaddress",
        params: &[
            required("address", Kind::Text, "The address to pay"),
            required("amount", Kind::Amount, "How much, in coins"),
            optional("comment", Kind::Text, "Not kept"),
            optional("comment_to", Kind::Text, "Not kept"),
            optional("subtractfeefromamount", Kind::Boolean, "Must be false"),
            optional("replaceable", Kind::Ignored, "Not used"),
            optional(
                "conf_target",
                Kind::Ignored,
                "Not used: fees are not estimated",
            ),
            optional(
                "estimate_mode",
                Kind::Ignored,
                "Not used: fees are not estimated",
            ),
            optional("avoid_reuse", Kind::Ignored, "Not used"),
            optional("fee_rate", Kind::Integer, "Base units per byte (default 0)"),
            optional(
                "verbose",
                Kind::Boolean,
                "true for an object with the fee (default false)",
            ),
        ],
        about: "Pays from the wallet. Change goes to a new address.",
        result: "\"hex\" (string) the transaction id, or {\"txid\": \"hex\", \"fee\": n, \"change\": n} (object)",
        run: sendtoaddress,
    },
    Method {
        name: "walletlock",
        params: &[],
        about: "Removes the keys from memory; walletpassphrase brings them back.",
        result: "null",
        run: walletlock,
    },
    Method {
        name: "walletpassphrase",
        params: &[
            required("passphrase", Kind::Text, "The passphrase of the wallet"),
            required(
                "timeout",
                Kind::Integer,
                "For how many seconds the wallet can pay",
            ),
        ],
        about: "Unlocks the wallet for a while.",
        result: "null",
        run: walletpassphrase,
    },
];

fn getaddressbalance(call: &Call<'_>) -> Answer {
    let address = call
        .args
        .required_address("address", call.context.spec().address_version)?;
    let (_, transactions) = stored(call.context.reader().latest_history(&address, 0, 0))?;
    let ledger = payments::ledger(call.context, &[address])?;
    let sums = ledger.balances();
    let confirmed = [sums.spendable, sums.immature, sums.being_spent];
    let overflow = || RpcError::new(code::DATABASE_ERROR, "the address has more than can exist");
    let balance = Amount::checked_sum(confirmed).ok_or_else(overflow)?;
    Ok(json!({
        "address": call.context.address(address),
        "balance": amount(balance),
        "spendable": amount(sums.spendable),
        "immature": amount(sums.immature),
        "pending": amount(sums.pending),
        "being_spent": amount(sums.being_spent),
        "transactions": transactions,
    }))
}

fn getbalance(call: &Call<'_>) -> Answer {
    if call.args.text("dummy").is_some_and(|dummy| dummy != "*") {
        return Err(RpcError::invalid_parameter(
            "dummy first argument must be excluded or set to \"*\".",
        ));
    }
    let minimum: u32 = call.args.integer("minconf")?.unwrap_or(0);
    let addresses = call
        .context
        .wallet
        .with(|wallet| Ok(payments::wallet_addresses(call.context, wallet)))?;
    let ledger = payments::ledger(call.context, &addresses)?;
    let coins: Vec<WalletCoin> = ledger.spendable_with_own_change();
    let counted = coins.iter().filter(|coin| coin.confirmations >= minimum);
    let sum = Amount::checked_sum(counted.map(|coin| coin.coin.value));
    let overflow = || RpcError::new(code::DATABASE_ERROR, "the wallet has more than can exist");
    Ok(amount(sum.ok_or_else(overflow)?))
}

fn getnewaddress(call: &Call<'_>) -> Answer {
    if call
        .args
        .text("label")
        .is_some_and(|label| !label.is_empty())
    {
        return Err(RpcError::invalid_parameter(
            "labels are not kept; leave the label empty",
        ));
    }
    if let Some(kind) = call
        .args
        .text("address_type")
        .filter(|kind| *kind != "legacy")
    {
        let kind: String = kind.chars().take(40).collect();
        return Err(RpcError::not_found(format!(
            "Unknown address type '{kind}'; this chain has \"legacy\" only"
        )));
    }
    let coin_type = call.context.spec().coin_type;
    let hash = call
        .context
        .wallet
        .with(|wallet| Ok(wallet.new_address(coin_type)?))?;
    Ok(json!(call.context.address(hash)))
}

fn listaddresses(call: &Call<'_>) -> Answer {
    let with_change = call.args.boolean("include_change").unwrap_or(false);
    let coin_type = call.context.spec().coin_type;
    let addresses = call
        .context
        .wallet
        .with(|wallet| Ok(wallet.addresses(coin_type)))?;
    let shown = addresses
        .iter()
        .filter(|address| with_change || !address.is_change());
    Ok(shown
        .map(|address| json!(call.context.address(address.hash)))
        .collect())
}

fn sendfrom(call: &Call<'_>) -> Answer {
    let version = call.context.spec().address_version;
    let signed = payments::pay(
        call.context,
        &Order {
            from: Some(call.args.required_address("from", version)?),
            to: call.args.required_address("to", version)?,
            amount: call.args.positive_amount("amount")?,
            fee_rate: call.args.integer("fee_rate")?.unwrap_or(0),
        },
    )?;
    Ok(describe(&signed))
}

fn sendtoaddress(call: &Call<'_>) -> Answer {
    if call.args.boolean("subtractfeefromamount").unwrap_or(false) {
        return Err(RpcError::invalid_parameter(
            "subtractfeefromamount is not supported; send less instead",
        ));
    }
    let signed = payments::pay(
        call.context,
        &Order {
            from: None,
            to: call
                .args
                .required_address("address", call.context.spec().address_version)?,
            amount: call.args.positive_amount("amount")?,
            fee_rate: call.args.integer("fee_rate")?.unwrap_or(0),
        },
    )?;
    if call.args.boolean("verbose").unwrap_or(false) {
        return Ok(describe(&signed));
    }
    Ok(json!(signed.txid))
}

fn describe(signed: &SignedPayment) -> Value {
    json!({
        "txid": signed.txid,
        "fee": amount(signed.fee),
        "change": amount(signed.change.unwrap_or(Amount::ZERO)),
    })
}

fn walletlock(call: &Call<'_>) -> Answer {
    call.context.wallet.lock()?;
    Ok(Value::Null)
}

fn walletpassphrase(call: &Call<'_>) -> Answer {
    let passphrase = call.args.required_text("passphrase")?;
    let seconds: i64 = call.args.required_integer("timeout")?;
    let seconds = u64::try_from(seconds)
        .map_err(|_| RpcError::invalid_parameter("Timeout cannot be negative."))?;
    let duration = Duration::from_secs(seconds.min(MAX_UNLOCK_SECONDS));
    let (stop, runtime) = (call.context.stop.clone(), call.runtime);
    let wallet = &call.context.wallet;
    wallet.unlock(passphrase, duration, stop, runtime)?;
    Ok(Value::Null)
}
