//! Encryption of the wallet's entropy: Argon2id (RFC 9106) makes a key of the passphrase, XChaCha20-Poly1305 seals.
//!
//! # Security
//! Everything in clear that says how to read the box (format, version, wallet id, creation time, costs, salt) is
//! authenticated as associated data. Costs are checked before memory is asked for, so a hostile file cannot exhaust
//! the machine. Each sealing takes a new salt and a new nonce.

use std::borrow::Cow;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use bip39::Mnemonic;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use super::error::WalletError;
use super::phrase::fill_random;

/// Most memory a file may ask for: 1 GiB. A machine that opens a hostile file loses no more than this, for a moment.
const MAX_MEMORY_KIB: u64 = 1 << 20;
/// Least memory of Argon2: two blocks in each of four slices, per lane.
const MIN_MEMORY_KIB: u64 = 8;
/// Most passes over the memory.
const MAX_PASSES: u64 = 64;
/// Most lanes; they are computed one after another here.
const MAX_LANES: u64 = 16;
/// Most work, in KiB times passes: 4 GiB, some seconds of one core.
const MAX_WORK: u64 = 1 << 22;

const SALT_BYTES: usize = 16;
const NONCE_BYTES: usize = 24;
const KEY_BYTES: usize = 32;
/// Longest ciphertext: 32 bytes of entropy (24 words) and the 16-byte tag.
const MAX_CIPHERTEXT_BYTES: usize = 48;

const KDF_NAME: &str = "argon2id";
const CIPHER_NAME: &str = "xchacha20poly1305";

/// The cost of turning a passphrase into a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KdfParams {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl KdfParams {
    /// 64 MiB, 3 passes, 1 lane: RFC 9106's choice for machines short of memory, with the lanes of one core. Some
    /// tenths of a second.
    pub const DEFAULT: Self = Self {
        memory_kib: 64 * 1024,
        passes: 3,
        lanes: 1,
    };

    /// Chooses another cost: memory in KiB (at most 1 GiB), passes over it (at most 64), lanes (at most 16).
    ///
    /// # Errors
    /// [`WalletError::KdfOutOfBounds`] names the value outside its range.
    pub fn new(memory_kib: u64, passes: u64, lanes: u64) -> Result<Self, WalletError> {
        let bounded = |what: &'static str, found: u64, min: u64, max: u64| {
            let small = u32::try_from(found)
                .ok()
                .filter(|_| (min..=max).contains(&found));
            small.ok_or(WalletError::KdfOutOfBounds {
                what,
                found,
                min,
                max,
            })
        };
        let lanes = bounded("lanes", lanes, 1, MAX_LANES)?;
        let least = MIN_MEMORY_KIB * u64::from(lanes);
        let memory_kib = bounded("memory_kib", memory_kib, least, MAX_MEMORY_KIB)?;
        let passes = bounded("passes", passes, 1, MAX_PASSES)?;
        let work = u64::from(memory_kib) * u64::from(passes);
        bounded("memory_kib * passes", work, 1, MAX_WORK)?;
        Ok(Self {
            memory_kib,
            passes,
            lanes,
        })
    }
}

/// The sealed entropy as the wallet file holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sealed {
    kdf: Kdf,
    cipher: String,
    /// 24 bytes, hex.
    nonce: String,
    /// Entropy and tag, hex.
    ciphertext: String,
}

/// Costs are 64 bits wide here so that an absurd one is named and not merely unreadable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kdf {
    algorithm: String,
    memory_kib: u64,
    passes: u64,
    lanes: u64,
    /// 16 bytes, hex.
    salt: String,
}

/// What is authenticated and not encrypted: the file's header and the parameters of the box.
#[derive(Serialize)]
struct AssociatedData<'a, H: Serialize> {
    header: &'a H,
    kdf: &'a Kdf,
    cipher: &'a str,
}

