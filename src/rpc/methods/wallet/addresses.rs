//! Addresses and their labels.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Map, Value, json};

use super::imports::put_descriptor;
use crate::keys::Address;
use crate::primitives::{Amount, PubkeyHash, Script};
use crate::rpc::amount::amount;
use crate::rpc::error::{RpcError, code};
use crate::rpc::method::{Answer, Call, Kind, Method, optional, required};
use crate::rpc::methods::stored;
use crate::rpc::payments;
use crate::wallet::{OwnedAddress, Wallet};

/// The label that stands for all labels, so that no address can have it.
const ANY_LABEL: &str = "*";

pub(super) const GETADDRESSBALANCE: Method = Method {
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
};

pub(super) const GETNEWADDRESS: Method = Method {
    name: "getnewaddress",
    params: &[
        optional("label", Kind::Text, "A label for it (default: empty)"),
        optional(
            "address_type",
            Kind::Text,
            "Must be \"legacy\", the only type on this chain",
        ),
    ],
    about: "A new address of the wallet to be paid to.",
    result: "\"str\" (string) the address",
    run: getnewaddress,
};

pub(super) const GETRAWCHANGEADDRESS: Method = Method {
    name: "getrawchangeaddress",
    params: &[optional(
        "address_type",
        Kind::Text,
        "Must be \"legacy\", the only type on this chain",
    )],
    about: "A new address of the wallet for the change of a payment that is built elsewhere.",
    result: "\"str\" (string) the address",
    run: getrawchangeaddress,
};

pub(super) const LISTADDRESSES: Method = Method {
    name: "listaddresses",
    params: &[optional(
        "include_change",
        Kind::Boolean,
        "Also those made for change (default false)",
    )],
    about: "Quarry: the addresses of the wallet on this network, in the order of their making.",
    result: "[\"str\", ...] (array)",
    run: listaddresses,
};

pub(super) const GETADDRESSINFO: Method = Method {
    name: "getaddressinfo",
    params: &[required(
        "address",
        Kind::Text,
        "Any address of this network",
    )],
    about: "What the wallet knows of an address.",
    result: "{\"address\": \"str\", \"scriptPubKey\": \"hex\", \"ismine\": true|false, \"solvable\": true|false, \"desc\"?: \"str\", \"parent_desc\"?: \"str\", \"iswatchonly\": false, \"isscript\": false, \"iswitness\": false, \"pubkey\"?: \"hex\", \"iscompressed\"?: true, \"ischange\": true|false, \"timestamp\"?: n, \"hdkeypath\"?: \"str\", \"hdmasterfingerprint\"?: \"hex\", \"labels\": [\"str\", ...]} (object)",
    run: getaddressinfo,
};

pub(super) const SETLABEL: Method = Method {
    name: "setlabel",
    params: &[
        required(
            "address",
            Kind::Text,
            "An address of the wallet, or of somebody else",
        ),
        required("label", Kind::Text, "The label"),
    ],
    about: "Labels an address.",
    result: "null",
    run: setlabel,
};

pub(super) const LISTLABELS: Method = Method {
    name: "listlabels",
    params: &[optional(
        "purpose",
        Kind::Text,
        "\"receive\" for those of the wallet's addresses, \"send\" for those of others' (default: both)",
    )],
    about: "The labels in use.",
    result: "[\"str\", ...] (array)",
    run: listlabels,
};

pub(super) const GETADDRESSESBYLABEL: Method = Method {
    name: "getaddressesbylabel",
    params: &[required("label", Kind::Text, "The label")],
    about: "The addresses with a label.",
    result: "{\"<address>\": {\"purpose\": \"str\"}, ...} (object)",
    run: getaddressesbylabel,
};

pub(super) const LISTADDRESSGROUPINGS: Method = Method {
    name: "listaddressgroupings",
    params: &[],
    about: "The wallet's addresses in groups that everybody can see belong together, because payments used their coins as inputs of one transaction or returned change.",
    result: "[[[*, ...], ...], ...] (array) groups of [address, amount, label]",
    run: listaddressgroupings,
};

