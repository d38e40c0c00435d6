//! Key derivation: BIP32 along BIP44's path `m/44'/coin_type'/0'/branch/index`.
//!
//! The account level (`m/44'/coin_type'/0'`) is the border between public and secret: its extended public key, kept in
//! clear in the wallet file, makes every address of a network; its private key is needed only to sign. One leaked child
//! key together with that extended public key reveals the account's private key (BIP32, "Implications"), so each of the two is
//! given out only to whoever asks for it by name.

use bip32::{ChildNumber, Prefix, XPrv, XPub};
use zeroize::Zeroizing;

use crate::keys::{PublicKey, SecretKey};
use crate::primitives::PubkeyHash;

use super::error::WalletError;

/// BIP44's purpose level.
const PURPOSE: u32 = 44;
/// The one account this wallet uses.
const ACCOUNT: u32 = 0;
/// Depth of an account key: purpose, coin type, account.
const ACCOUNT_DEPTH: u8 = 3;
/// Indices at and above this are hardened (BIP32).
pub(super) const INDEX_END: u32 = ChildNumber::HARDENED_FLAG;

/// BIP44's change level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Branch {
    /// Addresses to be paid to, level value 0.
    External,
    /// Change of the wallet's own payments, level value 1.
    Change,
}

impl Branch {
    /// Both branches.
    pub(super) const ALL: [Self; 2] = [Self::External, Self::Change];

    /// The value of the path level.
    #[must_use]
    pub fn number(self) -> u32 {
        match self {
            Self::External => 0,
            Self::Change => 1,
        }
    }
}

/// The path of one address, in BIP32's notation.
pub(super) fn path(coin_type: u32, branch: Branch, index: u32) -> String {
    format!(
        "m/{PURPOSE}'/{coin_type}'/{ACCOUNT}'/{}/{index}",
        branch.number()
    )
}

/// The steps from the master key to an account.
pub(super) const fn account_path(coin_type: u32) -> [u32; 3] {
    const HARDENED: u32 = ChildNumber::HARDENED_FLAG;
    [PURPOSE | HARDENED, coin_type | HARDENED, ACCOUNT | HARDENED]
}

/// The fingerprint of the master key whose hash a wallet is named by.
pub(super) const fn fingerprint(id: &PubkeyHash) -> [u8; 4] {
    let [a, b, c, d, ..] = id.to_bytes();
    [a, b, c, d]
}

/// The public name of a wallet: the hash of its master public key. Tells two wallets apart and reveals nothing else.
pub(super) fn wallet_id(seed: &Zeroizing<[u8; 64]>) -> Result<PubkeyHash, WalletError> {
    let failed = || WalletError::Derivation { coin_type: 0 };
    let master = XPrv::new(seed.as_slice()).map_err(|_| failed())?;
    let public = PublicKey::from_bytes(&master.public_key().to_bytes()).map_err(|_| failed())?;
    Ok(public.pubkey_hash())
}

/// The private key of one account. The key inside wipes itself when dropped.
pub(super) struct AccountKey {
    key: XPrv,
    coin_type: u32,
}

impl AccountKey {
    /// Derives `m/44'/coin_type'/0'`.
    pub(super) fn derive(seed: &Zeroizing<[u8; 64]>, coin_type: u32) -> Result<Self, WalletError> {
        if coin_type >= INDEX_END {
            return Err(WalletError::IndexOutOfRange {
                what: "coin type",
                found: coin_type,
            });
        }
        let derive = || -> Result<XPrv, bip32::Error> {
            XPrv::new(seed.as_slice())?
                .derive_child(ChildNumber::new(PURPOSE, true)?)?
                .derive_child(ChildNumber::new(coin_type, true)?)?
                .derive_child(ChildNumber::new(ACCOUNT, true)?)
        };
        let key = derive().map_err(|_| WalletError::Derivation { coin_type })?;
        Ok(Self { key, coin_type })
    }

