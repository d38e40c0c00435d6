//! What an open wallet is used for: addresses handed out, recognised, and spent from.

use crate::consensus::ChainSpec;
use crate::keys::SecretKey;
use crate::primitives::{PubkeyHash, unix_now};

use super::error::WalletError;
use super::file::{Account, AddressRecord, WalletFile};
use super::hd::{self, Branch};
use super::owned::OwnedAddress;
use super::payment::{self, Payment, PaymentError, SignedPayment};
use super::store::Wallet;
use super::unlocked::Unlocked;

/// How many unused addresses in a row end the search for used ones (BIP44, "address gap limit").
pub const GAP_LIMIT: u32 = 20;

/// Addresses and keys.
impl Wallet {
    /// Hands out a new address to be paid to on networks of this coin type. It is on disk when this returns.
    ///
    /// # Errors
    /// [`WalletError::LockedForNewNetwork`] for the first address of a coin type while locked, or why the disk refused.
    pub fn new_address(&mut self, coin_type: u32) -> Result<PubkeyHash, WalletError> {
        self.next_address(coin_type, Branch::External)
    }

    /// Hands out a new address for change.
    ///
    /// # Errors
    /// As [`new_address`](Self::new_address).
    pub fn new_change_address(&mut self, coin_type: u32) -> Result<PubkeyHash, WalletError> {
        self.next_address(coin_type, Branch::Change)
    }

    fn next_address(&mut self, coin_type: u32, branch: Branch) -> Result<PubkeyHash, WalletError> {
        self.modify(|file, unlocked| account(file, unlocked, coin_type)?.add(branch, unix_now()))
    }

    /// After [`restore`](Self::restore): takes up every address of a coin type up to the last one that `is_used` says
    /// was ever paid, on each branch, until [`GAP_LIMIT`] in a row are unused. Returns how many were added.
    ///
    /// An address beyond such a gap is not found; call again with knowledge of it, or hand out addresses up to it.
    ///
    /// # Errors
    /// As [`new_address`](Self::new_address).
    pub fn discover(
        &mut self,
        coin_type: u32,
        mut is_used: impl FnMut(&PubkeyHash) -> bool,
    ) -> Result<usize, WalletError> {
        self.modify(|file, unlocked| {
            let account = account(file, unlocked, coin_type)?;
            let before = account.addresses.len();
            for branch in Branch::ALL {
                let first = account.next(branch);
                let found = used_beyond(account, branch, &mut is_used)?;
                for _ in first..found {
                    account.add(branch, unix_now())?;
                }
            }
            Ok(account.addresses.len() - before)
        })
    }

    /// The addresses of a coin type, those for change included, in the order of their making.
    #[must_use]
    pub fn addresses(&self, coin_type: u32) -> Vec<OwnedAddress> {
        let mut accounts = self.file.accounts.iter();
        accounts
            .find(|account| account.coin_type == coin_type)
            .map_or_else(Vec::new, |account| {
                account
                    .addresses
                    .iter()
                    .map(|record| OwnedAddress::new(coin_type, record))
                    .collect()
            })
    }

    /// Whether the wallet handed out this address, on any network.
    #[must_use]
    pub fn owns(&self, hash: &PubkeyHash) -> bool {
        self.places.contains_key(hash)
    }

    /// What the wallet knows about an address of its own.
    #[must_use]
    pub fn address(&self, hash: &PubkeyHash) -> Option<OwnedAddress> {
        self.place(hash)
            .map(|(account, record)| OwnedAddress::new(account.coin_type, record))
    }

    /// Chooses coins, builds the transaction and signs it; see [`build_and_sign`](super::build_and_sign). Changes
    /// nothing: the caller sends it, and sees to it that the next payment is not built from the same coins.
    ///
    /// # Errors
    /// [`PaymentError`] says what is wrong with the payment, or that the wallet is locked.
    pub fn pay(&self, spec: &ChainSpec, payment: &Payment) -> Result<SignedPayment, PaymentError> {
        payment::build_and_sign(spec, payment, |hash| self.secret_key_for(hash))
    }

    /// The private key of an address of this wallet; `None` if it is not its own.
    pub(super) fn secret_key_for(
        &self,
        hash: &PubkeyHash,
    ) -> Result<Option<SecretKey>, WalletError> {
        let Some((account, record)) = self.place(hash) else {
            return Ok(None);
        };
        let unlocked = self.unlocked.as_ref().ok_or(WalletError::Locked)?;
        let key = unlocked.secret_key(account.coin_type, record)?;
        if key.public_key().pubkey_hash() != *hash {
            return Err(WalletError::Corrupt {
                path: self.path.clone(),
                what: format!("the address at index {} is not this wallet's", record.index),
            });
        }
        Ok(Some(key))
    }

    fn place(&self, hash: &PubkeyHash) -> Option<(&Account, &AddressRecord)> {
        let (account, address) = *self.places.get(hash)?;
        let account = self.file.accounts.get(account)?;
        Some((account, account.addresses.get(address)?))
    }
}

/// The account of a coin type, begun if there is none and the wallet is unlocked.
fn account<'a>(
    file: &'a mut WalletFile,
    unlocked: Option<&mut Unlocked>,
    coin_type: u32,
) -> Result<&'a mut Account, WalletError> {
    let at = file
        .accounts
        .iter()
        .position(|account| account.coin_type == coin_type);
    let at = match at {
        Some(at) => at,
        None => {
            let unlocked = unlocked.ok_or(WalletError::LockedForNewNetwork { coin_type })?;
            let public = unlocked.account(coin_type)?.public();
            file.accounts.push(Account::new(coin_type, &public));
            file.accounts.len() - 1
        }
    };
    file.accounts
        .get_mut(at)
        .ok_or(WalletError::Derivation { coin_type })
}

/// One more than the last used index of a branch, or the next index if none beyond it is used.
fn used_beyond(
    account: &Account,
    branch: Branch,
    is_used: &mut impl FnMut(&PubkeyHash) -> bool,
) -> Result<u32, WalletError> {
    let failed = WalletError::Derivation {
        coin_type: account.coin_type,
    };
    let Some(hash) = account.hashes(branch) else {
        return Err(failed);
    };
    let mut end = account.next(branch);
    let mut index = end;
    while index < hd::INDEX_END && index - end < GAP_LIMIT {
        let Some(hash) = hash(index) else {
            return Err(failed);
        };
        index += 1;
        if is_used(&hash) {
            end = index;
        }
    }
    Ok(end)
}