fn getaddressbalance(call: &Call<'_>) -> Answer {
    let address = call
        .args
        .required_address("address", call.context.spec().address_version)?;
    let (_, transactions) = stored(call.context.reader().latest_history(&address, 0, 0))?;
    let ledger = payments::ledger(call.context, address)?;
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

fn check_type(call: &Call<'_>) -> Result<(), RpcError> {
    match call.args.text("address_type") {
        Some(kind) if kind != "legacy" => {
            let kind: String = kind.chars().take(40).collect();
            Err(RpcError::not_found(format!(
                "Unknown address type '{kind}'; this chain has \"legacy\" only"
            )))
        }
        Some(_) | None => Ok(()),
    }
}

/// A label that an address may have.
fn label<'a>(call: &'a Call<'_>) -> Result<&'a str, RpcError> {
    match call.args.text("label").unwrap_or_default() {
        ANY_LABEL => Err(RpcError::new(
            code::WALLET_INVALID_LABEL_NAME,
            "Invalid label name",
        )),
        label => Ok(label),
    }
}

fn getnewaddress(call: &Call<'_>) -> Answer {
    let label = label(call)?;
    check_type(call)?;
    let coin_type = call.context.spec().coin_type;
    let hash = call.wallet()?.keys(|wallet| {
        let hash = wallet.new_address(coin_type)?;
        if !label.is_empty() {
            wallet.set_label(&[hash], label)?;
        }
        Ok(hash)
    })?;
    Ok(json!(call.context.address(hash)))
}

fn getrawchangeaddress(call: &Call<'_>) -> Answer {
    check_type(call)?;
    let coin_type = call.context.spec().coin_type;
    let wallet = call.wallet()?;
    let hash = wallet.keys(|wallet| Ok(wallet.new_change_address(coin_type)?))?;
    Ok(json!(call.context.address(hash)))
}

fn listaddresses(call: &Call<'_>) -> Answer {
    let with_change = call.args.boolean("include_change").unwrap_or(false);
    let coin_type = call.context.spec().coin_type;
    let wallet = call.wallet()?;
    let addresses = wallet.keys(|wallet| Ok(wallet.addresses(coin_type)))?;
    let shown = addresses
        .iter()
        .filter(|address| with_change || !address.is_change());
    Ok(shown
        .map(|address| json!(call.context.address(address.hash)))
        .collect())
}

fn getaddressinfo(call: &Call<'_>) -> Answer {
    let spec = call.context.spec();
    let hash = call
        .args
        .required_address("address", spec.address_version)?;
    call.wallet()?.keys(|wallet| {
        let owned = wallet.address(&hash);
        let owned = owned.filter(|owned| owned.coin_type == spec.coin_type);
        let mut fields = Map::new();
        let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
        put("address", json!(call.context.address(hash)));
        let script = Script::p2pkh(&hash);
        put("scriptPubKey", json!(hex::encode(script.as_bytes())));
        put("ismine", json!(owned.is_some()));
        let descriptor = wallet.descriptor_of(&hash).filter(|_| owned.is_some());
        let is_solvable = descriptor
            .as_ref()
            .is_some_and(|(one, _)| one.is_solvable());
        put("solvable", json!(is_solvable));
        put("iswatchonly", json!(false));
        put("isscript", json!(false));
        put("iswitness", json!(false));
        if let Some((descriptor, index)) = &descriptor {
            put_descriptor(&mut fields, call, descriptor, *index);
            put_key(&mut fields, wallet, &hash);
        }
        let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
        put(
            "ischange",
            json!(owned.as_ref().is_some_and(OwnedAddress::is_change)),
        );
        if let Some(owned) = &owned {
            put("timestamp", json!(owned.created));
        }
        let is_listed = owned.as_ref().is_some_and(|owned| !owned.is_change());
        let label = wallet.label(&hash).or(is_listed.then_some(""));
        put("labels", label.into_iter().collect());
        Ok(Value::Object(fields))
    })
}

fn put_key(fields: &mut Map<String, Value>, wallet: &Wallet, hash: &PubkeyHash) {
    let Some(key) = wallet.public_key(hash) else {
        return;
    };
    let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    put("pubkey", json!(hex::encode(key.public.to_bytes())));
    put("iscompressed", json!(true));
    let path = key.origin.path_text();
    if !path.is_empty() {
        put("hdkeypath", json!(format!("m/{path}")));
        put(
            "hdmasterfingerprint",
            json!(hex::encode(key.origin.fingerprint)),
        );
    }
}

fn setlabel(call: &Call<'_>) -> Answer {
    let version = call.context.spec().address_version;
    let hash = call.args.required_address("address", version)?;
    let label = label(call)?;
    let wallet = call.wallet()?;
    wallet.keys(|wallet| Ok(wallet.set_label(&[hash], label)?))?;
    Ok(Value::Null)
}

/// Every address that has a label, which is empty for those that were only handed out; and whether it is the wallet's.
pub(super) fn labelled(wallet: &Wallet, coin_type: u32) -> BTreeMap<PubkeyHash, (String, bool)> {
    let owned = wallet.addresses(coin_type);
    let listed = owned.iter().filter(|owned| !owned.is_change());
    let mut all: BTreeMap<PubkeyHash, (String, bool)> = listed
        .map(|owned| (owned.hash, (String::new(), true)))
        .collect();
    for (hash, label) in wallet.labels() {
        let is_own = wallet.watches(coin_type, hash);
        all.insert(*hash, (label.to_owned(), is_own));
    }
    all
}

const fn purpose(is_own: bool) -> &'static str {
    if is_own { "receive" } else { "send" }
}

