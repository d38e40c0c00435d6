//! The wallet's transactions.

use serde_json::{Map, Value, json};

use crate::primitives::{BlockHash, Encode, Transaction, Txid};
use crate::rpc::amount::{amount, signed_amount};
use crate::rpc::describe::{self, Shown};
use crate::rpc::error::{RpcError, code};
use crate::rpc::method::{Answer, Call, Kind, Method, optional, required};
use crate::rpc::methods::stored;
use crate::rpc::wallet_service::OpenWallet;
use crate::wallet::{Outgoing, Payee, Place, WalletTx};

/// The label that stands for all.
const ANY_LABEL: &str = "*";

pub(super) const LISTTRANSACTIONS: Method = Method {
    name: "listtransactions",
    params: &[
        optional(
            "label",
            Kind::Text,
            "Only payments to addresses with this label; \"*\" for all (default)",
        ),
        optional("count", Kind::Integer, "How many (default 10)"),
        optional(
            "skip",
            Kind::Integer,
            "How many of the newest to leave out (default 0)",
        ),
        optional("include_watchonly", Kind::Ignored, "Not used"),
    ],
    about: "The newest entries of the wallet's history, the newest last: one for each output that it received or sent.",
    result: "[{\"address\": \"str\", \"category\": \"str\", \"amount\": n, \"label\"?: \"str\", \"vout\": n, \"fee\"?: n, \"confirmations\": n, \"txid\": \"hex\", ...}, ...] (array)",
    run: listtransactions,
};

pub(super) const LISTSINCEBLOCK: Method = Method {
    name: "listsinceblock",
    params: &[
        optional(
            "blockhash",
            Kind::Text,
            "The block after which to begin; also one that a reorganisation left behind (default: all)",
        ),
        optional(
            "target_confirmations",
            Kind::Integer,
            "`lastblock` is the block with so many confirmations (default 1)",
        ),
        optional("include_watchonly", Kind::Ignored, "Not used"),
        optional(
            "include_removed",
            Kind::Boolean,
            "Also what was in blocks that a reorganisation left behind (default true)",
        ),
        optional(
            "include_change",
            Kind::Boolean,
            "Also change outputs (default false)",
        ),
        optional(
            "label",
            Kind::Text,
            "Only payments to addresses with this label",
        ),
    ],
    about: "The wallet's history since a block: ask again with `lastblock` to miss nothing.",
    result: "{\"transactions\": [...], \"removed\"?: [...], \"lastblock\": \"hex\"} (object)",
    run: listsinceblock,
};

pub(super) const GETTRANSACTION: Method = Method {
    name: "gettransaction",
    params: &[
        required("txid", Kind::Text, "The transaction id"),
        optional("include_watchonly", Kind::Ignored, "Not used"),
        optional(
            "verbose",
            Kind::Boolean,
            "Also the transaction as an object, in `decoded` (default false)",
        ),
    ],
    about: "A transaction of the wallet.",
    result: "{\"amount\": n, \"fee\"?: n, \"confirmations\": n, \"txid\": \"hex\", \"details\": [...], \"hex\"?: \"hex\", ...} (object)",
    run: gettransaction,
};

pub(super) const ABANDONTRANSACTION: Method = Method {
    name: "abandontransaction",
    params: &[required("txid", Kind::Text, "The transaction id")],
    about: "Gives up a payment of the wallet that is neither in the chain nor in the mempool, and those that depend on it: their coins can be spent again. Whoever has the payment may still send it.",
    result: "null",
    run: abandontransaction,
};

/// Looks at the history through the wallet's notes.
struct View<'a, 'w> {
    call: &'a Call<'a>,
    open: &'a OpenWallet<'w>,
    outgoing: Vec<Outgoing>,
    include_change: bool,
    label: Option<&'a str>,
}

impl<'a, 'w> View<'a, 'w> {
    fn new(call: &'a Call<'a>, open: &'a OpenWallet<'w>, label: Option<&'a str>) -> Self {
        Self {
            call,
            open,
            outgoing: open.wallet.outgoing(&call.context.spec().chain_id()),
            include_change: false,
            label: label.filter(|label| *label != ANY_LABEL),
        }
    }

