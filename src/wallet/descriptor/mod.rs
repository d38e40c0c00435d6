//! Output descriptors (BIP380, BIP381) of the one form that pays this chain: `pkh(KEY)`, and `addr(ADDRESS)` for what is known by its hash alone.
//!
//! A key is a compressed public key, a private key in wallet import format, or an extended key (BIP32) with a path that may
//! end in `/*`. A private extended key is derived at once down to its last hardened step, so that everything after can be
//! derived in public; its origin keeps the steps.

mod checksum;
mod parse;

use std::fmt;

use bip32::{ChildNumber, Prefix, XPrv, XPub};
use zeroize::Zeroizing;

use crate::consensus::ChainSpec;
use crate::keys::{Address, PublicKey, SecretKey};
use crate::primitives::PubkeyHash;

pub use parse::DescriptorError;

/// Where a key comes from: the fingerprint of the master key and the path to it (BIP380, "Key Origin Information").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyOrigin {
    /// The first four bytes of the hash of the master public key.
    pub fingerprint: [u8; 4],
    /// The steps; hardened ones have the top bit.
    pub path: Vec<u32>,
}

impl KeyOrigin {
    /// The path as text, `44h/1h/0h`.
    #[must_use]
    pub fn path_text(&self) -> String {
        path_text(&self.path)
    }
}

/// A descriptor.
#[derive(Clone)]
pub struct Descriptor {
    key: Key,
}

#[derive(Clone)]
enum Key {
    /// Of `addr(…)`: the key is unknown.
    Hash(PubkeyHash),
    Single(Box<Single>),
    Extended(Box<Extended>),
}

#[derive(Clone)]
struct Single {
    origin: Option<KeyOrigin>,
    public: PublicKey,
    secret: Option<SecretKey>,
}

#[derive(Clone)]
struct Extended {
    origin: Option<KeyOrigin>,
    /// The key that the steps below begin at.
    public: XPub,
    secret: Option<XPrv>,
    /// Steps that are not hardened.
    path: Vec<u32>,
    is_ranged: bool,
}

/// A key that a descriptor names at some index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DerivedKey {
    /// The key.
    pub public: PublicKey,
    /// Where it comes from; without a master key known, from itself or the extended key in the descriptor.
    pub origin: KeyOrigin,
}

/// How keys are written on a network.
#[derive(Clone, Copy)]
struct Versions {
    public: Prefix,
    private: Prefix,
    wif: u8,
}

impl Versions {
    /// Those that files are written with.
    const NEUTRAL: Self = Self {
        public: Prefix::XPUB,
        private: Prefix::XPRV,
        wif: MAIN_WIF,
    };

    fn of(spec: &ChainSpec) -> Self {
        match spec.wif_version {
            MAIN_WIF => Self::NEUTRAL,
            wif => Self {
                public: Prefix::TPUB,
                private: Prefix::TPRV,
                wif,
            },
        }
    }
}

/// Networks whose private keys have this version byte write extended keys as `xpub` and `xprv`, others as `tpub` and `tprv`.
const MAIN_WIF: u8 = 0x80;

impl fmt::Debug for Descriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.public_body(Versions::NEUTRAL, ADDRESS_IN_FILES))
    }
}

/// The version byte of addresses in the neutral form.
const ADDRESS_IN_FILES: u8 = 0;

impl Descriptor {
    /// Of one key with the secret.
    pub fn of_secret(secret: SecretKey) -> Self {
        Self {
            key: Key::Single(Box::new(Single {
                origin: None,
                public: secret.public_key(),
                secret: Some(secret),
            })),
        }
    }

    /// Of one public key.
    pub fn of_public(public: PublicKey) -> Self {
        Self {
            key: Key::Single(Box::new(Single {
                origin: None,
                public,
                secret: None,
            })),
        }
    }

    /// Of an address alone.
    pub const fn of_hash(hash: PubkeyHash) -> Self {
        Self {
            key: Key::Hash(hash),
        }
    }

    /// Of all addresses below an extended key.
    pub(super) fn ranged(
        origin: KeyOrigin,
        public: XPub,
        secret: Option<XPrv>,
        path: Vec<u32>,
    ) -> Self {
        Self {
            key: Key::Extended(Box::new(Extended {
                origin: Some(origin),
                public,
                secret,
                path,
                is_ranged: true,
            })),
        }
    }

