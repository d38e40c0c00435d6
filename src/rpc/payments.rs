//! Balances and payments: the wallet's ledger over the chain and the mempool.

use std::sync::Arc;

use crate::mempool::TxSource;
use crate::primitives::{Amount, PubkeyHash, Transaction, Txid};
use crate::wallet::{
    self, Ledger, LedgerContext, Payment, PaymentError, SignedPayment, Target, Wallet, WalletCoin,
    WalletError,
};

use super::context::RpcContext;
use super::error::{RpcError, code};
use super::methods::stored;
use super::one_state::at_one_state;

/// What shall be paid.
pub(super) struct Order {
    /// The only address whose coins may be used, which also gets the change; or `None` for the whole wallet, with the change
    /// on a new address.
    pub(super) from: Option<PubkeyHash>,
    /// Who is paid.
    pub(super) to: PubkeyHash,
    /// How much.
    pub(super) amount: Amount,
    /// Base units per byte.
    pub(super) fee_rate: u64,
}

/// The ledger of some addresses, all at one block unless those come faster than it is read. The mempool is read first: what is
/// mined in between then counts once, and as mined.
pub(super) fn ledger(context: &RpcContext, addresses: &[PubkeyHash]) -> Result<Ledger, RpcError> {
    let reader = context.reader();
    let ((pending, coins), stats) = at_one_state(
        // Written together with the coins, while the tip is told a moment later.
        || stored(reader.coin_stats()),
        || {
            let pending: Vec<(Txid, Arc<Transaction>)> = context.mempool.transactions_blocking();
            let mut coins = Vec::new();
            for address in addresses {
                coins.extend(stored(reader.address_coins(address))?);
            }
            Ok((pending, coins))
        },
    )?;
    let ledger_context = LedgerContext {
        tip_height: stats.height,
        coinbase_maturity: context.spec().coinbase_maturity,
    };
    let owned: std::collections::HashSet<&PubkeyHash> = addresses.iter().collect();
    let pending = pending.iter().map(|(txid, tx)| (*txid, &**tx));
    Ok(Ledger::new(
        ledger_context,
        |hash| owned.contains(hash),
        coins,
        pending,
    )?)
}

/// All addresses of the wallet on this network, those for change included.
pub(super) fn wallet_addresses(context: &RpcContext, wallet: &Wallet) -> Vec<PubkeyHash> {
    let addresses = wallet.addresses(context.spec().coin_type);
    addresses.into_iter().map(|address| address.hash).collect()
}

/// Pays, and returns when the mempool has taken the transaction.
pub(super) fn pay(context: &RpcContext, order: &Order) -> Result<SignedPayment, RpcError> {
    context.wallet.with(|wallet| {
        if wallet.is_locked() {
            return Err(WalletError::Locked.into());
        }
        let addresses = match order.from {
            Some(from) if !wallet.owns(&from) => {
                let message = format!("{} is not an address of this wallet", context.address(from));
                return Err(RpcError::new(code::INVALID_ADDRESS_OR_KEY, message));
            }
            Some(from) => vec![from],
            None => wallet_addresses(context, wallet),
        };
        let ledger = ledger(context, &addresses)?;
        let (coins, needs_change) = choose(&ledger, order)?;
        let change = match order.from {
            Some(from) => from,
            None if needs_change => wallet.new_change_address(context.spec().coin_type)?,
            // Not used: there is no change output.
            None => order.to,
        };
        let payment = Payment {
            recipients: vec![(order.to, order.amount)],
            fee_rate: order.fee_rate,
            change,
            from: coins,
            allow_absurd_fee: false,
        };
        let signed = wallet.pay(context.spec(), &payment)?;
        let sent = context
            .mempool
            .submit_blocking(signed.tx.clone(), TxSource::Local);
        sent.map_err(|error| {
            let message = format!(
                "the transaction was rejected: {} ({error})",
                error.reject_reason()
            );
            RpcError::new(code::WALLET_ERROR, message)
        })?;
        Ok(signed)
    })
}

/// The coins to choose from, and whether there will be change: confirmed coins if they suffice, else with the wallet's own
/// pending change.
fn choose(ledger: &Ledger, order: &Order) -> Result<(Vec<WalletCoin>, bool), PaymentError> {
    let target = Target {
        amount: order.amount,
        outputs: 1,
        fee_rate: order.fee_rate,
    };
    let confirmed = ledger.spendable();
    let (coins, selection) = match wallet::select_coins(confirmed, &target) {
        Err(PaymentError::NotEnoughFunds { .. }) => {
            let all = ledger.spendable_with_own_change();
            let selection = wallet::select_coins(&all, &target)?;
            (all, selection)
        }
        other => (confirmed.to_vec(), other?),
    };
    Ok((coins, selection.change.is_some()))
}
