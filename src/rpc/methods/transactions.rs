//! Single transactions.

use std::sync::Arc;

use serde_json::{Value, json};

use super::stored;
use crate::chain::TxLocation;
use crate::mempool::{Offer, RejectError, TxSource};
use crate::primitives::{Amount, Block, BlockHash, Coin, Decode, Encode, Transaction, Txid};
use crate::rpc::describe::{self, Shown};
use crate::rpc::error::{RpcError, code};
use crate::rpc::method::{Answer, Call, Kind, Method, optional, required};

/// The highest fee rate that is sent without being asked for, in base units per 1000 bytes (Bitcoin Core,
/// `DEFAULT_MAX_RAW_TX_FEE_RATE`: 0.1 coins).
const DEFAULT_MAX_FEE_RATE: u64 = 10_000_000;

pub(super) static METHODS: &[Method] = &[
    Method {
        name: "getrawtransaction",
        params: &[
            required("txid", Kind::Text, "The transaction id"),
            optional(
                "verbosity",
                Kind::Verbosity,
                "0 for hex-encoded data, 1 for an object, 2 for one with fee and spent outputs",
            )
            .or("0")
            .also("verbose"),
            optional(
                "blockhash",
                Kind::Text,
                "The block in which to look, of any branch",
            ),
        ],
        about: "A transaction of the mempool, of the active chain, or of a given block.",
        result: "\"hex\" (string), or {...} (object)",
        run: getrawtransaction,
    },
    Method {
        name: "sendrawtransaction",
        params: &[
            required(
                "hexstring",
                Kind::Text,
                "The signed transaction, hex-encoded",
            ),
            optional(
                "maxfeerate",
                Kind::Amount,
                "The highest fee rate to send, in coins per 1000 bytes; 0 for any",
            )
            .or("0.1"),
            optional(
                "maxburnamount",
                Kind::Ignored,
                "Not used: outputs that burn coins do not exist on this chain",
            ),
        ],
        about: "Gives a signed transaction to the mempool, from where it goes to the peers.",
        result: "\"hex\" (string) the transaction id",
        run: sendrawtransaction,
    },
];

/// Where a transaction was found.
struct Found {
    tx: Transaction,
    /// Its block and its place there; `None` in the mempool.
    place: Option<(BlockHash, usize)>,
}

fn getrawtransaction(call: &Call<'_>) -> Answer {
    let txid = call.args.required_txid("txid")?;
    let verbosity = call.args.verbosity("verbosity", 0)?;
    let block = call.args.block_hash("blockhash")?;
    let found = match block {
        Some(hash) => find_in_block(call, &txid, hash)?,
        None => find(call, &txid)?,
    };
    if verbosity == 0 {
        return Ok(json!(hex::encode(found.tx.to_bytes())));
    }
    let reader = call.context.reader();
    let spent = if verbosity >= 2 {
        spent_coins(call, &found)?
    } else {
        None
    };
    let shown = Shown {
        tx: &found.tx,
        txid,
        spent: spent.as_deref(),
        with_prevouts: true,
    };
    let mut fields = describe::transaction(&shown, call.context.spec().address_version);
    fields.insert("hex".into(), json!(hex::encode(found.tx.to_bytes())));
    if let Some((hash, _)) = found.place {
        let tip = reader.tip();
        if let Some(info) = reader.header_info(&hash) {
            if block.is_some() {
                fields.insert("in_active_chain".into(), json!(info.in_active_chain));
            }
            describe::put_place(&mut fields, &hash, &info, &tip);
        }
    }
    Ok(Value::Object(fields))
}

fn find(call: &Call<'_>, txid: &Txid) -> Result<Found, RpcError> {
    if let Some(tx) = call.context.mempool.get_blocking(*txid) {
        let tx = (*tx).clone();
        return Ok(Found { tx, place: None });
    }
    match stored(call.context.reader().transaction(txid))? {
        Some(TxLocation {
            tx, block, index, ..
        }) => Ok(Found {
            tx,
            place: Some((block, usize::try_from(index).unwrap_or(usize::MAX))),
        }),
        None => Err(RpcError::not_found(
            "No such mempool or blockchain transaction",
        )),
    }
}

fn find_in_block(call: &Call<'_>, txid: &Txid, hash: BlockHash) -> Result<Found, RpcError> {
    let reader = call.context.reader();
    if reader.header_info(&hash).is_none() {
        return Err(RpcError::not_found("Block hash not found"));
    }
    let not_available = || RpcError::new(code::MISC_ERROR, "Block not available");
    let block: Block = stored(reader.block(&hash))?.ok_or_else(not_available)?;
    let found = block
        .transactions
        .into_iter()
        .enumerate()
        .find(|(_, tx)| tx.txid() == *txid);
    let (index, tx) = found
        .ok_or_else(|| RpcError::not_found("No such transaction found in the provided block"))?;
    Ok(Found {
        tx,
        place: Some((hash, index)),
    })
}

