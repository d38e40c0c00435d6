//! What the wallet has: balances and spendable coins, computed from the chain's coins and the mempool.
//!
//! Pure: the same coins and transactions give the same ledger, whatever order they come in. It keeps no history, so a
//! reorganisation needs no repair: ask again.

use std::collections::{HashMap, HashSet};

use crate::primitives::{Amount, Coin, OutPoint, PubkeyHash, Transaction, Txid};

use super::select::WalletCoin;

/// The state of the chain that maturity is judged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LedgerContext {
    /// Height of the active tip.
    pub tip_height: u32,
    /// Confirmations that a mined coin needs before it can be spent, from the chain spec.
    pub coinbase_maturity: u32,
}

/// Sums by state; each coin counts in at most one of the first three and in `total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Balances {
    /// Confirmed, mature and not being spent: can be sent now.
    pub spendable: Amount,
    /// Mined and not old enough.
    pub immature: Amount,
    /// On the way in: outputs of mempool transactions to the wallet, its own change included.
    pub pending: Amount,
    /// On the way out: confirmed coins that mempool transactions spend. In none of the others.
    pub being_spent: Amount,
    /// Spendable, immature and pending: what is left when the mempool is mined.
    pub total: Amount,
}

/// The sums exceed what can exist: the coins do not come from one valid chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the wallet's coins add up to more than 21000000; the chain database is not sound")]
pub struct LedgerError;

/// The coins of some addresses, sorted by what can be done with them.
#[derive(Debug, Clone)]
pub struct Ledger {
    spendable: Vec<WalletCoin>,
    immature: Vec<WalletCoin>,
    being_spent: Vec<WalletCoin>,
    own_change: Vec<WalletCoin>,
    incoming: Vec<WalletCoin>,
    balances: Balances,
}

impl Ledger {
    /// Sorts the confirmed `coins` (others' are left out by `owns`) in the light of the mempool transactions `pending`
    /// (all, or those that touch the wallet).
    ///
    /// # Errors
    /// [`LedgerError`] if the sums overflow.
    pub fn new<'a>(
        context: LedgerContext,
        owns: impl Fn(&PubkeyHash) -> bool,
        coins: impl IntoIterator<Item = (OutPoint, Coin)>,
        pending: impl IntoIterator<Item = (Txid, &'a Transaction)>,
    ) -> Result<Self, LedgerError> {
        let confirmed: HashMap<OutPoint, Coin> = coins
            .into_iter()
            .filter(|(_, coin)| owns(&coin.pubkey_hash))
            .collect();
        let pool = Pool::new(context, owns, pending);
        let trusted = pool.trusted(&confirmed);

        let mut spendable = Vec::new();
        let mut immature = Vec::new();
        let mut being_spent = Vec::new();
        for (outpoint, coin) in &confirmed {
            let confirmations = confirmations(coin, context.tip_height);
            let coin = WalletCoin {
                outpoint: *outpoint,
                coin: *coin,
                confirmations,
            };
            if pool.spent.contains(outpoint) {
                being_spent.push(coin);
            } else if coin.coin.is_coinbase && confirmations < context.coinbase_maturity {
                immature.push(coin);
            } else {
                spendable.push(coin);
            }
        }
        // Chain and mempool are read one after the other: what was mined in between counts once.
        let unspent = pool.outputs.iter().filter(|(outpoint, _)| {
            !pool.spent.contains(outpoint) && !confirmed.contains_key(outpoint)
        });
        let (mut own_change, mut incoming): (Vec<_>, Vec<_>) = unspent
            .map(|(outpoint, coin)| WalletCoin {
                outpoint: *outpoint,
                coin: *coin,
                confirmations: 0,
            })
            .partition(|coin| trusted.contains(&coin.outpoint.txid));
        for list in [
            &mut spendable,
            &mut immature,
            &mut being_spent,
            &mut own_change,
            &mut incoming,
        ] {
            list.sort_by_key(|coin| (coin.coin.height, coin.outpoint));
        }
        let mut balances = Balances {
            spendable: sum(&spendable)?,
            immature: sum(&immature)?,
            pending: sum(own_change.iter().chain(&incoming))?,
            being_spent: sum(&being_spent)?,
            total: Amount::ZERO,
        };
        let left = [balances.spendable, balances.immature, balances.pending];
        balances.total = Amount::checked_sum(left).ok_or(LedgerError)?;
        Ok(Self {
            spendable,
            immature,
            being_spent,
            own_change,
            incoming,
            balances,
        })
    }

