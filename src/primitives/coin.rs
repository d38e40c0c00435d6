//! Coins: unspent outputs, ways to look them up, and reversible changes of the set of them.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::amount::Amount;
use super::hash::{PubkeyHash, Txid};
use super::transaction::{OutPoint, Transaction};

/// An unspent output and what the rules need to know of its origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coin {
    /// The amount.
    pub value: Amount,
    /// Whose key may spend it.
    #[serde(with = "key_hash_bytes")]
    pub pubkey_hash: PubkeyHash,
    /// The height of the block that made it.
    pub height: u32,
    /// Whether a coinbase made it, so that it must mature.
    pub is_coinbase: bool,
}

/// The coins that the outputs of `tx`, of id `txid`, become in a block at `height`, in the order of the outputs.
///
/// An output that is not P2PKH never becomes a coin; only the first block of regtest has one.
pub fn coins_of(
    tx: &Transaction,
    txid: Txid,
    height: u32,
    is_coinbase: bool,
) -> impl Iterator<Item = (OutPoint, Coin)> {
    (0..).zip(&tx.outputs).filter_map(move |(vout, output)| {
        let coin = Coin {
            value: output.value.check().ok()?,
            pubkey_hash: output.script_pubkey.as_p2pkh()?,
            height,
            is_coinbase,
        };
        Some((OutPoint { txid, vout }, coin))
    })
}

/// Key hashes as 20 raw bytes in records on disk.
mod key_hash_bytes {
    use super::PubkeyHash;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(hash: &PubkeyHash, serializer: S) -> Result<S::Ok, S::Error> {
        hash.to_bytes().serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PubkeyHash, D::Error> {
        <[u8; 20]>::deserialize(deserializer).map(PubkeyHash::from_bytes)
    }
}

/// A set of coins that can be looked up without failing: callers fetch what they will ask for beforehand.
pub trait UtxoView {
    /// The coin, if it is unspent.
    fn coin(&self, outpoint: &OutPoint) -> Option<Coin>;
}

impl UtxoView for HashMap<OutPoint, Coin> {
    fn coin(&self, outpoint: &OutPoint) -> Option<Coin> {
        self.get(outpoint).copied()
    }
}

/// A change of the set of coins: what is spent and what is created.
///
/// # Invariants
/// No coin is in both halves: one that is created and spent within the change is in neither. An outpoint may be in both with
/// different coins (a transaction that a reorg moves to another height), so the spent half is applied first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UtxoDiff {
    spent: HashMap<OutPoint, Coin>,
    created: HashMap<OutPoint, Coin>,
}

impl UtxoDiff {
    /// Records that a coin is made.
    pub fn create(&mut self, outpoint: OutPoint, coin: Coin) {
        // A coin that this change spends and makes again (a disconnected block connected anew) is unchanged.
        if self.spent.get(&outpoint) == Some(&coin) {
            self.spent.remove(&outpoint);
        } else {
            self.created.insert(outpoint, coin);
        }
    }

    /// Records that a coin is spent.
    pub fn spend(&mut self, outpoint: OutPoint, coin: Coin) {
        if self.created.remove(&outpoint).is_none() {
            self.spent.insert(outpoint, coin);
        }
    }

    /// Records all of a later change.
    pub fn merge(&mut self, later: &Self) {
        for (outpoint, coin) in &later.spent {
            self.spend(*outpoint, *coin);
        }
        for (outpoint, coin) in &later.created {
            self.create(*outpoint, *coin);
        }
    }

    /// The coin after this change, where `below` is the set it applies to.
    pub fn coin_over(&self, outpoint: &OutPoint, below: &impl UtxoView) -> Option<Coin> {
        match self.created.get(outpoint) {
            Some(coin) => Some(*coin),
            None if self.spent.contains_key(outpoint) => None,
            None => below.coin(outpoint),
        }
    }

    /// What this change says of a coin: created, spent, or nothing.
    pub fn get(&self, outpoint: &OutPoint) -> Option<Option<Coin>> {
        match self.created.get(outpoint) {
            Some(coin) => Some(Some(*coin)),
            None => self.spent.contains_key(outpoint).then_some(None),
        }
    }

    /// The coins that are gone after the change.
    pub fn spent(&self) -> impl Iterator<Item = (&OutPoint, &Coin)> {
        self.spent.iter()
    }

    /// The coins that are new after the change.
    pub fn created(&self) -> impl Iterator<Item = (&OutPoint, &Coin)> {
        self.created.iter()
    }
}

/// What a block spent, so that it can be disconnected: the coins of all inputs but the coinbase's, in block order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockUndo {
    /// The spent coins.
    pub spent: Vec<Coin>,
}