    /// The public twin.
    pub(super) fn public(&self) -> AccountPublic {
        AccountPublic(self.key.public_key())
    }

    /// The extended key itself.
    pub(super) const fn extended(&self) -> &XPrv {
        &self.key
    }

    /// The private key of one address.
    pub(super) fn secret_key(&self, branch: Branch, index: u32) -> Result<SecretKey, WalletError> {
        let failed = || WalletError::Derivation {
            coin_type: self.coin_type,
        };
        let derive = || -> Result<XPrv, bip32::Error> {
            self.key
                .derive_child(ChildNumber::new(branch.number(), false)?)?
                .derive_child(ChildNumber::new(index, false)?)
        };
        let key = derive().map_err(|_| failed())?;
        let bytes = Zeroizing::new(key.to_bytes());
        SecretKey::from_bytes(&bytes).map_err(|_| failed())
    }
}

/// The extended public key of one account.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct AccountPublic(XPub);

impl AccountPublic {
    /// Reads the `xpub…` text of the wallet file; `None` unless it is a key of account level.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let key: XPub = text.parse().ok()?;
        let attrs = key.attrs();
        let right = attrs.depth == ACCOUNT_DEPTH
            && attrs.child_number == ChildNumber(ACCOUNT | ChildNumber::HARDENED_FLAG);
        right.then_some(Self(key))
    }

    /// The extended key itself.
    pub(super) const fn extended(&self) -> &XPub {
        &self.0
    }

    /// The `xpub…` text.
    pub(super) fn to_text(&self) -> String {
        self.0.to_string(Prefix::XPUB)
    }

    /// The parent of one branch's addresses; derive it once for many addresses.
    pub(super) fn branch(&self, branch: Branch) -> Option<BranchPublic> {
        self.0
            .derive_child(ChildNumber(branch.number()))
            .ok()
            .map(BranchPublic)
    }
}

/// The extended public key of one branch of one account.
pub(super) struct BranchPublic(XPub);