impl Sealed {
    /// Encrypts `secret` under `passphrase`, bound to `header`.
    pub(super) fn seal<H: Serialize>(
        secret: &[u8],
        passphrase: &str,
        params: KdfParams,
        header: &H,
    ) -> Result<Self, WalletError> {
        if passphrase.is_empty() {
            return Err(WalletError::EmptyPassphrase);
        }
        let mut salt = [0; SALT_BYTES];
        let mut nonce = [0; NONCE_BYTES];
        fill_random(&mut salt)?;
        fill_random(&mut nonce)?;
        let kdf = Kdf {
            algorithm: KDF_NAME.to_owned(),
            memory_kib: params.memory_kib.into(),
            passes: params.passes.into(),
            lanes: params.lanes.into(),
            salt: hex::encode(salt),
        };
        let key = derive_key(passphrase, params, &salt)?;
        let aad = associated_data(header, &kdf, CIPHER_NAME);
        let ciphertext = cipher(&key)
            .encrypt(
                &XNonce::from(nonce),
                Payload {
                    msg: secret,
                    aad: &aad,
                },
            )
            .expect("XChaCha20-Poly1305 encrypts any message below 256 GiB");
        Ok(Self {
            kdf,
            cipher: CIPHER_NAME.to_owned(),
            nonce: hex::encode(nonce),
            ciphertext: hex::encode(ciphertext),
        })
    }

    /// Decrypts. Fails with [`WalletError::WrongPassphrase`] when passphrase, box or `header` is not the one sealed.
    pub(super) fn open<H: Serialize>(
        &self,
        passphrase: &str,
        header: &H,
    ) -> Result<Zeroizing<Vec<u8>>, WalletError> {
        let params = self.params()?;
        let parts = (
            decode::<SALT_BYTES>(&self.kdf.salt),
            decode::<NONCE_BYTES>(&self.nonce),
            hex::decode(&self.ciphertext),
        );
        let (Some(salt), Some(nonce), Ok(ciphertext)) = parts else {
            return Err(WalletError::WrongPassphrase);
        };
        let key = derive_key(passphrase, params, &salt)?;
        let aad = associated_data(header, &self.kdf, &self.cipher);
        cipher(&key)
            .decrypt(
                &XNonce::from(nonce),
                Payload {
                    msg: &ciphertext,
                    aad: &aad,
                },
            )
            .map(Zeroizing::new)
            .map_err(|_| WalletError::WrongPassphrase)
    }

    /// The cost in the file, checked against the bounds.
    pub(super) fn params(&self) -> Result<KdfParams, WalletError> {
        KdfParams::new(self.kdf.memory_kib, self.kdf.passes, self.kdf.lanes)
    }

    /// Names what is malformed, for the check at opening; `Ok` does not mean that it decrypts.
    pub(super) fn check_shape(&self) -> Result<(), &'static str> {
        if self.kdf.algorithm != KDF_NAME {
            return Err("unknown key derivation");
        }
        if self.cipher != CIPHER_NAME {
            return Err("unknown cipher");
        }
        if decode::<SALT_BYTES>(&self.kdf.salt).is_none() {
            return Err("the salt is not 16 bytes of hex");
        }
        if decode::<NONCE_BYTES>(&self.nonce).is_none() {
            return Err("the nonce is not 24 bytes of hex");
        }
        match hex::decode(&self.ciphertext) {
            Ok(bytes) if bytes.len() <= MAX_CIPHERTEXT_BYTES => Ok(()),
            _ => Err("the ciphertext is not hex of a possible length"),
        }
    }
}

/// Seals a text under a key of the wallet's own, bound to what it belongs to; in hex, nonce first.
pub(super) fn seal_under(
    key: &Zeroizing<[u8; KEY_BYTES]>,
    secret: &str,
    bound_to: &str,
) -> Result<String, WalletError> {
    let mut nonce = [0; NONCE_BYTES];
    fill_random(&mut nonce)?;
    let payload = Payload {
        msg: secret.as_bytes(),
        aad: bound_to.as_bytes(),
    };
    let sealed = cipher(key)
        .encrypt(&XNonce::from(nonce), payload)
        .expect("XChaCha20-Poly1305 encrypts any message below 256 GiB");
    Ok(hex::encode([&nonce[..], &sealed].concat()))
}

