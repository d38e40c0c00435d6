//! Signed messages in Bitcoin's format: a signature from which the key, and so the address, can be recovered.
//!
//! Bitcoin Core, `common/signmessage.cpp`: double SHA-256 over a fixed heading and the message, each behind its length; 65 bytes
//! of signature, the first of which says which of the possible keys signed and that its public key is compressed.

use k256::ecdsa::{RecoveryId, Signature as EcdsaSignature, VerifyingKey};

use super::secp::{PublicKey, SecretKey};
use crate::primitives::{PubkeyHash, sha256d, write_compact_size};

/// Keeps a signed message from being a signed transaction.
const HEADING: &[u8] = b"Bitcoin Signed Message:\n";
/// The first byte of a signature whose key is compressed, without the two bits of recovery.
const COMPRESSED: u8 = 31;
/// The same with an uncompressed key.
const UNCOMPRESSED: u8 = 27;

/// What a message's signature signs.
fn message_hash(message: &[u8]) -> [u8; 32] {
    let mut bytes = Vec::with_capacity(HEADING.len() + message.len() + 10);
    for part in [HEADING, message] {
        write_compact_size(part.len(), &mut bytes);
        bytes.extend_from_slice(part);
    }
    sha256d(&bytes)
}

/// Signs a message. The 65 bytes are shown in Base64.
pub fn sign_message(key: &SecretKey, message: &[u8]) -> [u8; 65] {
    let (signature, recovery) = key.sign_recoverable(&message_hash(message));
    let mut bytes = [0; 65];
    bytes[0] = COMPRESSED + recovery.to_byte();
    bytes[1..].copy_from_slice(&signature.to_bytes());
    bytes
}

/// The hash of the key that signed a message; `None` if no key can have made this signature.
pub fn message_signer(signature: &[u8; 65], message: &[u8]) -> Option<PubkeyHash> {
    let (first, rest) = signature.split_first()?;
    let (compressed, recovery) = match first.checked_sub(COMPRESSED) {
        Some(recovery) => (true, recovery),
        None => (false, first.checked_sub(UNCOMPRESSED)?),
    };
    // Above 3 follow forms that wallets made up for other kinds of addresses.
    let recovery = RecoveryId::from_byte(recovery)?;
    let signature = EcdsaSignature::from_slice(rest).ok()?;
    let hash = message_hash(message);
    let point = VerifyingKey::recover_from_prehash(&hash, &signature, recovery).ok()?;
    // No output of this chain pays an uncompressed key, but other software may have signed with one.
    compressed.then(|| PublicKey::from_point(point).pubkey_hash())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitcoin::hashes::Hash as _;
    use bitcoin::sign_message::{MessageSignature, signed_msg_hash};
    use proptest::prelude::*;

    #[test]
    fn only_this_message_and_this_signature_name_the_signer() {
        let key = SecretKey::from_bytes(&[7; 32]).expect("in range");
        let good = sign_message(&key, b"pay me");
        let signer = key.public_key().pubkey_hash();
        assert_eq!(message_signer(&good, b"pay me"), Some(signer));
        assert_ne!(message_signer(&good, b"pay me!"), Some(signer));
        for at in 0..65 {
            let mut other = good;
            other[at] ^= 1;
            assert_ne!(message_signer(&other, b"pay me"), Some(signer), "{at}");
        }
        for first in [0, 26, 27, 35, 39, 255] {
            let mut other = good;
            other[0] = first;
            assert_eq!(message_signer(&other, b"pay me"), None, "{first}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        /// rust-bitcoin finds the same signer in our signatures, and we in those that it makes.
        #[test]
        fn agrees_with_rust_bitcoin(secret in proptest::array::uniform32(1_u8..), message in ".{0,300}") {
            let key = SecretKey::from_bytes(&secret).expect("in range");
            let ours = sign_message(&key, message.as_bytes());
            let secp = bitcoin::secp256k1::Secp256k1::new();
            let hash = signed_msg_hash(&message);
            let theirs = MessageSignature::from_slice(&ours).expect("65 bytes");
            let found = theirs.recover_pubkey(&secp, hash).expect("a key");
            prop_assert_eq!(found.to_bytes(), key.public_key().to_bytes().to_vec());

            let secret = bitcoin::secp256k1::SecretKey::from_slice(&secret).expect("in range");
            let digest = bitcoin::secp256k1::Message::from_digest(hash.to_byte_array());
            let signature = secp.sign_ecdsa_recoverable(&digest, &secret);
            let bytes = MessageSignature::new(signature, true).serialize();
            prop_assert_eq!(message_signer(&bytes, message.as_bytes()), Some(key.public_key().pubkey_hash()));
        }
    }
}
