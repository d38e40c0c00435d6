//! Descriptors in and out.

use serde_json::{Map, Value, json};

use crate::primitives::{OutPoint, PubkeyHash, unix_now};
use crate::rpc::error::{RpcError, code};
use crate::rpc::method::{Answer, Call, Kind, Method, optional, required};
use crate::rpc::raw_transaction::outpoint;
use crate::wallet::{Descriptor, Import, ListedDescriptor, MAX_IMPORT_RANGE};

/// How many indexes are watched of a range that is not said (Bitcoin Core, `DEFAULT_KEYPOOL_SIZE`).
const DEFAULT_RANGE: u32 = 1_000;
/// Descriptors in one request. Each can have thousands of addresses, which are derived at once.
const MAX_REQUESTS: usize = 100;

pub(super) const IMPORTDESCRIPTORS: Method = Method {
    name: "importdescriptors",
    params: &[required(
        "requests",
        Kind::List,
        "Objects with `desc` (pkh(KEY), addr(ADDRESS) or raw(HEX), with its checksum), `timestamp` (a time or \"now\"), and as needed `active`, `range` (end or [first, end], at most 20000 indexes), `next_index`, `internal` (for change) and `label`",
    )],
    about: "Imports descriptors: with private keys into a wallet that has them, without into one that watches. The recovery phrase restores none of them. What they have in the chain is found at once, by an index.",
    result: "[{\"success\": true|false, \"error\"?: {...}}, ...] (array) one for each request",
    run: importdescriptors,
};

pub(super) const LISTDESCRIPTORS: Method = Method {
    name: "listdescriptors",
    params: &[optional(
        "private",
        Kind::Boolean,
        "With private keys: whoever reads them owns the coins (default false)",
    )],
    about: "The descriptors of the wallet on this network: the two of its recovery phrase, and those that were imported.",
    result: "{\"wallet_name\": \"str\", \"descriptors\": [{\"desc\": \"str\", \"timestamp\": n, \"active\": true|false, \"internal\"?: true|false, \"range\"?: [n, n], \"next\"?: n, \"next_index\"?: n}, ...]} (object)",
    run: listdescriptors,
};

pub(super) const GETDESCRIPTORINFO: Method = Method {
    name: "getdescriptorinfo",
    params: &[required("descriptor", Kind::Text, "The descriptor")],
    about: "Checks a descriptor and gives its public form and checksum.",
    result: "{\"descriptor\": \"str\", \"checksum\": \"str\", \"isrange\": true|false, \"issolvable\": true|false, \"hasprivatekeys\": true|false} (object)",
    run: getdescriptorinfo,
};

pub(super) const DERIVEADDRESSES: Method = Method {
    name: "deriveaddresses",
    params: &[
        required(
            "descriptor",
            Kind::Text,
            "The descriptor, with its checksum",
        ),
        optional(
            "range",
            Kind::IntegerOrList,
            "For a descriptor with a range: its end, or [first, end]",
        ),
    ],
    about: "The addresses of a descriptor.",
    result: "[\"str\", ...] (array), or [[\"str\", ...], ...] (array) for each path of several",
    run: deriveaddresses,
};

/// Imports one descriptor without range, and labels its address.
pub(super) fn import_one(call: &Call<'_>, descriptor: Descriptor) -> Answer {
    let label = call.args.text("label").unwrap_or_default().to_owned();
    let wallet = call.wallet()?;
    let coin_type = call.context.spec().coin_type;
    wallet.keys(|wallet| {
        let hashes = descriptor.hashes(0, 1);
        let import = Import {
            descriptor,
            range: (0, 1),
            next: None,
            active: false,
            change: false,
            created: 0,
        };
        wallet.import(coin_type, &[import])?;
        if !label.is_empty() {
            wallet.set_label(&hashes, &label)?;
        }
        Ok(())
    })?;
    Ok(Value::Null)
}

