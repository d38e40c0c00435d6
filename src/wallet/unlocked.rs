//! The secrets of a wallet while it is unlocked.

use std::collections::BTreeMap;
use std::path::Path;

use zeroize::Zeroizing;

use crate::keys::SecretKey;
use crate::primitives::PubkeyHash;

use super::error::WalletError;
use super::file::{AddressRecord, WalletFile};
use super::hd::{self, AccountKey};
use super::phrase::Entropy;

/// The secrets of an unlocked wallet; each part wipes itself.
pub(super) struct Unlocked {
    pub(super) entropy: Entropy,
    seed: Zeroizing<[u8; 64]>,
    accounts: BTreeMap<u32, AccountKey>,
}

impl Unlocked {
    /// Stretches the phrase into the seed (some milliseconds).
    pub(super) fn new(entropy: Entropy) -> Self {
        let seed = entropy.seed();
        Self {
            entropy,
            seed,
            accounts: BTreeMap::new(),
        }
    }

    /// The key of a coin type's account, derived once.
    pub(super) fn account(&mut self, coin_type: u32) -> Result<&AccountKey, WalletError> {
        if !self.accounts.contains_key(&coin_type) {
            let key = AccountKey::derive(&self.seed, coin_type)?;
            self.accounts.insert(coin_type, key);
        }
        self.accounts
            .get(&coin_type)
            .ok_or(WalletError::Derivation { coin_type })
    }

    /// Derives the accounts of a file and checks that its clear part belongs to this seed: the extended public keys, and
    /// those addresses that `is_new` says were not checked before.
    pub(super) fn check(
        &mut self,
        file: &WalletFile,
        path: &Path,
        is_new: impl Fn(&PubkeyHash) -> bool,
    ) -> Result<(), WalletError> {
        if self.id()? != file.id {
            let what = "its id is not that of its secret".to_owned();
            return Err(WalletError::Corrupt {
                path: path.to_owned(),
                what,
            });
        }
        for account in &file.accounts {
            self.account(account.coin_type)?;
        }
        file.check_accounts(path, is_new, |coin_type| self.accounts.get(&coin_type))
    }

    /// Which wallet this secret belongs to.
    pub(super) fn id(&self) -> Result<PubkeyHash, WalletError> {
        hd::wallet_id(&self.seed)
    }

    /// The private key of an address of an account that [`check`](Self::check) or [`account`](Self::account) saw.
    pub(super) fn secret_key(
        &self,
        coin_type: u32,
        record: &AddressRecord,
    ) -> Result<SecretKey, WalletError> {
        let account = self.accounts.get(&coin_type);
        account
            .ok_or(WalletError::Derivation { coin_type })?
            .secret_key(record.branch(), record.index)
    }
}
