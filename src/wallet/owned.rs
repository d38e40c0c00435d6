//! One address of the wallet, as its users see it.

use crate::primitives::PubkeyHash;

use super::file::AddressRecord;
use super::hd::{self, Branch};
use super::records::ImportRecord;

/// One address of the wallet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedAddress {
    /// What the address shows; the chain spec's version byte makes it a text.
    pub hash: PubkeyHash,
    /// BIP44 coin type of the networks it belongs to.
    pub coin_type: u32,
    /// For being paid, or for change.
    pub branch: Branch,
    /// Last level of the path; of an imported descriptor, its index there.
    pub index: u32,
    /// Unix time in seconds when it was handed out, or before which it was not used.
    pub created: u64,
    /// Whether it comes from an imported descriptor and not from the phrase.
    pub is_imported: bool,
}

impl OwnedAddress {
    pub(super) fn new(coin_type: u32, record: &AddressRecord) -> Self {
        let AddressRecord {
            hash,
            index,
            created,
            ..
        } = *record;
        Self {
            hash,
            coin_type,
            branch: record.branch(),
            index,
            created,
            is_imported: false,
        }
    }

    pub(super) const fn imported(hash: PubkeyHash, record: &ImportRecord, index: u32) -> Self {
        Self {
            hash,
            coin_type: record.coin_type,
            branch: record.branch(),
            index,
            created: record.created,
            is_imported: true,
        }
    }

    /// The BIP32 path, as `m/44'/1'/0'/0/7`, of an address of the phrase.
    #[must_use]
    pub fn path(&self) -> Option<String> {
        let from_phrase = !self.is_imported;
        from_phrase.then(|| hd::path(self.coin_type, self.branch, self.index))
    }

    /// Whether it was made for change.
    #[must_use]
    pub fn is_change(&self) -> bool {
        self.branch == Branch::Change
    }
}
