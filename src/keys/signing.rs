//! The input script of a P2PKH spend: written by signers, taken apart by the rules.

use super::secp::{KeyError, PublicKey, SecretKey, Signature, SignatureError};
use super::sighash::{SIGHASH_ALL, signature_hash};
use crate::primitives::{Script, Transaction};

/// The longest signature push: 72 bytes of DER and the hash type.
const MAX_SIGNATURE_PUSH: usize = 73;

/// Why an input script is not `<signature ‖ 01> <compressed key>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScriptSigError {
    /// Not exactly two direct pushes of the right lengths.
    #[error("expected two pushes, a signature and a 33-byte public key")]
    NotTwoPushes,
    /// Another hash type than `ALL`.
    #[error("hash type {0:#04x}, expected 0x01 (ALL)")]
    HashType(u8),
    /// The signature's form.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// The key's form.
    #[error(transparent)]
    PublicKey(#[from] KeyError),
}

/// Signs one input that spends a P2PKH output and writes its script.
///
/// # Panics
/// Where the transaction has no input of that index.
pub fn sign_input(tx: &mut Transaction, input: usize, key: &SecretKey) {
    let public_key = key.public_key();
    let script_code = Script::p2pkh(&public_key.pubkey_hash());
    let mut signature = key.sign(&signature_hash(tx, input, &script_code)).to_der();
    signature.push(SIGHASH_ALL);
    let push = u8::try_from(signature.len()).expect("a signature has at most 73 bytes");
    let mut script = vec![push];
    script.extend_from_slice(&signature);
    script.push(33);
    script.extend_from_slice(&public_key.to_bytes());
    tx.inputs[input].script_sig = Script::from(script);
}

/// Takes an input script apart: exactly `<push strict-DER low-S signature ‖ 01> <push 33-byte compressed key>`.
///
/// With no other form accepted, nobody but the signer can change a transaction's id.
///
/// # Errors
/// [`ScriptSigError`], by the first part that is not as it must be.
pub fn parse_script_sig(script: &Script) -> Result<(Signature, PublicKey), ScriptSigError> {
    let (signature, rest) = split_push(script.as_bytes())?;
    let (key, rest) = split_push(rest)?;
    if !rest.is_empty() || key.len() != 33 || signature.len() > MAX_SIGNATURE_PUSH {
        return Err(ScriptSigError::NotTwoPushes);
    }
    let (hash_type, der) = signature.split_last().ok_or(ScriptSigError::NotTwoPushes)?;
    if *hash_type != SIGHASH_ALL {
        return Err(ScriptSigError::HashType(*hash_type));
    }
    Ok((
        Signature::from_der_strict(der)?,
        PublicKey::from_bytes(key)?,
    ))
}

/// The data of the direct push (1 to 75 bytes) at the front, and the rest.
fn split_push(bytes: &[u8]) -> Result<(&[u8], &[u8]), ScriptSigError> {
    match bytes.split_first() {
        Some((len @ 1..=75, rest)) => rest.split_at_checked(usize::from(*len)),
        _ => None,
    }
    .ok_or(ScriptSigError::NotTwoPushes)
}
