//! What an open wallet is used for: addresses handed out, recognised, and spent from.

use crate::consensus::ChainSpec;
use crate::keys::SecretKey;
use crate::primitives::{PubkeyHash, unix_now};

use super::descriptor::{DerivedKey, Descriptor};
use super::error::WalletError;
use super::file::{Account, WalletFile};
use super::hd::{self, Branch};
use super::owned::OwnedAddress;
use super::payment::{self, Payment, PaymentError, SignedPayment};
use super::places::Place;
use super::store::Wallet;
use super::unlocked::Unlocked;

/// How many unused addresses in a row end the search for used ones (BIP44, "address gap limit").
pub const GAP_LIMIT: u32 = 20;

/// How far the addresses of a coin type go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Extent {
    /// The next index of addresses to be paid to.
    pub external: u32,
    /// The next index of addresses for change.
    pub change: u32,
    /// First index and the one after the last of each imported descriptor.
    pub imports: Vec<(u32, u32)>,
}

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
        if let Some((import, index)) = self.next_import(coin_type, branch) {
            return self.take_import(import, index);
        }
        if self.file.watch_only {
            return Err(WalletError::NoActiveDescriptor);
        }
        self.modify(|file, unlocked| account(file, unlocked, coin_type)?.add(branch, unix_now()))
    }

    /// The addresses that would be handed out next, [`GAP_LIMIT`] on each branch: another copy of this wallet may have handed them
    /// out already. Those of imported ranges are the wallet's own as it is.
    #[must_use]
    pub fn ahead(&self, coin_type: u32) -> Vec<PubkeyHash> {
        let mut accounts = self.file.accounts.iter();
        let Some(account) = accounts.find(|account| account.coin_type == coin_type) else {
            return Vec::new();
        };
        let mut ahead = Vec::new();
        for branch in Branch::ALL {
            let first = account.next(branch);
            let end = first.saturating_add(GAP_LIMIT).min(hd::INDEX_END);
            if let Some(hash) = account.hashes(branch) {
                ahead.extend((first..end).map_while(hash));
            }
        }
        ahead
    }

    /// Takes up addresses that were paid although they were not handed out, and those before them: of
    /// [`ahead`](Self::ahead), and of imported ranges, which are extended to stay [`GAP_LIMIT`] ahead. Tells whether that made new addresses the
    /// wallet's.
    ///
    /// # Errors
    /// Why the disk refused.
    pub fn take_up(&mut self, coin_type: u32, paid: &[PubkeyHash]) -> Result<bool, WalletError> {
        let before = self.places.len();
        let imports: Vec<(usize, u32)> = paid
            .iter()
            .filter_map(|hash| match self.places.get(hash)? {
                Place::Import { import, index } => Some((import, index)),
                Place::Phrase { .. } => None,
            })
            .filter(|(import, index)| self.is_beyond(*import, *index))
            .collect();
        let ahead = self.ahead(coin_type);
        let is_ahead = paid.iter().any(|hash| ahead.contains(hash));
        if imports.is_empty() && !is_ahead {
            return Ok(false);
        }
        self.modify(|file, unlocked| {
            for (import, index) in imports {
                if let Some(record) = file.imports.get_mut(import) {
                    record.next = record.next.max(index.saturating_add(1));
                    let end = record.next.saturating_add(GAP_LIMIT).min(hd::INDEX_END);
                    record.end = record.end.max(end);
                }
            }
            if is_ahead {
                let account = account(file, unlocked, coin_type)?;
                take_up_used(account, &mut |hash: &PubkeyHash| paid.contains(hash))?;
            }
            Ok(())
        })?;
        Ok(self.places.len() > before)
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
            take_up_used(account, &mut is_used)
        })
    }

    /// The addresses of a coin type that were handed out, those for change included: those of the phrase in the order of their
    /// making, then those of imported descriptors.
    #[must_use]
    pub fn addresses(&self, coin_type: u32) -> Vec<OwnedAddress> {
        let accounts = self.file.accounts.iter();
        let of_phrase = accounts
            .filter(|account| account.coin_type == coin_type)
            .flat_map(|account| &account.addresses)
            .map(|record| OwnedAddress::new(coin_type, record));
        of_phrase
            .chain(self.imported_addresses(coin_type))
            .collect()
    }

    /// Every hash of a coin type that the wallet watches, handed out or not, in no order.
    pub fn watched(&self, coin_type: u32) -> impl Iterator<Item = PubkeyHash> {
        self.places
            .iter()
            .filter(move |(_, place)| self.coin_type_of(**place) == Some(coin_type))
            .map(|(hash, _)| *hash)
    }

    fn coin_type_of(&self, place: Place) -> Option<u32> {
        match place {
            Place::Phrase { account, .. } => self.file.accounts.get(account).map(|a| a.coin_type),
            Place::Import { import, .. } => self.file.imports.get(import).map(|i| i.coin_type),
        }
    }

    /// Whether this is an address of the wallet, on any network.
    #[must_use]
    pub fn owns(&self, hash: &PubkeyHash) -> bool {
        self.places.get(hash).is_some()
    }

    /// What the wallet knows about an address of its own.
    #[must_use]
    pub fn address(&self, hash: &PubkeyHash) -> Option<OwnedAddress> {
        match self.places.get(hash)? {
            Place::Phrase { account, address } => {
                let account = self.file.accounts.get(account)?;
                let record = account.addresses.get(address)?;
                Some(OwnedAddress::new(account.coin_type, record))
            }
            Place::Import { import, index } => {
                let record = self.file.imports.get(import)?;
                Some(OwnedAddress::imported(*hash, record, index))
            }
        }
    }

    /// Whether this is an address of the wallet on networks of a coin type.
    #[must_use]
    pub fn watches(&self, coin_type: u32, hash: &PubkeyHash) -> bool {
        let place = self.places.get(hash);
        place.is_some_and(|place| self.coin_type_of(place) == Some(coin_type))
    }

    /// Whether it belongs to an imported range and was not handed out yet.
    #[must_use]
    pub fn is_unissued(&self, hash: &PubkeyHash) -> bool {
        match self.places.get(hash) {
            Some(Place::Import { import, index }) => self.is_beyond(import, index),
            Some(Place::Phrase { .. }) | None => false,
        }
    }

    /// How far the addresses of a coin type go: the next index of each branch, and the range of each import.
    #[must_use]
    pub fn extent(&self, coin_type: u32) -> Extent {
        let mut accounts = self.file.accounts.iter();
        let account = accounts.find(|account| account.coin_type == coin_type);
        let next = |branch| account.map_or(0, |account| account.next(branch));
        let imports = self.file.imports.iter();
        let imports = imports.filter(|record| record.coin_type == coin_type);
        Extent {
            external: next(Branch::External),
            change: next(Branch::Change),
            imports: imports.map(|record| (record.first, record.end)).collect(),
        }
    }

    /// The public key of an address of the wallet and where it comes from; `None` for what is known by its hash alone.
    #[must_use]
    pub fn public_key(&self, hash: &PubkeyHash) -> Option<DerivedKey> {
        let (descriptor, index) = self.descriptor_of(hash)?;
        descriptor.public_key(index)
    }

    /// The descriptor that an address of the wallet comes from, and its index there. Without private keys.
    #[must_use]
    pub fn descriptor_of(&self, hash: &PubkeyHash) -> Option<(Descriptor, u32)> {
        match self.places.get(hash)? {
            Place::Phrase { account, address } => {
                let account = self.file.accounts.get(account)?;
                let record = account.addresses.get(address)?;
                let descriptor = self.branch_descriptor(account, record.branch())?;
                Some((descriptor, record.index))
            }
            Place::Import { import, index } => {
                Some((self.file.imports.get(import)?.parsed()?, index))
            }
        }
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
    ///
    /// # Errors
    /// [`WalletError::Locked`], [`WalletError::WatchOnly`], [`WalletError::Corrupt`] if the file names another key.
    pub fn secret_key_for(&self, hash: &PubkeyHash) -> Result<Option<SecretKey>, WalletError> {
        let Some(place) = self.places.get(hash) else {
            return Ok(None);
        };
        self.check_private_keys()?;
        let unlocked = self.unlocked.as_ref().ok_or(WalletError::Locked)?;
        let key = match place {
            Place::Phrase { account, address } => {
                let account = self.file.accounts.get(account);
                let record = account.and_then(|account| account.addresses.get(address));
                match account.zip(record) {
                    Some((account, record)) => {
                        Some(unlocked.secret_key(account.coin_type, record)?)
                    }
                    None => None,
                }
            }
            Place::Import { import, index } => {
                let record = self.file.imports.get(import);
                let opened = record.and_then(|record| unlocked.open_import(record));
                opened.and_then(|descriptor| descriptor.secret_key(index))
            }
        };
        match key.filter(|key| key.public_key().pubkey_hash() == *hash) {
            Some(key) => Ok(Some(key)),
            None => Err(WalletError::Corrupt {
                path: self.path.clone(),
                what: format!("the key of hash {hash} is not this wallet's"),
            }),
        }
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

/// Takes up every address up to the last one used, until [`GAP_LIMIT`] in a row are unused. Returns how many were added.
fn take_up_used(
    account: &mut Account,
    is_used: &mut impl FnMut(&PubkeyHash) -> bool,
) -> Result<usize, WalletError> {
    let before = account.addresses.len();
    for branch in Branch::ALL {
        let first = account.next(branch);
        let found = used_beyond(account, branch, is_used)?;
        for _ in first..found {
            account.add(branch, unix_now())?;
        }
    }
    Ok(account.addresses.len() - before)
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
