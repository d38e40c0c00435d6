//! What the wallet has, and what its addresses were paid.

use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};

use super::addresses::hashes;
use super::imports::outpoints;
use crate::primitives::{Amount, OutPoint, PubkeyHash, Script};
use crate::rpc::amount::amount;
use crate::rpc::arguments::amount_of;
use crate::rpc::error::{RpcError, code};
use crate::rpc::method::{Answer, Call, Kind, Method, Param, optional, required};
use crate::rpc::wallet_service::OpenWallet;
use crate::wallet::{Descriptor, ListedCoin};

pub(super) const MIN_CONFIRMATIONS: Param = optional(
    "minconf",
    Kind::Integer,
    "Only what has at least so many confirmations (default 1)",
);
pub(super) const GETBALANCE: Method = Method {
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
};

pub(super) const GETBALANCES: Method = Method {
    name: "getbalances",
    params: &[],
    about: "What the wallet has: what it can spend, unconfirmed money from others, and mined coins that are not old enough.",
    result: "{\"mine\": {\"trusted\": n, \"untrusted_pending\": n, \"immature\": n}, \"lastprocessedblock\": {\"hash\": \"hex\", \"height\": n}} (object)",
    run: getbalances,
};

pub(super) const LISTUNSPENT: Method = Method {
    name: "listunspent",
    params: &[
        MIN_CONFIRMATIONS,
        optional(
            "maxconf",
            Kind::Integer,
            "Only coins with at most so many confirmations (default 9999999)",
        ),
        optional("addresses", Kind::List, "Only coins of these addresses"),
        optional(
            "include_unsafe",
            Kind::Boolean,
            "Also unconfirmed money from others (default true)",
        ),
        optional(
            "query_options",
            Kind::Object,
            "minimumAmount, maximumAmount, maximumCount, minimumSumAmount, include_immature_coinbase",
        ),
    ],
    about: "The coins of the wallet that nothing spends, without those that are kept back (lockunspent).",
    result: "[{\"txid\": \"hex\", \"vout\": n, \"address\": \"str\", \"label\"?: \"str\", \"scriptPubKey\": \"hex\", \"amount\": n, \"confirmations\": n, \"spendable\": true, \"solvable\": true|false, \"desc\"?: \"str\", \"parent_descs\"?: [\"str\", ...], \"safe\": true|false}, ...] (array)",
    run: listunspent,
};

pub(super) const LOCKUNSPENT: Method = Method {
    name: "lockunspent",
    params: &[
        required(
            "unlock",
            Kind::Boolean,
            "false to keep coins back, true to let payments use them again",
        ),
        optional(
            "transactions",
            Kind::List,
            "The coins, {\"txid\": \"hex\", \"vout\": n} each (default with true: all)",
        ),
        optional(
            "persistent",
            Kind::Ignored,
            "Not used: coins are kept back until the node stops",
        ),
    ],
    about: "Keeps coins back from payments that choose their coins themselves.",
    result: "true (boolean)",
    run: lockunspent,
};

pub(super) const LISTLOCKUNSPENT: Method = Method {
    name: "listlockunspent",
    params: &[],
    about: "The coins that are kept back.",
    result: "[{\"txid\": \"hex\", \"vout\": n}, ...] (array)",
    run: listlockunspent,
};

fn getbalance(call: &Call<'_>) -> Answer {
    if call.args.text("dummy").is_some_and(|dummy| dummy != "*") {
        return Err(RpcError::new(
            code::METHOD_DEPRECATED,
            "dummy first argument must be excluded or set to \"*\".",
        ));
    }
    let minimum: i64 = call.args.integer("minconf")?.unwrap_or(0);
    call.wallet()?.with(call.context, |open| {
        if minimum <= 0 {
            return Ok(amount(open.book.balances().trusted));
        }
        let coins = open.book.unspent().filter(|coin| {
            coin.is_trusted && !coin.is_immature && i64::from(coin.confirmations) >= minimum
        });
        sum_of(coins.map(|coin| coin.coin.value))
    })
}

