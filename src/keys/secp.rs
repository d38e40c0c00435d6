//! secp256k1 keys and ECDSA signatures, in the encodings that the chain accepts.

use std::fmt;

use k256::ecdsa::signature::hazmat::{PrehashSigner, PrehashVerifier};
use k256::ecdsa::{RecoveryId, Signature as EcdsaSignature, SigningKey, VerifyingKey};
use zeroize::Zeroizing;

use crate::primitives::{PubkeyHash, hash160};

/// Why bytes are not a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not the 33 bytes of a compressed key.
    #[error(
        "a public key has 33 bytes and begins with 02 or 03; found {len} bytes beginning with {first:02x}"
    )]
    NotCompressed {
        /// How many bytes were found.
        len: usize,
        /// The first of them.
        first: u8,
    },
    /// No point of the curve has this coordinate.
    #[error("the public key is not a point of the curve")]
    NotOnCurve,
    /// Zero, or not below the order of the curve.
    #[error("the secret key is not between 1 and the order of the curve")]
    SecretOutOfRange,
}

/// Why bytes are not a signature in the accepted form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Not strict DER (BIP66).
    #[error("the signature is not strict DER (BIP66)")]
    NotStrictDer,
    /// `r` or `s` is zero or not below the order of the curve.
    #[error("the signature's numbers are out of range")]
    OutOfRange,
    /// `s` is in the upper half, so that a third party could have changed it (BIP62 rule 5).
    #[error("the signature's S value is in the upper half")]
    HighS,
}

/// A secret key. It is wiped from memory when dropped and never shown.
#[derive(Clone)]
pub struct SecretKey(SigningKey);

/// A public key in compressed form: a point of the curve.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey {
    bytes: [u8; 33],
    point: VerifyingKey,
}

/// An ECDSA signature whose `s` is in the lower half.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature(EcdsaSignature);

impl SecretKey {
    /// The key of a 32-byte big-endian number.
    ///
    /// # Errors
    /// [`KeyError::SecretOutOfRange`] for zero and for numbers not below the order of the curve.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        SigningKey::from_slice(bytes)
            .map(Self)
            .map_err(|_| KeyError::SecretOutOfRange)
    }

    /// The public key.
    pub fn public_key(&self) -> PublicKey {
        PublicKey::from_point(*self.0.verifying_key())
    }

    /// Signs a 32-byte digest, deterministically (RFC 6979) and with low S.
    ///
    /// # Panics
    /// Never: signing a 32-byte digest fails only with a probability of 2^-256.
    pub fn sign(&self, digest: &[u8; 32]) -> Signature {
        let signature: EcdsaSignature = self
            .0
            .sign_prehash(digest)
            .expect("a 32-byte digest can be signed");
        Signature(signature.normalize_s())
    }

    /// The same with what is needed to recover the public key from signature and digest.
    pub(super) fn sign_recoverable(&self, digest: &[u8; 32]) -> (EcdsaSignature, RecoveryId) {
        // The curve's signatures have a low S, and the recovery fits that.
        self.0.sign_prehash_recoverable(digest)
    }

    /// The 32 bytes that [`from_bytes`](Self::from_bytes) reads.
    ///
    /// # Security
    /// They are the key: show them to nobody who may not spend.
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes().into())
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(…)")
    }
}

impl PublicKey {
    pub(super) fn from_point(point: VerifyingKey) -> Self {
        let mut bytes = [0; 33];
        bytes.copy_from_slice(point.to_sec1_point(true).as_bytes());
        Self { bytes, point }
    }

    /// Reads a compressed key.
    ///
    /// # Errors
    /// [`KeyError`] for another length or form, and for a point that is not on the curve.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        let first = bytes.first().copied().unwrap_or_default();
        if bytes.len() != 33 || !matches!(first, 2 | 3) {
            return Err(KeyError::NotCompressed {
                len: bytes.len(),
                first,
            });
        }
        VerifyingKey::from_sec1_bytes(bytes)
            .map(Self::from_point)
            .map_err(|_| KeyError::NotOnCurve)
    }

    /// The 33 bytes of the compressed form.
    pub const fn to_bytes(&self) -> [u8; 33] {
        self.bytes
    }

    /// What an output that pays this key holds.
    pub fn pubkey_hash(&self) -> PubkeyHash {
        hash160(&self.bytes)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", hex::encode(self.bytes))
    }
}

impl Signature {
    /// The DER encoding.
    pub fn to_der(&self) -> Vec<u8> {
        self.0.to_der().as_bytes().to_vec()
    }

    /// Reads strict DER (BIP66, without the hash type) with low S.
    ///
    /// # Errors
    /// [`SignatureError`], by the first rule that is broken.
    pub fn from_der_strict(der: &[u8]) -> Result<Self, SignatureError> {
        let (r, s) = split_strict_der(der).ok_or(SignatureError::NotStrictDer)?;
        let scalars = to_scalar(r).zip(to_scalar(s));
        let (r, s) = scalars.ok_or(SignatureError::OutOfRange)?;
        let signature =
            EcdsaSignature::from_scalars(r, s).map_err(|_| SignatureError::OutOfRange)?;
        if signature.normalize_s() != signature {
            return Err(SignatureError::HighS);
        }
        Ok(Self(signature))
    }
}