    fn label_of(&self, payee: &Payee) -> Option<&str> {
        let wallet = &self.open.wallet;
        let owned = wallet.address(&payee.hash);
        let is_listed = owned.is_some_and(|owned| !owned.is_change());
        wallet.label(&payee.hash).or(is_listed.then_some(""))
    }

    /// Whether an output is change: the wallet paid, and got it back on an address that nobody was told.
    fn is_change(&self, tx: &WalletTx, payee: &Payee) -> bool {
        !tx.debits.is_empty() && self.label_of(payee).is_none()
    }

    /// The entries of a transaction: sent outputs first, as Bitcoin Core lists them.
    fn entries(&self, tx: &WalletTx, with_common: bool) -> Vec<Map<String, Value>> {
        let mut entries = Vec::new();
        let shown: Vec<&Payee> = tx
            .credits
            .iter()
            .filter(|credit| self.include_change || !self.is_change(tx, credit))
            .collect();
        if !tx.debits.is_empty() && self.label.is_none() {
            let mut sent: Vec<&Payee> = tx.payees.iter().chain(shown.iter().copied()).collect();
            sent.sort_by_key(|payee| payee.vout);
            for payee in sent {
                let mut entry = self.entry(payee, "send");
                let value = -i128::from(payee.value.units());
                entry.insert("amount".into(), signed_amount(value));
                if let Some(fee) = tx.fee {
                    let fee = -i128::from(fee.units());
                    entry.insert("fee".into(), signed_amount(fee));
                }
                let is_abandoned = tx.place == Place::Abandoned;
                entry.insert("abandoned".into(), json!(is_abandoned));
                entries.push(entry);
            }
        }
        let category = match tx.place {
            Place::Block { height, .. } if tx.is_coinbase => {
                match self.open.book.is_too_young(height) {
                    true => "immature",
                    false => "generate",
                }
            }
            _ => "receive",
        };
        for payee in shown {
            if self
                .label
                .is_some_and(|wanted| self.label_of(payee) != Some(wanted))
            {
                continue;
            }
            let mut entry = self.entry(payee, category);
            entry.insert("amount".into(), amount(payee.value));
            entries.push(entry);
        }
        if with_common {
            for entry in &mut entries {
                self.put_common(entry, tx);
            }
        }
        entries
    }

    fn entry(&self, payee: &Payee, category: &str) -> Map<String, Value> {
        let mut entry = Map::new();
        let mut put = |name: &str, value: Value| entry.insert(name.to_owned(), value);
        put("address", json!(self.call.context.address(payee.hash)));
        put("category", json!(category));
        put("amount", Value::Null);
        if let Some(label) = self.label_of(payee) {
            put("label", json!(label));
        }
        put("vout", json!(payee.vout));
        entry
    }

    /// What all entries of a transaction share.
    fn put_common(&self, fields: &mut Map<String, Value>, tx: &WalletTx) {
        let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
        put("confirmations", json!(self.open.book.confirmations(tx)));
        if tx.is_coinbase {
            put("generated", json!(true));
        }
        match tx.place {
            Place::Block {
                hash,
                height,
                index,
                time,
            } => {
                put("blockhash", json!(hash));
                put("blockheight", json!(height));
                put("blockindex", json!(index));
                put("blocktime", json!(time));
            }
            Place::Mempool | Place::Sent | Place::Abandoned | Place::Conflicted { .. } => {
                let is_trusted = tx.place == Place::Mempool && tx.fee.is_some();
                put("trusted", json!(is_trusted));
            }
        }
        put("txid", json!(tx.txid));
        put("wtxid", json!(tx.txid));
        put("walletconflicts", json!(self.rivals(tx)));
        put("mempoolconflicts", json!([]));
        if let Some(sent) = self.outgoing.iter().find(|sent| sent.txid == tx.txid) {
            if let Some(txid) = sent.replaced_by {
                put("replaced_by_txid", json!(txid));
            }
            if let Some(txid) = sent.replaces {
                put("replaces_txid", json!(txid));
            }
            if !sent.comment.is_empty() {
                put("comment", json!(sent.comment));
            }
            if !sent.to.is_empty() {
                put("to", json!(sent.to));
            }
        }
        put("time", json!(tx.seen));
        put("timereceived", json!(tx.seen));
        let is_open = matches!(tx.place, Place::Mempool | Place::Sent);
        put(
            "bip125-replaceable",
            json!(if is_open { "yes" } else { "no" }),
        );
    }