    /// The sums.
    #[must_use]
    pub fn balances(&self) -> &Balances {
        &self.balances
    }

    /// Confirmed, mature coins that no mempool transaction spends, oldest first.
    #[must_use]
    pub fn spendable(&self) -> &[WalletCoin] {
        &self.spendable
    }

    /// The spendable coins and the wallet's own pending change: outputs of mempool transactions all of whose inputs
    /// are the wallet's, so that nobody else can take them back.
    #[must_use]
    pub fn spendable_with_own_change(&self) -> Vec<WalletCoin> {
        self.spendable
            .iter()
            .chain(&self.own_change)
            .copied()
            .collect()
    }

    /// Mined coins that are too young.
    #[must_use]
    pub fn immature(&self) -> &[WalletCoin] {
        &self.immature
    }

    /// Confirmed coins that mempool transactions spend.
    #[must_use]
    pub fn being_spent(&self) -> &[WalletCoin] {
        &self.being_spent
    }

    /// Unspent outputs to the wallet in the mempool, its own change included.
    #[must_use]
    pub fn pending(&self) -> Vec<WalletCoin> {
        self.own_change
            .iter()
            .chain(&self.incoming)
            .copied()
            .collect()
    }
}

/// The mempool as the wallet sees it.
struct Pool {
    /// What each transaction spends.
    inputs: HashMap<Txid, Vec<OutPoint>>,
    /// Everything that any of them spends.
    spent: HashSet<OutPoint>,
    /// Outputs to the wallet, spent or not.
    outputs: HashMap<OutPoint, Coin>,
}

impl Pool {
    fn new<'a>(
        context: LedgerContext,
        owns: impl Fn(&PubkeyHash) -> bool,
        pending: impl IntoIterator<Item = (Txid, &'a Transaction)>,
    ) -> Self {
        let mut pool = Self {
            inputs: HashMap::new(),
            spent: HashSet::new(),
            outputs: HashMap::new(),
        };
        for (txid, tx) in pending {
            let inputs: Vec<_> = tx
                .inputs
                .iter()
                .map(|input| input.previous_output)
                .collect();
            pool.spent.extend(&inputs);
            pool.inputs.insert(txid, inputs);
            for (vout, output) in (0_u32..).zip(&tx.outputs) {
                // The mempool holds only P2PKH outputs of valid amounts; anything else is not ours to count.
                let (Some(pubkey_hash), Ok(value)) =
                    (output.script_pubkey.as_p2pkh(), output.value.check())
                else {
                    continue;
                };
                if owns(&pubkey_hash) {
                    let height = context.tip_height.saturating_add(1);
                    let coin = Coin {
                        value,
                        pubkey_hash,
                        height,
                        is_coinbase: false,
                    };
                    pool.outputs.insert(OutPoint { txid, vout }, coin);
                }
            }
        }
        pool
    }

    /// Transactions that spend only the wallet's own coins, directly or through other such transactions. Each pass
    /// settles one more generation; a mempool limits those.
    fn trusted(&self, confirmed: &HashMap<OutPoint, Coin>) -> HashSet<Txid> {
        let mut trusted = HashSet::new();
        loop {
            let known = trusted.len();
            for (txid, inputs) in &self.inputs {
                let ours = |point: &OutPoint| {
                    confirmed.contains_key(point)
                        || (self.outputs.contains_key(point) && trusted.contains(&point.txid))
                };
                if !trusted.contains(txid) && !inputs.is_empty() && inputs.iter().all(ours) {
                    trusted.insert(*txid);
                }
            }
            if trusted.len() == known {
                return trusted;
            }
        }
    }
}

/// Blocks from the coin's own to the tip. A coin of the tip has 1, one from above it (the tip moved meanwhile) 0.
fn confirmations(coin: &Coin, tip_height: u32) -> u32 {
    tip_height
        .checked_sub(coin.height)
        .map_or(0, |above| above.saturating_add(1))
}

fn sum<'a>(coins: impl IntoIterator<Item = &'a WalletCoin>) -> Result<Amount, LedgerError> {
    Amount::checked_sum(coins.into_iter().map(|coin| coin.coin.value)).ok_or(LedgerError)
}
