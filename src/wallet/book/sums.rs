//! What the book says: balances, coins, history.

use std::collections::HashMap;

use super::{Book, Place, WalletTx};
use crate::primitives::{Amount, Coin, OutPoint, Txid};

/// Sums of a wallet, as Bitcoin Core sorts them (`getbalances`). Each coin is in one of them at most.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BookBalances {
    /// Can be sent now: confirmed and mature coins, and the wallet's own unconfirmed change.
    pub trusted: Amount,
    /// Unconfirmed money from others.
    pub pending: Amount,
    /// Mined and not old enough.
    pub immature: Amount,
}

/// An output to the wallet that nothing spends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedCoin {
    /// Where it is.
    pub outpoint: OutPoint,
    /// What it is; of an unconfirmed one, the height is that of the next block.
    pub coin: Coin,
    /// Blocks on top of it and its own; 0 in the mempool.
    pub confirmations: u32,
    /// Whether it is confirmed, or change of the wallet's own payments.
    pub is_trusted: bool,
    /// Whether it was mined and is not old enough.
    pub is_immature: bool,
}

impl Book {
    /// The sums. Takes time by what is young or unconfirmed, not by what the wallet has.
    #[must_use]
    pub fn balances(&self) -> BookBalances {
        // The oldest height that is too young.
        let first = self.tip.1.saturating_add(2).saturating_sub(self.maturity);
        let start = OutPoint {
            txid: Txid::ZERO,
            vout: 0,
        };
        let immature = self
            .mined
            .range((first, start)..)
            .filter(|((_, point), _)| !self.spenders.contains_key(point))
            .map(|(_, value)| value.units())
            .sum::<u64>();
        let (mut own, mut pending) = (0_u64, 0_u64);
        for coin in self.unconfirmed() {
            let sum = if coin.is_trusted {
                &mut own
            } else {
                &mut pending
            };
            *sum += coin.coin.value.units();
        }
        // A chain whose coins add up to more than can exist is refused before its blocks come here.
        let amount = |units| Amount::from_units(units).unwrap_or(Amount::MAX);
        BookBalances {
            trusted: amount((self.free - immature).saturating_add(own)),
            pending: amount(pending),
            immature: amount(immature),
        }
    }

    /// Every output to the wallet that nothing in chain or mempool spends: confirmed ones by outpoint, then unconfirmed ones.
    pub fn unspent(&self) -> impl Iterator<Item = ListedCoin> {
        let confirmed = self.coins.iter();
        confirmed
            .filter(|(point, _)| !self.spenders.contains_key(point))
            .map(|(point, coin)| self.listed(*point, *coin))
            .chain(self.unconfirmed())
    }

    /// A coin of the wallet that nothing spends.
    #[must_use]
    pub fn coin(&self, point: &OutPoint) -> Option<ListedCoin> {
        if self.spenders.contains_key(point) {
            return None;
        }
        match self.coins.get(point) {
            Some(coin) => Some(self.listed(*point, *coin)),
            None => self
                .unconfirmed()
                .into_iter()
                .find(|coin| coin.outpoint == *point),
        }
    }

    fn listed(&self, outpoint: OutPoint, coin: Coin) -> ListedCoin {
        ListedCoin {
            outpoint,
            coin,
            confirmations: self.confirmations_at(coin.height),
            is_trusted: true,
            is_immature: coin.is_coinbase && self.is_too_young(coin.height),
        }
    }

    /// Unspent outputs to the wallet of transactions in the mempool.
    fn unconfirmed(&self) -> Vec<ListedCoin> {
        let waiting = self.outside_chain().filter(|tx| tx.place == Place::Mempool);
        let mut trust = HashMap::new();
        let mut listed = Vec::new();
        for tx in waiting {
            for credit in &tx.credits {
                let outpoint = OutPoint {
                    txid: tx.txid,
                    vout: credit.vout,
                };
                if self.spenders.contains_key(&outpoint) {
                    continue;
                }
                listed.push(ListedCoin {
                    outpoint,
                    coin: Coin {
                        value: credit.value,
                        pubkey_hash: credit.hash,
                        height: self.tip.1.saturating_add(1),
                        is_coinbase: false,
                    },
                    confirmations: 0,
                    is_trusted: self.is_trusted(tx, &mut trust),
                    is_immature: false,
                });
            }
        }
        listed
    }

    /// Whether all that a waiting transaction spends is the wallet's, and so down to the chain: nobody else can take it back.
    fn is_trusted(&self, tx: &WalletTx, known: &mut HashMap<Txid, bool>) -> bool {
        // A mempool limits how many generations wait; a stack of our own needs no such limit.
        let mut open = vec![tx];
        let mut seen = Vec::new();
        while let Some(tx) = open.pop() {
            if tx.fee.is_none() || known.get(&tx.txid) == Some(&false) {
                known.insert(tx.txid, false);
                for txid in seen {
                    known.insert(txid, false);
                }
                return false;
            }
            if known.contains_key(&tx.txid) || seen.contains(&tx.txid) {
                continue;
            }
            seen.push(tx.txid);
            for (point, _) in &tx.debits {
                if self.coins.contains_key(point) {
                    continue;
                }
                match self.transactions.get(&point.txid) {
                    Some(parent) if parent.place == Place::Mempool => open.push(parent),
                    Some(parent) if parent.place.is_confirmed() => {}
                    Some(_) | None => return false,
                }
            }
        }
        for txid in seen {
            known.insert(txid, true);
        }
        true
    }

    /// Blocks from one of a height to the tip, both included; 0 for a height above it.
    #[must_use]
    pub fn confirmations_at(&self, height: u32) -> u32 {
        let above = self.tip.1.checked_sub(height);
        above.map_or(0, |above| above.saturating_add(1))
    }

    /// The confirmations of a transaction: below 0 if a block conflicts with it.
    #[must_use]
    pub fn confirmations(&self, tx: &WalletTx) -> i64 {
        match tx.place {
            Place::Block { height, .. } => i64::from(self.confirmations_at(height)),
            Place::Conflicted {
                with: Some((_, height)),
            } => -i64::from(self.confirmations_at(height)),
            Place::Mempool | Place::Sent | Place::Abandoned | Place::Conflicted { with: None } => 0,
        }
    }

    /// Whether a coin mined at a height cannot be spent in the next block.
    #[must_use]
    pub fn is_too_young(&self, height: u32) -> bool {
        self.confirmations_at(height) < self.maturity
    }

    /// A transaction of the wallet.
    #[must_use]
    pub fn transaction(&self, txid: &Txid) -> Option<&WalletTx> {
        self.transactions.get(txid)
    }

    /// How many transactions there are.
    #[must_use]
    pub fn transaction_count(&self) -> usize {
        self.transactions.len()
    }

    /// All transactions, the oldest first: those in the chain by their place, then the others in the order they were seen.
    pub fn history(&self) -> impl DoubleEndedIterator<Item = &WalletTx> {
        let ids = self.history.values();
        ids.filter_map(|txid| self.transactions.get(txid))
    }

    /// Those of them that are not in the chain or in a block above a height.
    pub fn history_above(&self, height: u32) -> impl DoubleEndedIterator<Item = &WalletTx> {
        let ids = self.history.range((height.saturating_add(1), 0)..);
        ids.filter_map(|(_, txid)| self.transactions.get(txid))
    }

    /// The waiting or sent transaction that spends an output to the wallet.
    #[must_use]
    pub fn spender(&self, point: &OutPoint) -> Option<Txid> {
        self.spenders.get(point).copied()
    }
}