fn importdescriptors(call: &Call<'_>) -> Answer {
    let requests = call.args.list("requests").unwrap_or_default();
    if requests.len() > MAX_REQUESTS {
        return Err(RpcError::invalid_parameter(format!(
            "at most {MAX_REQUESTS} descriptors at a time"
        )));
    }
    let coin_type = call.context.spec().coin_type;
    let wallet = call.wallet()?;
    wallet.keys(|wallet| {
        // Locked wallets are told of at once, and not once a descriptor.
        if wallet.is_locked() {
            return Err(crate::wallet::WalletError::Locked.into());
        }
        let mut answers = Vec::with_capacity(requests.len());
        for request in requests {
            let done = understand(call, request).and_then(|(imports, label)| {
                wallet.import(coin_type, &imports)?;
                if let Some(label) = label {
                    let hashes: Vec<PubkeyHash> = imports
                        .iter()
                        .flat_map(|import| import.descriptor.hashes(0, 1))
                        .collect();
                    wallet.set_label(&hashes, &label)?;
                }
                Ok(())
            });
            answers.push(match done {
                Ok(()) => json!({ "success": true }),
                Err(error) => json!({ "success": false, "error": error.to_json() }),
            });
        }
        Ok(Value::Array(answers))
    })
}

/// What one request asks for, and the label of its address.
fn understand(call: &Call<'_>, request: &Value) -> Result<(Vec<Import>, Option<String>), RpcError> {
    let wrong = |message: &str| RpcError::new(code::TYPE_ERROR, message);
    let fields = request
        .as_object()
        .ok_or_else(|| wrong("each request is an object"))?;
    const KNOWN: [&str; 7] = [
        "desc",
        "active",
        "range",
        "next_index",
        "timestamp",
        "internal",
        "label",
    ];
    if let Some(unknown) = fields.keys().find(|name| !KNOWN.contains(&name.as_str())) {
        let shown: String = unknown.chars().take(40).collect();
        return Err(wrong(&format!("Unexpected key {shown}")));
    }
    let text = fields.get("desc").and_then(Value::as_str);
    let text = text.ok_or_else(|| RpcError::invalid_parameter("Descriptor not found."))?;
    let descriptors = Descriptor::parse_checked(text, call.context.spec())?;
    let created = match fields.get("timestamp") {
        Some(Value::String(now)) if now == "now" => unix_now(),
        Some(time) if time.is_u64() => time.as_u64().unwrap_or_default(),
        Some(_) => {
            return Err(wrong("Expected number or \"now\" timestamp value for key"));
        }
        None => return Err(wrong("Missing required timestamp field for key")),
    };
    let flag = |name: &str| match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(*flag)),
        Some(_) => Err(wrong(&format!("{name} must be true or false"))),
    };
    let active = flag("active")?.unwrap_or(false);
    let internal = flag("internal")?;
    let is_ranged = descriptors.iter().any(Descriptor::is_ranged);
    let is_multipath = descriptors.len() > 1;
    let range = fields.get("range").filter(|range| !range.is_null());
    if range.is_some() && !is_ranged {
        return Err(RpcError::invalid_parameter(
            "Range should not be specified for an un-ranged descriptor",
        ));
    }
    if active && !is_ranged {
        return Err(RpcError::invalid_parameter(
            "Active descriptors must be ranged",
        ));
    }
    if is_multipath && internal.is_some() {
        return Err(RpcError::invalid_parameter(
            "Cannot have multipath descriptor while also specifying 'internal'",
        ));
    }
    let range = match range {
        Some(range) => range_of(range)?,
        None => (0, DEFAULT_RANGE),
    };
    let next = fields.get("next_index").filter(|next| !next.is_null());
    let next = next
        .map(|next| index(next).ok_or_else(|| wrong("next_index is not an index")))
        .transpose()?;
    let label = match fields.get("label") {
        None | Some(Value::Null) => None,
        Some(Value::String(_)) if is_ranged => {
            return Err(RpcError::invalid_parameter(
                "Ranged descriptors should not have a label",
            ));
        }
        Some(Value::String(_)) if internal == Some(true) => {
            return Err(RpcError::invalid_parameter(
                "Internal addresses should not have a label",
            ));
        }
        Some(Value::String(label)) => Some(label.clone()),
        Some(_) => return Err(wrong("label must be a string")),
    };
    let import = |(at, descriptor)| Import {
        descriptor,
        range,
        next,
        active,
        // Of several paths the second is the one for change (BIP389).
        change: internal.unwrap_or(is_multipath && at == 1),
        created,
    };
    Ok((
        descriptors.into_iter().enumerate().map(import).collect(),
        label,
    ))
}

fn index(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|index| u32::try_from(index).ok())
}