    /// Whether it names a key for every index.
    #[must_use]
    pub fn is_ranged(&self) -> bool {
        matches!(&self.key, Key::Extended(extended) if extended.is_ranged)
    }

    /// Whether it holds a private key.
    #[must_use]
    pub fn has_secret(&self) -> bool {
        match &self.key {
            Key::Hash(_) => false,
            Key::Single(single) => single.secret.is_some(),
            Key::Extended(extended) => extended.secret.is_some(),
        }
    }

    /// Whether the public key is known, so that a signer can be told.
    #[must_use]
    pub const fn is_solvable(&self) -> bool {
        !matches!(self.key, Key::Hash(_))
    }

    /// The hashes at the indexes from `first` to `end` exclusive, in order; of one without range, its only one. An index
    /// at which BIP32 gives no key (chance below 2^-127) or that is hardened ends the list.
    #[must_use]
    pub fn hashes(&self, first: u32, end: u32) -> Vec<PubkeyHash> {
        match &self.key {
            Key::Hash(hash) => vec![*hash],
            Key::Single(single) => vec![single.public.pubkey_hash()],
            Key::Extended(extended) if extended.is_ranged => {
                let Some(parent) = extended.parent() else {
                    return Vec::new();
                };
                let child = |index| child_key(&parent, index);
                (first..end)
                    .map_while(child)
                    .map(|key| key.pubkey_hash())
                    .collect()
            }
            Key::Extended(extended) => {
                let key = extended.parent().and_then(|key| public_key(&key));
                key.map(|key| key.pubkey_hash()).into_iter().collect()
            }
        }
    }

    /// The public key at an index, where it is known.
    #[must_use]
    pub fn public_key(&self, index: u32) -> Option<DerivedKey> {
        match &self.key {
            Key::Hash(_) => None,
            Key::Single(single) => Some(DerivedKey {
                public: single.public,
                origin: single.origin.clone().unwrap_or_else(|| KeyOrigin {
                    fingerprint: fingerprint(&single.public),
                    path: Vec::new(),
                }),
            }),
            Key::Extended(extended) => {
                let parent = extended.parent()?;
                let public = match extended.is_ranged {
                    true => child_key(&parent, index)?,
                    false => public_key(&parent)?,
                };
                let mut origin = extended.origin.clone().unwrap_or_else(|| KeyOrigin {
                    fingerprint: extended.public.fingerprint(),
                    path: Vec::new(),
                });
                origin.path.extend(&extended.path);
                origin.path.extend(extended.is_ranged.then_some(index));
                Some(DerivedKey { public, origin })
            }
        }
    }

    /// The private key at an index, if the descriptor holds one.
    #[must_use]
    pub fn secret_key(&self, index: u32) -> Option<SecretKey> {
        match &self.key {
            Key::Hash(_) => None,
            Key::Single(single) => single.secret.clone(),
            Key::Extended(extended) => {
                let steps = extended.path.iter().copied();
                let steps = steps.chain(extended.is_ranged.then_some(index));
                let mut key = extended.secret.clone()?;
                for step in steps {
                    key = key.derive_child(ChildNumber(step)).ok()?;
                }
                SecretKey::from_bytes(&Zeroizing::new(key.to_bytes())).ok()
            }
        }
    }

    /// The public form on a network, with its checksum.
    #[must_use]
    pub fn to_text(&self, spec: &ChainSpec) -> String {
        with_checksum(self.public_body(Versions::of(spec), spec.address_version))
    }

    /// The public form of the key at one index, with its checksum.
    #[must_use]
    pub fn text_at(&self, index: u32, spec: &ChainSpec) -> String {
        match self.public_key(index) {
            None => self.to_text(spec),
            Some(key) => {
                let key = Key::Single(Box::new(Single {
                    origin: Some(key.origin),
                    public: key.public,
                    secret: None,
                }));
                Self { key }.to_text(spec)
            }
        }
    }

    /// The form with the private key, if there is one, with its checksum.
    ///
    /// # Security
    /// Whoever reads it owns the coins.
    #[must_use]
    pub fn to_private_text(&self, spec: &ChainSpec) -> Option<Zeroizing<String>> {
        self.private_body(Versions::of(spec)).map(|mut body| {
            let sum = checksum::of(&body).unwrap_or_default();
            // Room was made for both.
            body.push('#');
            body.push_str(&sum);
            body
        })
    }