fn sum_of(values: impl Iterator<Item = Amount>) -> Answer {
    let overflow = || RpcError::new(code::DATABASE_ERROR, "the wallet has more than can exist");
    Amount::checked_sum(values).map(amount).ok_or_else(overflow)
}

fn getbalances(call: &Call<'_>) -> Answer {
    call.wallet()?.with(call.context, |open| {
        let sums = open.book.balances();
        let (hash, height) = open.book.tip();
        Ok(json!({
            "mine": {
                "trusted": amount(sums.trusted),
                "untrusted_pending": amount(sums.pending),
                "immature": amount(sums.immature),
            },
            "lastprocessedblock": { "hash": hash, "height": height },
        }))
    })
}

/// Which coins `listunspent` is asked for.
struct Query {
    confirmations: std::ops::RangeInclusive<i64>,
    addresses: Option<HashSet<PubkeyHash>>,
    include_unsafe: bool,
    least: Amount,
    most: Amount,
    max_count: usize,
    enough: Amount,
    include_immature: bool,
}

impl Query {
    fn of(call: &Call<'_>) -> Result<Self, RpcError> {
        let least: i64 = call.args.integer("minconf")?.unwrap_or(1);
        let most: i64 = call.args.integer("maxconf")?.unwrap_or(9_999_999);
        let addresses = call.args.list("addresses").filter(|list| !list.is_empty());
        let addresses = addresses.map(|list| unique(call, list)).transpose()?;
        let mut query = Self {
            confirmations: least..=most,
            addresses,
            include_unsafe: call.args.boolean("include_unsafe").unwrap_or(true),
            least: Amount::ZERO,
            most: Amount::MAX,
            max_count: usize::MAX,
            enough: Amount::MAX,
            include_immature: false,
        };
        for (name, value) in call.args.object("query_options").into_iter().flatten() {
            let wrong = || RpcError::new(code::TYPE_ERROR, format!("{name} has the wrong type"));
            match name.as_str() {
                "minimumAmount" => query.least = amount_of(name, value)?,
                "maximumAmount" => query.most = amount_of(name, value)?,
                "minimumSumAmount" => query.enough = amount_of(name, value)?,
                "maximumCount" => {
                    let count = value.as_u64().ok_or_else(wrong)?;
                    // Core takes 0 for no limit.
                    let count = usize::try_from(count).unwrap_or(usize::MAX);
                    query.max_count = if count == 0 { usize::MAX } else { count };
                }
                "include_immature_coinbase" => {
                    query.include_immature = value.as_bool().ok_or_else(wrong)?;
                }
                other => {
                    let shown: String = other.chars().take(40).collect();
                    let message = format!("Unexpected key {shown}");
                    return Err(RpcError::new(code::TYPE_ERROR, message));
                }
            }
        }
        Ok(query)
    }

    fn takes(&self, coin: &ListedCoin) -> bool {
        let addresses = self.addresses.as_ref();
        self.confirmations.contains(&i64::from(coin.confirmations))
            && addresses.is_none_or(|wanted| wanted.contains(&coin.coin.pubkey_hash))
            && (coin.is_trusted || self.include_unsafe)
            && (!coin.is_immature || self.include_immature)
            && (self.least..=self.most).contains(&coin.coin.value)
    }
}

fn unique(call: &Call<'_>, list: &[Value]) -> Result<HashSet<PubkeyHash>, RpcError> {
    let all = hashes(call, list)?;
    let mut wanted = HashSet::new();
    match all.iter().find(|hash| !wanted.insert(**hash)) {
        None => Ok(wanted),
        Some(twice) => {
            let address = call.context.address(*twice);
            let message = format!("Invalid parameter, duplicated address: {address}");
            Err(RpcError::invalid_parameter(message))
        }
    }
}

/// What `listunspent` shows of each address; worked out once for each.
#[derive(Clone)]
struct Shown {
    address: String,
    script: String,
    label: Option<String>,
    descriptor: Option<(String, String)>,
}