    /// Other transactions of the wallet that spend what an unconfirmed one spends.
    fn rivals(&self, tx: &WalletTx) -> Vec<Txid> {
        if tx.place.is_confirmed() {
            return Vec::new();
        }
        let spends = |other: &&WalletTx| {
            let points = other.debits.iter().map(|(point, _)| point);
            let mut shared = points.filter(|point| tx.debits.iter().any(|(own, _)| own == *point));
            other.txid != tx.txid && shared.next().is_some()
        };
        let own = self.outgoing.iter();
        own.filter_map(|sent| self.open.book.transaction(&sent.txid))
            .filter(spends)
            .map(|other| other.txid)
            .collect()
    }
}

fn listtransactions(call: &Call<'_>) -> Answer {
    let count: i64 = call.args.integer("count")?.unwrap_or(10);
    let skip: i64 = call.args.integer("skip")?.unwrap_or(0);
    let label = call.args.text("label");
    if label == Some("") {
        return Err(RpcError::invalid_parameter(
            "Label argument must be a valid label name or \"*\".",
        ));
    }
    let count = usize::try_from(count);
    let count = count.map_err(|_| RpcError::invalid_parameter("Negative count"))?;
    let skip = usize::try_from(skip);
    let skip = skip.map_err(|_| RpcError::invalid_parameter("Negative from"))?;
    call.wallet()?.with(call.context, |open| {
        let view = View::new(call, open, label);
        let wanted = count.saturating_add(skip);
        // Newest first until there are enough, each transaction's entries backwards.
        let mut newest: Vec<Value> = Vec::new();
        for tx in open.book.history().rev() {
            if newest.len() >= wanted {
                break;
            }
            let entries = view.entries(tx, true).into_iter().rev();
            newest.extend(entries.map(Value::Object));
        }
        newest.truncate(wanted);
        let mut listed: Vec<Value> = newest.into_iter().skip(skip).collect();
        listed.reverse();
        Ok(Value::Array(listed))
    })
}

fn listsinceblock(call: &Call<'_>) -> Answer {
    let target: i64 = call.args.integer("target_confirmations")?.unwrap_or(1);
    let target = u32::try_from(target).ok().filter(|target| *target > 0);
    let target = target.ok_or_else(|| RpcError::invalid_parameter("Invalid parameter"))?;
    let include_removed = call.args.boolean("include_removed").unwrap_or(true);
    let since = match call.args.text("blockhash").filter(|text| !text.is_empty()) {
        Some(_) => call.args.block_hash("blockhash")?,
        None => None,
    };
    let reader = call.context.reader();
    call.wallet()?.with(call.context, |open| {
        let mut view = View::new(call, open, call.args.text("label"));
        view.include_change = call.args.boolean("include_change").unwrap_or(false);
        // Down from the block to one of the active chain.
        let mut left_behind: Vec<BlockHash> = Vec::new();
        let mut at = since;
        let mut fork = None;
        while let Some(hash) = at {
            let info = reader.header_info(&hash);
            let info = info.ok_or_else(|| RpcError::not_found("Block not found"))?;
            if info.in_active_chain {
                fork = Some(info.height);
                break;
            }
            left_behind.push(hash);
            at = Some(info.header.prev_block);
        }
        let newer: Vec<&WalletTx> = match fork {
            Some(height) => open.book.history_above(height).collect(),
            None => open.book.history().collect(),
        };
        let transactions: Vec<Value> = newer
            .into_iter()
            .flat_map(|tx| view.entries(tx, true))
            .map(Value::Object)
            .collect();
        let mut removed = Vec::new();
        for hash in left_behind.iter().filter(|_| include_removed) {
            let block = stored(reader.block(hash))?;
            let block = block
                .ok_or_else(|| RpcError::new(code::INTERNAL_ERROR, "Can't read block from disk"))?;
            let ids = block.transactions.iter().map(Transaction::txid);
            // What came back into the chain or the mempool, or what the wallet sent; the rest is nowhere any more.
            let known = ids.filter_map(|txid| open.book.transaction(&txid));
            removed.extend(
                known
                    .flat_map(|tx| view.entries(tx, true))
                    .map(Value::Object),
            );
        }
        let height = open.book.tip().1.saturating_add(1).saturating_sub(target);
        let last = reader.hash_at(height);
        let mut answer = json!({ "transactions": transactions });
        if include_removed {
            answer["removed"] = Value::Array(removed);
        }
        answer["lastblock"] = json!(last.unwrap_or(open.book.tip().0));
        Ok(answer)
    })
}