fn listlabels(call: &Call<'_>) -> Answer {
    let wanted = call.args.text("purpose").filter(|text| !text.is_empty());
    if wanted.is_some_and(|wanted| !["send", "receive", "refund"].contains(&wanted)) {
        return Err(RpcError::invalid_parameter(
            "Invalid 'purpose' argument, must be a known purpose string, typically 'send', or 'receive'.",
        ));
    }
    let coin_type = call.context.spec().coin_type;
    let wallet = call.wallet()?;
    let labelled = wallet.keys(|wallet| Ok(labelled(wallet, coin_type)))?;
    let labels: BTreeSet<String> = labelled
        .into_values()
        .filter(|(_, is_own)| wanted.is_none_or(|wanted| wanted == purpose(*is_own)))
        .map(|(label, _)| label)
        .collect();
    Ok(json!(labels))
}

fn getaddressesbylabel(call: &Call<'_>) -> Answer {
    let wanted = call.args.required_text("label")?;
    let coin_type = call.context.spec().coin_type;
    let wallet = call.wallet()?;
    let labelled = wallet.keys(|wallet| Ok(labelled(wallet, coin_type)))?;
    let found: Map<String, Value> = labelled
        .into_iter()
        .filter(|(_, (label, _))| label == wanted)
        .map(|(hash, (_, is_own))| {
            let fields = json!({ "purpose": purpose(is_own) });
            (call.context.address(hash), fields)
        })
        .collect();
    if found.is_empty() {
        let wanted: String = wanted.chars().take(80).collect();
        let message = format!("No addresses with label {wanted}");
        return Err(RpcError::new(code::WALLET_INVALID_LABEL_NAME, message));
    }
    Ok(Value::Object(found))
}

/// Groups of addresses: each points to another of its group, the one at the root to itself.
#[derive(Default)]
struct Groups(HashMap<PubkeyHash, PubkeyHash>);

impl Groups {
    fn root(&mut self, hash: PubkeyHash) -> PubkeyHash {
        let mut at = hash;
        while let Some(next) = self.0.get(&at).filter(|next| **next != at) {
            at = *next;
        }
        // Next time it is one step.
        self.0.insert(hash, at);
        at
    }

    fn join(&mut self, one: PubkeyHash, other: PubkeyHash) {
        let (one, other) = (self.root(one), self.root(other));
        self.0.insert(one, other);
    }
}

fn listaddressgroupings(call: &Call<'_>) -> Answer {
    let coin_type = call.context.spec().coin_type;
    call.wallet()?.with(call.context, |open| {
        let mut groups = Groups::default();
        let is_change = |hash: &PubkeyHash| {
            let owned = open.wallet.address(hash);
            owned.is_some_and(|owned| owned.is_change())
        };
        for tx in open.book.history() {
            let spent = tx.debits.iter().map(|(_, coin)| coin.pubkey_hash);
            let first = spent.clone().next();
            let returned = tx.credits.iter().map(|credit| credit.hash);
            for hash in spent.chain(returned.clone().filter(is_change)) {
                groups.join(hash, first.unwrap_or(hash));
            }
            for hash in returned {
                groups.root(hash);
            }
        }
        let mut balances: HashMap<PubkeyHash, u64> = HashMap::new();
        for coin in open.book.unspent().filter(|coin| coin.is_trusted) {
            *balances.entry(coin.coin.pubkey_hash).or_default() += coin.coin.value.units();
        }
        let labels = labelled(open.wallet, coin_type);
        let all: BTreeSet<PubkeyHash> = groups.0.keys().copied().collect();
        let mut shown: BTreeMap<PubkeyHash, Vec<Value>> = BTreeMap::new();
        for hash in all {
            let units = balances.get(&hash).copied().unwrap_or(0);
            let value = Amount::from_units(units).unwrap_or(Amount::MAX);
            let mut one = vec![json!(call.context.address(hash)), amount(value)];
            one.extend(labels.get(&hash).map(|(label, _)| json!(label)));
            shown
                .entry(groups.root(hash))
                .or_default()
                .push(Value::Array(one));
        }
        Ok(shown.into_values().map(Value::Array).collect())
    })
}

/// Reads a list of addresses.
pub(super) fn hashes(call: &Call<'_>, list: &[Value]) -> Result<Vec<PubkeyHash>, RpcError> {
    let version = call.context.spec().address_version;
    let read = |value: &Value| {
        let text = value
            .as_str()
            .ok_or_else(|| RpcError::new(code::TYPE_ERROR, "addresses must be strings"))?;
        Ok(Address::parse(text, version)?.pubkey_hash())
    };
    list.iter().map(read).collect()
}
