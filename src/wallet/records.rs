//! What a file of version 2 holds beside the addresses of its phrase: imported descriptors and payments that were sent.

use serde::{Deserialize, Serialize};

use crate::primitives::{ChainId, Decode, Transaction, Txid};

use super::descriptor::Descriptor;
use super::hd::{Branch, INDEX_END};

/// An imported descriptor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ImportRecord {
    /// BIP44 coin type of the networks that it belongs to.
    pub(super) coin_type: u32,
    /// The public form, the same on all networks.
    pub(super) descriptor: String,
    /// The private form, sealed under a key of the wallet's own, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) secret: Option<String>,
    /// The indexes that belong to the wallet; of a descriptor without range 0 and 1.
    pub(super) first: u32,
    pub(super) end: u32,
    /// The index that the next new address gets.
    pub(super) next: u32,
    /// Whether new addresses are made from it.
    pub(super) active: bool,
    /// Whether its addresses are for change.
    pub(super) change: bool,
    /// Unix time in seconds before which it was not used.
    pub(super) created: u64,
}

impl ImportRecord {
    pub(super) const fn branch(&self) -> Branch {
        if self.change {
            Branch::Change
        } else {
            Branch::External
        }
    }

    /// The descriptor; the file was checked when it was read.
    pub(super) fn parsed(&self) -> Option<Descriptor> {
        Descriptor::from_file(&self.descriptor)
    }

    pub(super) fn check(&self) -> Result<(), String> {
        let Some(descriptor) = self.parsed() else {
            return Err("an imported descriptor cannot be read".to_owned());
        };
        let range = self.first..=self.end;
        let range_is_right = match descriptor.is_ranged() {
            true => self.first < self.end && self.end <= INDEX_END,
            false => (self.first, self.end) == (0, 1) && !self.active,
        };
        if !range_is_right || !range.contains(&self.next) || self.coin_type >= INDEX_END {
            return Err("the range of an imported descriptor is none".to_owned());
        }
        match &self.secret {
            Some(sealed) if hex::decode(sealed).is_err() => {
                Err("a sealed private key is not hex".to_owned())
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// A payment that this wallet sent, kept until it is buried in the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OutgoingRecord {
    /// The network it was sent on.
    pub(super) chain: ChainId,
    /// The signed transaction in hex.
    pub(super) tx: String,
    /// Unix time in seconds.
    pub(super) time: u64,
    /// Given up: its coins may be spent again.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) abandoned: bool,
    /// What the payer noted.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) comment: String,
    /// Whom the payer noted.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) to: String,
    /// The payment that it takes the place of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) replaces: Option<Txid>,
    /// The payment that took its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) replaced_by: Option<Txid>,
}

impl OutgoingRecord {
    /// The transaction; the file was checked when it was read.
    pub(super) fn transaction(&self) -> Option<Transaction> {
        Transaction::from_bytes(&hex::decode(&self.tx).ok()?).ok()
    }
}

/// For serde: what is usual is not written.
#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks for a reference"
)]
pub(super) fn is_false(value: &bool) -> bool {
    !*value
}