/// An end, or first and end, both included; as the first index and the one after the last.
pub(super) fn range_of(value: &Value) -> Result<(u32, u32), RpcError> {
    let wrong = |message: &str| RpcError::invalid_parameter(message);
    let (first, last) = match value {
        Value::Array(ends) => match &ends[..] {
            [first, last] => (index(first), index(last)),
            _ => return Err(wrong("Range must be specified as end or as [begin,end]")),
        },
        end => (Some(0), index(end)),
    };
    let (Some(first), Some(last)) = (first, last) else {
        return Err(wrong("Range must be specified as end or as [begin,end]"));
    };
    if first > last {
        return Err(wrong(
            "Range specified as [begin,end] must not have begin after end",
        ));
    }
    if last - first >= MAX_IMPORT_RANGE || last >= 1 << 31 {
        return Err(wrong("Range is too large"));
    }
    Ok((first, last + 1))
}

fn listdescriptors(call: &Call<'_>) -> Answer {
    let private = call.args.boolean("private").unwrap_or(false);
    let spec = call.context.spec();
    let wallet = call.wallet()?;
    let mut listed = wallet.keys(|wallet| {
        if private && !wallet.has_private_keys() {
            return Err(RpcError::new(
                code::WALLET_ERROR,
                "Can't get private descriptor string for watch-only wallets",
            ));
        }
        Ok(wallet.descriptors(spec.coin_type, private)?)
    })?;
    listed.sort_by_key(|one| one.descriptor.to_text(spec));
    let show = |one: &ListedDescriptor| {
        let text = match private {
            true => one.descriptor.to_private_text(spec),
            false => None,
        };
        let text = match text {
            Some(text) => json!(text.as_str()),
            None => json!(one.descriptor.to_text(spec)),
        };
        let mut fields = json!({
            "desc": text,
            "timestamp": one.created,
            "active": one.active,
        });
        if one.active {
            fields["internal"] = json!(one.change);
        }
        if one.descriptor.is_ranged() {
            fields["range"] = json!([one.range.0, one.range.1.saturating_sub(1)]);
            fields["next"] = json!(one.next);
            fields["next_index"] = json!(one.next);
        }
        fields
    };
    let descriptors: Vec<Value> = listed.iter().map(show).collect();
    Ok(json!({ "wallet_name": wallet.name(), "descriptors": descriptors }))
}

fn getdescriptorinfo(call: &Call<'_>) -> Answer {
    let text = call.args.required_text("descriptor")?;
    let descriptor = Descriptor::parse(text, call.context.spec())?;
    Ok(json!({
        "descriptor": descriptor.to_text(call.context.spec()),
        "checksum": Descriptor::checksum_of(text)?,
        "isrange": descriptor.is_ranged(),
        "issolvable": descriptor.is_solvable(),
        "hasprivatekeys": descriptor.has_secret(),
    }))
}

fn deriveaddresses(call: &Call<'_>) -> Answer {
    let text = call.args.required_text("descriptor")?;
    let descriptors = Descriptor::parse_checked(text, call.context.spec())?;
    let range = call.args.any("range");
    let is_ranged = descriptors.iter().any(Descriptor::is_ranged);
    let (first, end) = match (range, is_ranged) {
        (Some(_), false) => {
            return Err(RpcError::invalid_parameter(
                "Range should not be specified for an un-ranged descriptor",
            ));
        }
        (None, true) => {
            return Err(RpcError::invalid_parameter(
                "Range must be specified for a ranged descriptor",
            ));
        }
        (Some(range), true) => range_of(range)?,
        (None, false) => (0, 1),
    };
    let show = |descriptor: &Descriptor| -> Value {
        let hashes = descriptor.hashes(first, end);
        hashes
            .into_iter()
            .map(|hash| json!(call.context.address(hash)))
            .collect()
    };
    match &descriptors[..] {
        [one] => Ok(show(one)),
        several => Ok(several.iter().map(show).collect()),
    }
}

/// Fields of a wallet's descriptors that others show beside an address.
pub(super) fn put_descriptor(
    fields: &mut Map<String, Value>,
    call: &Call<'_>,
    descriptor: &Descriptor,
    index: u32,
) {
    let spec = call.context.spec();
    fields.insert("desc".into(), json!(descriptor.text_at(index, spec)));
    fields.insert("parent_desc".into(), json!(descriptor.to_text(spec)));
}

/// Reads `[{"txid": …, "vout": …}, …]`.
pub(super) fn outpoints(list: &[Value]) -> Result<Vec<OutPoint>, RpcError> {
    let object = |value: &Value| {
        let fields = value.as_object().ok_or_else(|| {
            RpcError::new(code::TYPE_ERROR, "a coin is an object of txid and vout")
        })?;
        outpoint(fields)
    };
    list.iter().map(object).collect()
}
