//! One transaction of the wallet.

use super::{Position, UNCONFIRMED};
use crate::primitives::{Amount, BlockHash, Coin, OutPoint, PubkeyHash, Transaction, Txid};

/// Where a transaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the chain.
    Block {
        /// The block.
        hash: BlockHash,
        /// Its height.
        height: u32,
        /// The place in it.
        index: u32,
        /// Its time.
        time: u32,
    },
    /// In the mempool.
    Mempool,
    /// Nowhere, although the wallet sent it: it was evicted, expired or replaced. Its coins stay reserved.
    Sent,
    /// Nowhere, and given up.
    Abandoned,
    /// A block of the chain spends what it spends.
    Conflicted {
        /// That block and its height.
        with: Option<(BlockHash, u32)>,
    },
}

impl Place {
    /// Whether it is in the chain.
    #[must_use]
    pub const fn is_confirmed(&self) -> bool {
        matches!(self, Self::Block { .. })
    }

    /// Whether what it spends is not to be spent by another payment.
    pub(super) const fn holds_coins(&self) -> bool {
        matches!(self, Self::Mempool | Self::Sent)
    }

    /// The block that it is in.
    pub(super) const fn block(&self) -> Option<(BlockHash, u32)> {
        match self {
            Self::Block { hash, height, .. } => Some((*hash, *height)),
            Self::Mempool | Self::Sent | Self::Abandoned | Self::Conflicted { .. } => None,
        }
    }
}

/// An output of a transaction of the wallet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Payee {
    /// Its place in the transaction.
    pub vout: u32,
    /// Whom it pays.
    pub hash: PubkeyHash,
    /// How much.
    pub value: Amount,
}

impl Payee {
    pub(super) const fn of(point: &OutPoint, coin: &Coin) -> Self {
        Self {
            vout: point.vout,
            hash: coin.pubkey_hash,
            value: coin.value,
        }
    }
}

/// A transaction that pays the wallet or spends its coins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalletTx {
    /// Its id.
    pub txid: Txid,
    /// Where it is.
    pub place: Place,
    /// When it was first seen, in seconds since 1970; of one that was seen in a block only, the block's time.
    pub seen: u64,
    /// Whether it made new coins.
    pub is_coinbase: bool,
    /// Whether this wallet sent it, as its file says.
    pub is_own: bool,
    /// Outputs to the wallet.
    pub credits: Vec<Payee>,
    /// The coins of the wallet that it spends.
    pub debits: Vec<(OutPoint, Coin)>,
    /// Outputs to others, if it spends coins of the wallet.
    pub payees: Vec<Payee>,
    /// What the miner gets, if all it spends is the wallet's.
    pub fee: Option<Amount>,
    pub(super) position: Position,
}

impl WalletTx {
    pub(super) fn new(
        tx: &Transaction,
        txid: Txid,
        place: Place,
        credits: Vec<Payee>,
        debits: Vec<(OutPoint, Coin)>,
    ) -> Self {
        let is_foreign = |payee: &Payee| !credits.iter().any(|credit| credit.vout == payee.vout);
        let payees = match debits.is_empty() {
            true => Vec::new(),
            false => crate::primitives::coins_of(tx, txid, UNCONFIRMED, false)
                .map(|(point, coin)| Payee::of(&point, &coin))
                .filter(is_foreign)
                .collect(),
        };
        let spent = Amount::checked_sum(debits.iter().map(|(_, coin)| coin.value));
        let outputs = tx.outputs.iter().map(|output| output.value.check().ok());
        let made = outputs
            .collect::<Option<Vec<_>>>()
            .and_then(Amount::checked_sum);
        let all_ours = debits.len() == tx.inputs.len();
        let fee = spent
            .zip(made)
            .filter(|_| all_ours)
            .and_then(|(spent, made)| spent.checked_sub(made));
        let seen = match place {
            Place::Block { time, .. } => u64::from(time),
            Place::Mempool | Place::Sent | Place::Abandoned | Place::Conflicted { .. } => 0,
        };
        Self {
            txid,
            place,
            seen,
            is_coinbase: tx.is_coinbase(),
            is_own: false,
            credits,
            debits,
            payees,
            fee,
            position: (UNCONFIRMED, 0),
        }
    }

    /// What the wallet got by it, in base units: less than nothing where it paid. Without the fee.
    #[must_use]
    pub fn balance_change(&self) -> i128 {
        let credit: u64 = self.credits.iter().map(|credit| credit.value.units()).sum();
        let debit: u64 = self.debits.iter().map(|(_, coin)| coin.value.units()).sum();
        i128::from(credit) - i128::from(debit)
    }
}