    /// The public form for a file, which is the same on all networks.
    pub(super) fn to_file(&self) -> String {
        self.public_body(Versions::NEUTRAL, ADDRESS_IN_FILES)
    }

    /// The private form for a file, to be sealed.
    pub(super) fn secret_to_file(&self) -> Option<Zeroizing<String>> {
        self.private_body(Versions::NEUTRAL)
    }

    /// What [`to_file`](Self::to_file) and [`secret_to_file`](Self::secret_to_file) wrote.
    pub(super) fn from_file(text: &str) -> Option<Self> {
        parse::body(text, Versions::NEUTRAL, ADDRESS_IN_FILES).ok()
    }

    fn public_body(&self, versions: Versions, address_version: u8) -> String {
        match &self.key {
            Key::Hash(hash) => format!("addr({})", Address::new(*hash, address_version)),
            Key::Single(single) => {
                let key = hex::encode(single.public.to_bytes());
                format!("pkh({}{key})", origin_text(single.origin.as_ref()))
            }
            Key::Extended(extended) => {
                let key = extended.public.to_string(versions.public);
                format!(
                    "pkh({}{key}{})",
                    origin_text(extended.origin.as_ref()),
                    extended.steps_text()
                )
            }
        }
    }

    fn private_body(&self, versions: Versions) -> Option<Zeroizing<String>> {
        let (origin, key, steps) = match &self.key {
            Key::Hash(_) => return None,
            Key::Single(single) => {
                let key = single.secret.as_ref()?.to_wif(versions.wif);
                (single.origin.as_ref(), key, String::new())
            }
            Key::Extended(extended) => {
                let key = extended.secret.as_ref()?.to_string(versions.private);
                (extended.origin.as_ref(), key, extended.steps_text())
            }
        };
        let origin = origin_text(origin);
        // One piece of memory, so that growing leaves no copy of the key behind.
        let length = origin.len() + key.len() + steps.len() + 16;
        let mut text = Zeroizing::new(String::with_capacity(length));
        for part in ["pkh(", &origin, &key, &steps, ")"] {
            text.push_str(part);
        }
        Some(text)
    }
}

impl Extended {
    /// The key at the end of the path, the parent of those in the range.
    fn parent(&self) -> Option<XPub> {
        let mut key = self.public.clone();
        for step in &self.path {
            key = key.derive_child(ChildNumber(*step)).ok()?;
        }
        Some(key)
    }

    fn steps_text(&self) -> String {
        let mut text = String::new();
        for step in &self.path {
            text += &format!("/{}", ChildNumber(*step).index());
        }
        if self.is_ranged {
            text += "/*";
        }
        text
    }
}

fn public_key(key: &XPub) -> Option<PublicKey> {
    PublicKey::from_bytes(&key.to_bytes()).ok()
}

fn child_key(parent: &XPub, index: u32) -> Option<PublicKey> {
    let number = ChildNumber::new(index, false).ok()?;
    public_key(&parent.derive_child(number).ok()?)
}

/// The first four bytes of a key's hash (BIP32, "Key identifiers").
fn fingerprint(public: &PublicKey) -> [u8; 4] {
    let [a, b, c, d, ..] = public.pubkey_hash().to_bytes();
    [a, b, c, d]
}

fn origin_text(origin: Option<&KeyOrigin>) -> String {
    origin.map_or_else(String::new, |origin| {
        let slash = if origin.path.is_empty() { "" } else { "/" };
        let fingerprint = hex::encode(origin.fingerprint);
        format!("[{fingerprint}{slash}{}]", origin.path_text())
    })
}

fn path_text(path: &[u32]) -> String {
    let step = |step: &u32| {
        let number = ChildNumber(*step);
        let mark = if number.is_hardened() { "h" } else { "" };
        format!("{}{mark}", number.index())
    };
    path.iter().map(step).collect::<Vec<_>>().join("/")
}

fn with_checksum(body: String) -> String {
    let sum = checksum::of(&body).unwrap_or_default();
    format!("{body}#{sum}")
}
