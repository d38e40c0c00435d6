//! The secrets of a wallet while it is unlocked.

use std::collections::BTreeMap;
use std::path::Path;

use zeroize::Zeroizing;

use crate::keys::SecretKey;
use crate::primitives::{PubkeyHash, sha256};

use super::descriptor::Descriptor;
use super::error::WalletError;
use super::file::{AddressRecord, WalletFile};
use super::hd::{self, AccountKey};
use super::phrase::Entropy;
use super::records::ImportRecord;
use super::seal;

/// What the key of imported secrets is derived with.
const IMPORTS: &[u8] = b"quarry wallet, imported keys";

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

    /// The private key of a coin type's account, if [`check`](Self::check) or [`account`](Self::account) saw it.
    pub(super) fn known_account(&self, coin_type: u32) -> Option<&AccountKey> {
        self.accounts.get(&coin_type)
    }

    /// Seals the private form of a descriptor for the file.
    pub(super) fn seal_import(
        &self,
        descriptor: &Descriptor,
    ) -> Result<Option<String>, WalletError> {
        let secret = descriptor.secret_to_file();
        secret
            .map(|secret| seal::seal_under(&self.import_key(), &secret, &descriptor.to_file()))
            .transpose()
    }

    /// The private form of an imported descriptor; `None` if it was not sealed by this wallet.
    pub(super) fn open_import(&self, record: &ImportRecord) -> Option<Descriptor> {
        let sealed = record.secret.as_ref()?;
        let text = seal::open_under(&self.import_key(), sealed, &record.descriptor)?;
        Descriptor::from_file(&text)
    }

    /// A key that follows from the phrase: who has the phrase has all, and a change of the passphrase need not touch imports.
    fn import_key(&self) -> Zeroizing<[u8; 32]> {
        let mut bytes = Zeroizing::new([0; IMPORTS.len() + 64]);
        bytes[..IMPORTS.len()].copy_from_slice(IMPORTS);
        bytes[IMPORTS.len()..].copy_from_slice(self.seed.as_slice());
        Zeroizing::new(sha256(bytes.as_slice()))
    }
}