fn gettransaction(call: &Call<'_>) -> Answer {
    let txid = call.args.required_txid("txid")?;
    let verbose = call.args.boolean("verbose").unwrap_or(false);
    call.wallet()?.with(call.context, |open| {
        let tx = open.book.transaction(&txid);
        let tx = tx.ok_or_else(|| RpcError::not_found("Invalid or non-wallet transaction id"))?;
        let view = View::new(call, open, None);
        let mut fields = Map::new();
        let fee = tx.fee.map_or(0, |fee| i128::from(fee.units()));
        let change = tx.balance_change() + fee;
        fields.insert("amount".into(), signed_amount(change));
        if tx.fee.is_some() {
            fields.insert("fee".into(), signed_amount(-fee));
        }
        view.put_common(&mut fields, tx);
        let details = view.entries(tx, false).into_iter().map(Value::Object);
        fields.insert("details".into(), details.collect());
        if let Some(whole) = transaction(call, open, &txid)? {
            fields.insert("hex".into(), json!(hex::encode(whole.to_bytes())));
            if verbose {
                let version = call.context.spec().address_version;
                let shown = Shown {
                    tx: &whole,
                    txid,
                    spent: None,
                    with_prevouts: false,
                };
                let decoded = describe::transaction(&shown, version);
                fields.insert("decoded".into(), Value::Object(decoded));
            }
        }
        let (hash, height) = open.book.tip();
        let last = json!({ "hash": hash, "height": height });
        fields.insert("lastprocessedblock".into(), last);
        Ok(Value::Object(fields))
    })
}

/// A transaction of the wallet as a whole: from the chain, the mempool or the wallet's file.
pub(super) fn transaction(
    call: &Call<'_>,
    open: &OpenWallet<'_>,
    txid: &Txid,
) -> Result<Option<Transaction>, RpcError> {
    if let Some(location) = stored(call.context.reader().transaction(txid))? {
        return Ok(Some(location.tx));
    }
    if let Some(waiting) = call.context.mempool.get_blocking(*txid) {
        return Ok(Some((*waiting).clone()));
    }
    let chain = call.context.spec().chain_id();
    let mut sent = open.wallet.outgoing(&chain).into_iter();
    Ok(sent.find(|sent| sent.txid == *txid).map(|sent| sent.tx))
}

fn abandontransaction(call: &Call<'_>) -> Answer {
    let txid = call.args.required_txid("txid")?;
    let chain = call.context.spec().chain_id();
    call.wallet()?.with(call.context, |open| {
        if open.book.transaction(&txid).is_none() {
            return Err(RpcError::not_found("Invalid or non-wallet transaction id"));
        }
        let given_up = open.book.abandon(&txid);
        if given_up.is_empty() {
            return Err(RpcError::not_found(
                "Transaction not eligible for abandonment",
            ));
        }
        open.wallet.abandon(&chain, &given_up)?;
        Ok(Value::Null)
    })
}