/// Whether `signature` is the holder of `key` signing `digest`.
pub fn verify(key: &PublicKey, digest: &[u8; 32], signature: &Signature) -> bool {
    key.point.verify_prehash(digest, &signature.0).is_ok()
}

/// The bytes of `r` and `s` of a signature in strict DER.
///
/// BIP66: `30 len 02 lenR R 02 lenS S`, lengths of one byte that add up, both numbers non-empty, not negative, and without a
/// padding zero that the sign does not ask for. The encoding without the hash type has 8 to 72 bytes.
fn split_strict_der(der: &[u8]) -> Option<(&[u8], &[u8])> {
    if !(8..=72).contains(&der.len()) {
        return None;
    }
    let body = der.strip_prefix(&[0x30])?;
    let (total, body) = body.split_first()?;
    if usize::from(*total) != body.len() {
        return None;
    }
    let (r, rest) = split_der_integer(body)?;
    let (s, rest) = split_der_integer(rest)?;
    rest.is_empty().then_some((r, s))
}

/// The bytes of the positive integer at the front, and the rest.
fn split_der_integer(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.strip_prefix(&[0x02])?.split_first()?;
    let (integer, rest) = rest.split_at_checked(usize::from(*len))?;
    match integer {
        [] => None,
        [first, ..] if first & 0x80 != 0 => None,
        [0, second, ..] if second & 0x80 == 0 => None,
        _ => Some((integer, rest)),
    }
}

/// A DER integer as 32 bytes, if it fits.
fn to_scalar(integer: &[u8]) -> Option<[u8; 32]> {
    let digits = match integer {
        [0, rest @ ..] => rest,
        all => all,
    };
    let mut scalar = [0; 32];
    let start = scalar.len().checked_sub(digits.len())?;
    scalar[start..].copy_from_slice(digits);
    Some(scalar)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> SecretKey {
        SecretKey::from_bytes(&[byte; 32]).unwrap()
    }

    #[test]
    fn signatures_verify_under_their_key_and_digest_only() {
        let signature = key(1).sign(&[9; 32]);
        assert!(verify(&key(1).public_key(), &[9; 32], &signature));
        assert!(!verify(&key(2).public_key(), &[9; 32], &signature));
        assert!(!verify(&key(1).public_key(), &[8; 32], &signature));
        assert_eq!(
            Signature::from_der_strict(&signature.to_der()),
            Ok(signature)
        );
    }

    // RFC 6979 for secp256k1 with SHA-256: the vector of key 1 and the message "Satoshi Nakamoto" that trezor-crypto,
    // python-ecdsa and Bitcoin Core's `key_tests.cpp` share.
    #[test]
    fn rfc6979_vector() {
        let mut one = [0; 32];
        one[31] = 1;
        let digest = crate::primitives::sha256(b"Satoshi Nakamoto");
        let der = SecretKey::from_bytes(&one).unwrap().sign(&digest).to_der();
        assert_eq!(
            hex::encode(der),
            "3045022100934b1ea10a4b3c1757e2b0c017d0b6143ce3c9a7e6a4a49860d7a6ab210ee3d8\
             02202442ce9d2b916064108014783e923ec36b49743e2ffa1c4496f01a512aafd9e5"
        );
    }

    #[test]
    fn forms_other_than_strict_low_s_der_are_refused() {
        let der = key(3).sign(&[5; 32]).to_der();
        let refused = |bytes: &[u8]| Signature::from_der_strict(bytes).unwrap_err();
        for at in [0, 1, 2, 3] {
            let mut wrong = der.clone();
            wrong[at] ^= 0x40;
            assert_eq!(refused(&wrong), SignatureError::NotStrictDer, "byte {at}");
        }
        let padded = [&der[..], &[0]].concat();
        assert_eq!(refused(&padded), SignatureError::NotStrictDer);
        assert_eq!(refused(&der[..der.len() - 1]), SignatureError::NotStrictDer);
        assert_eq!(refused(&[]), SignatureError::NotStrictDer);
        assert_eq!(
            refused(&hex::decode("3006020100020101").unwrap()),
            SignatureError::OutOfRange
        );
        // r = 1, s = order − 1: valid numbers, but s in the upper half.
        let high =
            "3026020101022100fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364140";
        assert_eq!(refused(&hex::decode(high).unwrap()), SignatureError::HighS);
    }

    #[test]
    fn public_keys_are_compressed_points() {
        let bytes = key(4).public_key().to_bytes();
        assert_eq!(PublicKey::from_bytes(&bytes).unwrap().to_bytes(), bytes);
        assert!(matches!(
            PublicKey::from_bytes(&bytes[1..]),
            Err(KeyError::NotCompressed { .. })
        ));
        assert!(matches!(
            PublicKey::from_bytes(&[4; 33]),
            Err(KeyError::NotCompressed { .. })
        ));
        assert!(matches!(
            PublicKey::from_bytes(&[0; 33]),
            Err(KeyError::NotCompressed { .. })
        ));
        // x = 5 is not the coordinate of a point.
        let mut off = [0; 33];
        (off[0], off[32]) = (2, 5);
        assert!(matches!(
            PublicKey::from_bytes(&off),
            Err(KeyError::NotOnCurve)
        ));
    }
}