fn listunspent(call: &Call<'_>) -> Answer {
    let query = Query::of(call)?;
    call.wallet()?.with(call.context, |open| {
        let mut by_hash: HashMap<PubkeyHash, Shown> = HashMap::new();
        let mut listed = Vec::new();
        let mut total = 0;
        for coin in open.book.unspent() {
            if !query.takes(&coin) || open.kept_back.contains(&coin.outpoint) {
                continue;
            }
            if listed.len() >= query.max_count || total >= query.enough.units() {
                break;
            }
            total += coin.coin.value.units();
            let hash = coin.coin.pubkey_hash;
            let shown = by_hash
                .entry(hash)
                .or_insert_with(|| Shown::of(call, open, &hash));
            listed.push(shown.coin(&coin));
        }
        Ok(Value::Array(listed))
    })
}

impl Shown {
    fn of(call: &Call<'_>, open: &OpenWallet<'_>, hash: &PubkeyHash) -> Self {
        let spec = call.context.spec();
        let descriptor = open.wallet.descriptor_of(hash);
        let owned = open.wallet.address(hash);
        let is_listed = owned.is_some_and(|owned| !owned.is_change());
        let label = open.wallet.label(hash).or(is_listed.then_some(""));
        let texts = |(descriptor, index): (Descriptor, u32)| {
            (descriptor.text_at(index, spec), descriptor.to_text(spec))
        };
        Self {
            address: call.context.address(*hash),
            script: hex::encode(Script::p2pkh(hash).as_bytes()),
            label: label.map(str::to_owned),
            descriptor: descriptor.filter(|(one, _)| one.is_solvable()).map(texts),
        }
    }

    fn coin(&self, coin: &ListedCoin) -> Value {
        let OutPoint { txid, vout } = coin.outpoint;
        let mut fields = json!({
            "txid": txid,
            "vout": vout,
            "address": self.address,
            "scriptPubKey": self.script,
            "amount": amount(coin.coin.value),
            "confirmations": coin.confirmations,
            "spendable": true,
            "solvable": self.descriptor.is_some(),
            "safe": coin.is_trusted,
        });
        if let Some(label) = &self.label {
            fields["label"] = json!(label);
        }
        if let Some((descriptor, parent)) = &self.descriptor {
            fields["desc"] = json!(descriptor);
            fields["parent_descs"] = json!([parent]);
        }
        fields
    }
}

fn lockunspent(call: &Call<'_>) -> Answer {
    let unlock = call.args.boolean("unlock").unwrap_or(false);
    let points = call.args.list("transactions").map(outpoints).transpose()?;
    call.wallet()?.with(call.context, |open| {
        let Some(points) = points else {
            if unlock {
                open.kept_back.clear();
            }
            return Ok(json!(true));
        };
        let wrong = RpcError::invalid_parameter;
        for point in &points {
            let known = open.book.transaction(&point.txid);
            let known = known.ok_or_else(|| wrong("Invalid parameter, unknown transaction"))?;
            if !known.credits.iter().any(|credit| credit.vout == point.vout) {
                return Err(wrong("Invalid parameter, vout index out of bounds"));
            }
            if open.book.coin(point).is_none() {
                return Err(wrong("Invalid parameter, expected unspent output"));
            }
            match (unlock, open.kept_back.contains(point)) {
                (true, false) => return Err(wrong("Invalid parameter, expected locked output")),
                (false, true) => {
                    return Err(wrong("Invalid parameter, output already locked"));
                }
                (true, true) | (false, false) => {}
            }
        }
        for point in points {
            match unlock {
                true => open.kept_back.remove(&point),
                false => open.kept_back.insert(point),
            };
        }
        Ok(json!(true))
    })
}

fn listlockunspent(call: &Call<'_>) -> Answer {
    call.wallet()?.with(call.context, |open| {
        let show = |point: &OutPoint| json!({ "txid": point.txid, "vout": point.vout });
        Ok(open.kept_back.iter().map(show).collect())
    })
}