/// The coins that a transaction spent, where they are still known: of the active chain, from the undo data of its block.
fn spent_coins(call: &Call<'_>, found: &Found) -> Result<Option<Vec<Coin>>, RpcError> {
    let Some((hash, index)) = found.place.filter(|_| !found.tx.is_coinbase()) else {
        return Ok(None);
    };
    let reader = call.context.reader();
    let (Some(undo), Some(block)) = (stored(reader.undo(&hash))?, stored(reader.block(&hash))?)
    else {
        return Ok(None);
    };
    // Undo data has the coins of all transactions but the coinbase, in block order.
    let before = block
        .transactions
        .iter()
        .take(index)
        .skip(1)
        .map(|tx| tx.inputs.len())
        .sum::<usize>();
    let coins = undo
        .spent
        .get(before..)
        .and_then(|rest| rest.get(..found.tx.inputs.len()));
    Ok(coins.map(<[Coin]>::to_vec))
}

fn sendrawtransaction(call: &Call<'_>) -> Answer {
    let mut answers = send(std::slice::from_ref(call));
    answers
        .pop()
        .unwrap_or_else(|| Err(rejected(&RejectError::Stopped)))
}

/// Sends the transactions of some calls, in order. Judged at once, their signatures are verified on all cores.
pub(super) fn send(calls: &[Call<'_>]) -> Vec<Answer> {
    let Some(first) = calls.first() else {
        return Vec::new();
    };
    let offers: Vec<Result<Offer, RpcError>> = calls.iter().map(offer).collect();
    let sent = offers.iter().flatten().cloned().collect();
    let mempool = &first.context.mempool;
    let mut verdicts = mempool.offer_blocking(sent, TxSource::Local).into_iter();
    let answer = |offer: Result<Offer, RpcError>| {
        offer?;
        match verdicts.next() {
            Some(Ok(accepted)) => Ok(json!(accepted.txid)),
            Some(Err(error)) => Err(rejected(&error)),
            None => Err(rejected(&RejectError::Stopped)),
        }
    };
    offers.into_iter().map(answer).collect()
}

fn offer(call: &Call<'_>) -> Result<Offer, RpcError> {
    const FAILED: &str = "TX decode failed. Make sure the tx has at least one input.";
    let bytes = call.args.required_hex("hexstring", FAILED)?;
    let max_fee_rate = max_fee_rate(call)?;
    let tx = Transaction::from_bytes(&bytes).map_err(|error| {
        RpcError::new(code::DESERIALIZATION_ERROR, format!("{FAILED} ({error})"))
    })?;
    Ok(Offer {
        tx: Arc::new(tx),
        max_fee_rate,
    })
}

/// The highest fee rate that a call means to pay; `None` for any.
pub(super) fn max_fee_rate(call: &Call<'_>) -> Result<Option<u64>, RpcError> {
    let given = call.args.amount("maxfeerate")?;
    let rate = given.map_or(DEFAULT_MAX_FEE_RATE, Amount::units);
    Ok((rate > 0).then_some(rate))
}

/// Bitcoin Core, `JSONRPCTransactionError` and `TransactionErrorString`.
fn rejected(error: &RejectError) -> RpcError {
    let code = match error {
        RejectError::MissingInputs { .. } => {
            return RpcError::new(
                code::VERIFY_ERROR,
                format!("bad-txns-inputs-missingorspent, {error}"),
            );
        }
        RejectError::AlreadyKnown => {
            return RpcError::new(
                code::VERIFY_ALREADY_IN_UTXO_SET,
                "Transaction outputs already in utxo set",
            );
        }
        RejectError::FeeAboveLimit { .. } => {
            return RpcError::new(
                code::VERIFY_ERROR,
                format!("Fee exceeds maximum configured by user (maxfeerate): {error}"),
            );
        }
        RejectError::Storage(_) => code::DATABASE_ERROR,
        RejectError::Stopped => code::MISC_ERROR,
        RejectError::Rule(_)
        | RejectError::Coinbase
        | RejectError::NotFinal { .. }
        | RejectError::AlreadyInMempool
        | RejectError::Conflict { .. }
        | RejectError::SpendsReplaced { .. }
        | RejectError::NewUnconfirmed { .. }
        | RejectError::ReplacementRate { .. }
        | RejectError::ReplacementFee { .. }
        | RejectError::TooManyReplaced { .. }
        | RejectError::ReplacementInPackage { .. }
        | RejectError::TooLarge { .. }
        | RejectError::TooManySigops { .. }
        | RejectError::Dust { .. }
        | RejectError::FeeTooLow { .. }
        | RejectError::BelowFloor { .. }
        | RejectError::Full
        | RejectError::TooLongChain { .. }
        | RejectError::TooManyDescendants { .. }
        | RejectError::PackageTooLarge { .. } => code::VERIFY_REJECTED,
    };
    RpcError::new(code, format!("{}, {error}", error.reject_reason()))
}
