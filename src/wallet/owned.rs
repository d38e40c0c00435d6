//! One address of the wallet, as its users see it.

use crate::primitives::PubkeyHash;

use super::file::AddressRecord;
use super::hd::{self, Branch};

/// One address of the wallet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedAddress {
    /// What the address shows; the chain spec's version byte makes it a text.
    pub hash: PubkeyHash,
    /// BIP44 coin type of the networks it belongs to.
    pub coin_type: u32,
    /// For being paid, or for change.
    pub branch: Branch,
    /// Last level of the path.
    pub index: u32,
    /// Unix time in seconds when it was handed out.
    pub created: u64,
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
        }
    }

    /// The BIP32 path, as `m/44'/1'/0'/0/7`.
    #[must_use]
    pub fn path(&self) -> String {
        hd::path(self.coin_type, self.branch, self.index)
    }

    /// Whether it was made for change.
    #[must_use]
    pub fn is_change(&self) -> bool {
        self.branch == Branch::Change
    }
}