/// What [`seal_under`] sealed under this key, bound to the same; `None` for anything else.
pub(super) fn open_under(
    key: &Zeroizing<[u8; KEY_BYTES]>,
    sealed: &str,
    bound_to: &str,
) -> Option<Zeroizing<String>> {
    let bytes = hex::decode(sealed).ok()?;
    let (nonce, sealed) = bytes.split_first_chunk::<NONCE_BYTES>()?;
    let payload = Payload {
        msg: sealed,
        aad: bound_to.as_bytes(),
    };
    let opened = cipher(key).decrypt(&XNonce::from(*nonce), payload).ok()?;
    match String::from_utf8(opened) {
        Ok(text) => Some(Zeroizing::new(text)),
        Err(error) => {
            error.into_bytes().zeroize();
            None
        }
    }
}

fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    Some(bytes)
}

fn cipher(key: &Zeroizing<[u8; KEY_BYTES]>) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(&Key::from(**key))
}

fn associated_data<H: Serialize>(header: &H, kdf: &Kdf, cipher: &str) -> Vec<u8> {
    serde_json::to_vec(&AssociatedData {
        header,
        kdf,
        cipher,
    })
    .expect("a struct of texts and numbers always has a JSON form")
}

/// Argon2id with memory that is asked for politely and wiped afterwards.
fn derive_key(
    passphrase: &str,
    params: KdfParams,
    salt: &[u8; SALT_BYTES],
) -> Result<Zeroizing<[u8; KEY_BYTES]>, WalletError> {
    let kib = u64::from(params.memory_kib);
    let out_of_memory = || WalletError::KdfMemory { kib };
    let costs = Params::new(
        params.memory_kib,
        params.passes,
        params.lanes,
        Some(KEY_BYTES),
    )
    .expect("KdfParams holds only costs that Argon2 allows");
    let count = costs.block_count();
    let mut memory: Vec<Block> = Vec::new();
    memory
        .try_reserve_exact(count)
        .map_err(|_| out_of_memory())?;
    memory.resize(count, Block::new());

    // The same characters typed on two systems can differ in bytes; BIP39's normal form (NFKD) settles that.
    let mut normal = Cow::Borrowed(passphrase);
    Mnemonic::normalize_utf8_cow(&mut normal);
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    let done = Argon2::new(Algorithm::Argon2id, Version::V0x13, costs)
        .hash_password_into_with_memory(normal.as_bytes(), salt, &mut *key, memory.as_mut_slice());
    if let Cow::Owned(text) = &mut normal {
        text.zeroize();
    }
    for block in &mut memory {
        AsMut::<[u64]>::as_mut(block).zeroize();
    }
    // Lengths are fixed above and a passphrase of 4 GiB cannot be typed: what is left is memory.
    done.map_err(|_| out_of_memory())?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: KdfParams = KdfParams {
        memory_kib: 8,
        passes: 1,
        lanes: 1,
    };

    fn flip_hex(text: &str, at: usize) -> String {
        let mut bytes = hex::decode(text).expect("hex");
        bytes[at] ^= 1;
        hex::encode(bytes)
    }

    #[test]
    fn opens_what_it_sealed_and_nothing_else() {
        let sealed =
            Sealed::seal(b"sixteen byte key", "correct horse", CHEAP, &"head").expect("seal");
        assert_eq!(sealed.check_shape(), Ok(()));
        let opened = sealed.open("correct horse", &"head").expect("open");
        assert_eq!(opened.as_slice(), b"sixteen byte key");
        for (passphrase, header) in [
            ("correct horsf", "head"),
            ("", "head"),
            ("correct horse ", "head"),
            ("correct horse", "heae"),
        ] {
            let error = sealed.open(passphrase, &header).expect_err("refused");
            assert!(matches!(error, WalletError::WrongPassphrase));
        }
    }

    #[test]
    fn every_byte_of_the_box_is_authenticated() {
        let sealed = Sealed::seal(&[7; 16], "p", CHEAP, &0).expect("seal");
        let mut changed = Vec::new();
        for at in 0..SALT_BYTES {
            let mut copy = sealed.clone();
            copy.kdf.salt = flip_hex(&sealed.kdf.salt, at);
            changed.push(copy);
        }
        for at in 0..NONCE_BYTES {
            let mut copy = sealed.clone();
            copy.nonce = flip_hex(&sealed.nonce, at);
            changed.push(copy);
        }
        for at in 0..16 + 16 {
            let mut copy = sealed.clone();
            copy.ciphertext = flip_hex(&sealed.ciphertext, at);
            changed.push(copy);
        }
        for (memory_kib, passes) in [(9, 1), (8, 2)] {
            let mut copy = sealed.clone();
            copy.kdf.memory_kib = memory_kib;
            copy.kdf.passes = passes;
            changed.push(copy);
        }
        for cut in [0, 2, 30, 62] {
            let mut copy = sealed.clone();
            copy.ciphertext.truncate(cut);
            changed.push(copy);
        }
        for copy in changed {
            assert!(
                matches!(copy.open("p", &0), Err(WalletError::WrongPassphrase)),
                "{copy:?}"
            );
        }
    }

    /// Row W2: a cost of 2^40 is refused by arithmetic, before any memory is asked for.
    #[test]
    fn absurd_costs_are_refused_before_allocation() {
        let sealed = Sealed::seal(&[7; 16], "p", CHEAP, &0).expect("seal");
        let absurd = [
            (1 << 40, 1, 1),
            (u64::MAX, 1, 1),
            (8, 1 << 40, 1),
            (8, 1, 1 << 40),
            (MAX_MEMORY_KIB, MAX_PASSES, 1),
            (MAX_MEMORY_KIB + 1, 1, 1),
            (0, 1, 1),
            (8, 0, 1),
            (8, 1, 0),
            (8, 1, 2),
        ];
        for (memory_kib, passes, lanes) in absurd {
            let mut copy = sealed.clone();
            copy.kdf.memory_kib = memory_kib;
            copy.kdf.passes = passes;
            copy.kdf.lanes = lanes;
            let error = copy.open("p", &0).expect_err("refused");
            assert!(
                matches!(error, WalletError::KdfOutOfBounds { .. }),
                "{error}"
            );
        }
    }

    #[test]
    fn normal_form_of_the_passphrase_decides() {
        let sealed = Sealed::seal(&[1; 16], "caf\u{e9}", CHEAP, &0).expect("seal");
        assert!(sealed.open("cafe\u{301}", &0).is_ok());
    }

    #[test]
    fn an_empty_passphrase_is_no_passphrase() {
        let error = Sealed::seal(&[1; 16], "", CHEAP, &0).expect_err("refused");
        assert!(matches!(error, WalletError::EmptyPassphrase));
    }

    #[test]
    fn sealing_twice_gives_different_boxes() {
        let one = Sealed::seal(&[1; 16], "p", CHEAP, &0).expect("seal");
        let two = Sealed::seal(&[1; 16], "p", CHEAP, &0).expect("seal");
        assert_ne!(one.nonce, two.nonce);
        assert_ne!(one.kdf.salt, two.kdf.salt);
        assert_ne!(one.ciphertext, two.ciphertext);
    }

    /// RFC 9106 leaves no vector without secret and associated data; this is the reference implementation's
    /// (P-H-C/phc-winner-argon2, src/test.c: Argon2id v19, t=2, m=2^8 KiB, p=1, "password", "somesalt"), here only to
    /// show that costs reach the function in the right order.
    #[test]
    fn argon2_reference_vector() {
        let costs = Params::new(256, 2, 1, Some(32)).expect("params");
        let mut out = [0; 32];
        Argon2::new(Algorithm::Argon2id, Version::V0x13, costs)
            .hash_password_into(b"password", b"somesalt", &mut out)
            .expect("hash");
        assert_eq!(
            hex::encode(out),
            "9dfeb910e80bad0311fee20f9c0e2b12c17987b4cac90c2ef54d5b3021c68bfe"
        );
    }
}
