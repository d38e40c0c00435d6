//! Payments and balances: the wallet's coins over the chain and the mempool.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::mempool::TxSource;
use crate::primitives::{Amount, OutPoint, PubkeyHash, Script, Transaction, Txid, unix_now};
use crate::wallet::{
    self, FeeRate, Ledger, LedgerContext, ListedCoin, Outgoing, Payment, PaymentError, Place,
    PreparedPayment, SignedPayment, WalletCoin, WalletError,
};

use super::context::RpcContext;
use super::error::{RpcError, code};
use super::methods::stored;
use super::one_state::at_one_state;
use super::wallet_service::OpenWallet;

/// What shall be paid and how.
pub(super) struct Order {
    /// Who is paid how much.
    pub(super) recipients: Vec<(PubkeyHash, Amount)>,
    /// Positions of the recipients who pay the fee.
    pub(super) fee_payers: Vec<usize>,
    /// What a byte costs.
    pub(super) fee_rate: FeeRate,
    /// The only address whose coins may be used, which also gets the change; or `None` for the whole wallet.
    pub(super) from: Option<PubkeyHash>,
    /// Coins to be used in any case.
    pub(super) fixed: Vec<WalletCoin>,
    /// Whether others may be used if those do not suffice.
    pub(super) add_inputs: bool,
    /// Where change goes; `None` for a new address.
    pub(super) change: Option<PubkeyHash>,
    /// Which output the change is.
    pub(super) change_position: Option<usize>,
    /// Confirmations that coins need.
    pub(super) min_confirmations: u32,
    /// Whether unconfirmed money from others may be spent.
    pub(super) include_unsafe: bool,
    /// The height or time before which no block takes it.
    pub(super) lock_time: u32,
    /// The least fee, whatever the rate.
    pub(super) least_fee: Amount,
}

impl Order {
    /// The usual payment of the whole wallet.
    pub(super) const fn new(recipients: Vec<(PubkeyHash, Amount)>, fee_rate: FeeRate) -> Self {
        Self {
            recipients,
            fee_payers: Vec::new(),
            fee_rate,
            from: None,
            fixed: Vec::new(),
            add_inputs: true,
            change: None,
            change_position: None,
            min_confirmations: 0,
            include_unsafe: false,
            lock_time: 0,
            least_fee: Amount::ZERO,
        }
    }
}

/// What is noted beside a payment.
#[derive(Debug, Default)]
pub(super) struct Note {
    /// What it is for.
    pub(super) comment: String,
    /// Whom it pays.
    pub(super) to: String,
    /// The payment that it takes the place of.
    pub(super) replaces: Option<Txid>,
}

/// Confirmations after which a payment needs no more care: no reorganisation of this depth is followed without a look anyway.
const BURIED: i64 = 100;

/// The ledger of one address, all at one block unless those come faster than it is read. The mempool is read first: what is
/// mined in between then counts once, and as mined.
pub(super) fn ledger(context: &RpcContext, address: PubkeyHash) -> Result<Ledger, RpcError> {
    let reader = context.reader();
    let ((pending, coins), stats) = at_one_state(
        // Written together with the coins, while the tip is told a moment later.
        || stored(reader.coin_stats()),
        || {
            let delta = context.mempool.address_delta_blocking(address);
            let mut pending: Vec<(Txid, Arc<Transaction>)> = Vec::new();
            for txid in delta.txids {
                let waiting = context.mempool.get_blocking(txid);
                pending.extend(waiting.map(|tx| (txid, tx)));
            }
            Ok((pending, stored(reader.address_coins(&address))?))
        },
    )?;
    let ledger_context = LedgerContext {
        tip_height: stats.height,
        coinbase_maturity: context.spec().coinbase_maturity,
    };
    let pending = pending.iter().map(|(txid, tx)| (*txid, &**tx));
    let owns = |hash: &PubkeyHash| *hash == address;
    Ok(Ledger::new(ledger_context, owns, coins, pending)?)
}

/// A coin as the choice of coins takes it.
pub(super) const fn wallet_coin(coin: &ListedCoin) -> WalletCoin {
    WalletCoin {
        outpoint: coin.outpoint,
        coin: coin.coin,
        confirmations: coin.confirmations,
    }
}

/// The coins that a payment may use by itself.
pub(super) fn spendable(
    open: &OpenWallet<'_>,
    min_confirmations: u32,
    include_unsafe: bool,
) -> Vec<WalletCoin> {
    let coins = open.book.unspent().filter(|coin| {
        !coin.is_immature
            && (coin.is_trusted || include_unsafe)
            && coin.confirmations >= min_confirmations
            && !open.kept_back.contains(&coin.outpoint)
    });
    coins.map(|coin| wallet_coin(&coin)).collect()
}