impl BranchPublic {
    /// The hash that an address of this index shows; `None` for an index of 2^31 and above.
    pub(super) fn pubkey_hash(&self, index: u32) -> Option<PubkeyHash> {
        let number = ChildNumber::new(index, false).ok()?;
        let child = self.0.derive_child(number).ok()?;
        Some(PublicKey::from_bytes(&child.to_bytes()).ok()?.pubkey_hash())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Address;
    use crate::wallet::phrase::Entropy;
    use proptest::prelude::*;

    const ABANDON: &str = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about";

    fn seed_of(phrase: &str) -> Zeroizing<[u8; 64]> {
        Entropy::from_phrase(phrase).expect("phrase").seed()
    }

    /// Addresses of BIP39's first vector without BIP39 passphrase, as Ian Coleman's BIP39 tool and every BIP44 wallet
    /// show them; coin types 0 and 1 (SLIP-44) with Bitcoin's version bytes 0x00 and 0x6f.
    #[test]
    fn well_known_bip44_addresses() {
        let expect = [
            (
                0,
                Branch::External,
                0,
                0x00,
                "1LqBGSKuX5yYUonjxT5qGfpUsXKYYWeabA",
            ),
            (
                0,
                Branch::External,
                1,
                0x00,
                "1Ak8PffB2meyfYnbXZR9EGfLfFZVpzJvQP",
            ),
            (
                0,
                Branch::Change,
                0,
                0x00,
                "1J3J6EvPrv8q6AC3VCjWV45Uf3nssNMRtH",
            ),
            (
                1,
                Branch::External,
                0,
                0x6f,
                "mkpZhYtJu2r87Js3pDiWJDmPte2NRZ8bJV",
            ),
        ];
        let seed = seed_of(ABANDON);
        for (coin_type, branch, index, version, text) in expect {
            let account = AccountKey::derive(&seed, coin_type).expect("account");
            let key = account.secret_key(branch, index).expect("key");
            let hash = key.public_key().pubkey_hash();
            assert_eq!(Address::new(hash, version).to_string(), text);
            let public = account.public().branch(branch).expect("branch");
            assert_eq!(
                public.pubkey_hash(index),
                Some(hash),
                "public and private derivation agree"
            );
        }
    }

    /// BIP32's test vector 1 (bitcoin/bips, bip-0032.mediawiki): the crate below is used as this file uses it.
    #[test]
    fn bip32_vector_1() {
        let seed = hex::decode("000102030405060708090a0b0c0d0e0f").expect("hex");
        let chain = [
            (
                "",
                "xpub661MyMwAqRbcFtXgS5sYJABqqG9YLmC4Q1Rdap9gSE8NqtwybGhePY2gZ29ESFjqJoCu1Rupje8YtGqsefD265TMg7usUDFdp6W1EGMcet8",
            ),
            (
                "0'",
                "xpub68Gmy5EdvgibQVfPdqkBBCHxA5htiqg55crXYuXoQRKfDBFA1WEjWgP6LHhwBZeNK1VTsfTFUHCdrfp1bgwQ9xv5ski8PX9rL2dZXvgGDnw",
            ),
            (
                "1",
                "xpub6ASuArnXKPbfEwhqN6e3mwBcDTgzisQN1wXN9BJcM47sSikHjJf3UFHKkNAWbWMiGj7Wf5uMash7SyYq527Hqck2AxYysAA7xmALppuCkwQ",
            ),
        ];
        let mut key = XPrv::new(&seed).expect("master");
        for (step, text) in chain {
            if !step.is_empty() {
                key = key
                    .derive_child(step.parse().expect("step"))
                    .expect("child");
            }
            assert_eq!(key.public_key().to_string(Prefix::XPUB), text);
        }
    }

    #[test]
    fn only_account_level_keys_are_read() {
        let account = AccountKey::derive(&seed_of(ABANDON), 1)
            .expect("account")
            .public();
        assert!(AccountPublic::parse(&account.to_text()).is_some_and(|read| read == account));
        let branch = account.branch(Branch::External).expect("branch");
        assert!(AccountPublic::parse(&branch.0.to_string(Prefix::XPUB)).is_none());
        assert!(AccountPublic::parse("xpub").is_none());
    }

    #[test]
    fn hardened_numbers_are_refused() {
        let seed = seed_of(ABANDON);
        assert!(AccountKey::derive(&seed, INDEX_END).is_err());
        let account = AccountKey::derive(&seed, 0).expect("account");
        assert!(account.secret_key(Branch::External, INDEX_END).is_err());
        let branch = account.public().branch(Branch::External).expect("branch");
        assert_eq!(branch.pubkey_hash(INDEX_END), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        /// rust-bitcoin derives the same public key on the same path.
        #[test]
        fn agrees_with_rust_bitcoin(
            seed in proptest::array::uniform32(any::<u8>()),
            coin_type in 0..INDEX_END, change in any::<bool>(), index in 0..INDEX_END,
        ) {
            let mut wide = Zeroizing::new([0_u8; 64]);
            wide[..32].copy_from_slice(&seed);
            let branch = if change { Branch::Change } else { Branch::External };
            let ours = AccountKey::derive(&wide, coin_type).expect("account")
                .secret_key(branch, index).expect("key").public_key().to_bytes();

            let secp = bitcoin::secp256k1::Secp256k1::new();
            let path: bitcoin::bip32::DerivationPath =
                path(coin_type, branch, index).parse().expect("path");
            let theirs = bitcoin::bip32::Xpriv::new_master(bitcoin::NetworkKind::Main, wide.as_slice())
                .expect("master").derive_priv(&secp, &path).expect("child");
            let theirs = bitcoin::bip32::Xpub::from_priv(&secp, &theirs).public_key.serialize();
            prop_assert_eq!(ours, theirs);
        }
    }
}