/// The wallet's coins at these places, also those that are kept back.
///
/// # Errors
/// -8 for one that the wallet does not have, or that something spends already.
pub(super) fn chosen_coins(
    open: &OpenWallet<'_>,
    points: &[OutPoint],
) -> Result<Vec<WalletCoin>, RpcError> {
    let find = |point: &OutPoint| {
        let coin = open.book.coin(point).filter(|coin| !coin.is_immature);
        coin.map(|coin| wallet_coin(&coin)).ok_or_else(|| {
            RpcError::invalid_parameter(format!(
                "{point} is not a coin that this wallet can spend now"
            ))
        })
    };
    points.iter().map(find).collect()
}

/// Chooses coins and builds the transaction; a new address for change is made only if there is change.
pub(super) fn prepare(
    context: &RpcContext,
    open: &mut OpenWallet<'_>,
    order: Order,
) -> Result<PreparedPayment, RpcError> {
    let fixed: BTreeSet<OutPoint> = order.fixed.iter().map(|coin| coin.outpoint).collect();
    let mut from = match order.add_inputs {
        true => spendable(open, order.min_confirmations, order.include_unsafe),
        false => Vec::new(),
    };
    from.retain(|coin| {
        let is_allowed = order.from.is_none_or(|from| from == coin.coin.pubkey_hash);
        is_allowed && !fixed.contains(&coin.outpoint)
    });
    let confirmed = from.iter().filter(|coin| coin.confirmations > 0);
    let confirmed: Vec<WalletCoin> = confirmed.copied().collect();
    let change = order.change.or(order.from);
    let payment = Payment {
        fee_payers: order.fee_payers,
        change_position: order.change_position,
        fixed: order.fixed,
        lock_time: order.lock_time,
        least_fee: order.least_fee,
        ..Payment::new(
            order.recipients,
            order.fee_rate,
            change.unwrap_or(PubkeyHash::ZERO),
            confirmed,
        )
    };
    let mut prepared = match wallet::prepare(&payment) {
        // With the wallet's own unconfirmed change, too.
        Err(PaymentError::NotEnoughFunds { .. }) => wallet::prepare(&Payment { from, ..payment })?,
        other => other?,
    };
    if let (Some(at), None) = (prepared.change_position, change) {
        let hash = open.wallet.new_change_address(context.spec().coin_type)?;
        if let Some(output) = prepared.tx.outputs.get_mut(at) {
            output.script_pubkey = Script::p2pkh(&hash);
        }
    }
    Ok(prepared)
}

/// Signs a payment, gives it to the mempool, and notes it.
pub(super) fn send(
    context: &RpcContext,
    open: &mut OpenWallet<'_>,
    prepared: PreparedPayment,
    note: Note,
) -> Result<SignedPayment, RpcError> {
    let key_for = |hash: &PubkeyHash| open.wallet.secret_key_for(hash);
    let signed = wallet::sign_prepared(context.spec(), prepared, key_for)?;
    let tx = Arc::new(signed.tx.clone());
    let sent = context
        .mempool
        .submit_blocking(Arc::clone(&tx), TxSource::Local);
    sent.map_err(|error| {
        let reason = error.reject_reason();
        let message = format!("the transaction was rejected: {reason} ({error})");
        RpcError::new(code::WALLET_ERROR, message)
    })?;
    note_sent(context, open, &tx, note);
    Ok(signed)
}

/// Takes a payment that is in the mempool into the wallet's file and book.
pub(super) fn note_sent(
    context: &RpcContext,
    open: &mut OpenWallet<'_>,
    tx: &Transaction,
    note: Note,
) {
    let (txid, now) = (tx.txid(), unix_now());
    let coin_type = context.spec().coin_type;
    let wallet = &*open.wallet;
    let owns = |hash: &PubkeyHash| wallet.watches(coin_type, hash);
    open.book.seen(tx, txid, now, &owns);
    open.book.sent(tx, txid, now, false, &owns);
    let sent = Outgoing {
        tx: tx.clone(),
        txid,
        time: now,
        abandoned: false,
        comment: note.comment,
        to: note.to,
        replaces: note.replaces,
        replaced_by: None,
    };
    let book = &*open.book;
    let is_buried = |txid: &Txid| {
        let known = book.transaction(txid);
        known.is_some_and(|tx| book.confirmations(tx).abs() >= BURIED)
    };
    let chain = context.spec().chain_id();
    if let Err(error) = open.wallet.note_outgoing(chain, &sent, is_buried) {
        // It is sent, so this is no failure of the payment; without the note it is not sent again after a restart.
        tracing::warn!(%txid, %error, "a payment that was sent could not be noted in the wallet's file");
    }
}

/// Fails where nothing can be signed now.
pub(super) fn check_unlocked(open: &OpenWallet<'_>) -> Result<(), RpcError> {
    if !open.wallet.has_private_keys() {
        let message = "Error: Private keys are disabled for this wallet";
        return Err(RpcError::new(code::WALLET_ERROR, message));
    }
    match open.wallet.is_locked() {
        true => Err(WalletError::Locked.into()),
        false => Ok(()),
    }
}

/// Whether the wallet's payment waits in the mempool.
pub(super) fn is_waiting(open: &OpenWallet<'_>, txid: &Txid) -> bool {
    let place = open.book.transaction(txid).map(|tx| tx.place);
    place == Some(Place::Mempool)
}
