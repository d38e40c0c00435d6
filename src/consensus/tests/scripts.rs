//! Rows T2 to T5: every form of hash type, signature, script and key but one is refused, by name. Where Bitcoin Core takes other
//! forms, the table of deliberate restrictions in `docs/consensus.md` says so.

use super::*;
use crate::consensus::{RuleError, ScriptChecks};
use crate::keys::{KeyError, ScriptSigError, SignatureError, parse_script_sig, signature_hash};
use crate::primitives::hash160;

/// What the script checks say of a payment with this input script, whose coin pays to `owner`.
fn judge(script: &[u8], owner: PubkeyHash) -> Result<(), RuleError> {
    let mut tx = payment(&[outpoint(1)], &[5]);
    tx.inputs[0].script_sig = script.to_vec().into();
    let spent = Coin {
        pubkey_hash: owner,
        ..coin(Amount::MAX)
    };
    ScriptChecks::new(&tx, &[spent]).verify()
}

/// Why the input script is refused.
fn refusal(script: &[u8]) -> ScriptSigError {
    match judge(script, key_hash()) {
        Err(RuleError::InputScript { index: 0, reason }) => reason,
        other => panic!("{}: {other:?}", hex::encode(script)),
    }
}

/// The honest input script.
fn honest() -> Vec<u8> {
    let tx = payment(&[outpoint(1)], &[5]);
    tx.inputs[0].script_sig.as_bytes().to_vec()
}

fn push(bytes: &[u8]) -> Vec<u8> {
    [&[u8::try_from(bytes.len()).unwrap()], bytes].concat()
}

/// A script of any signature bytes, hash type included, and the honest key.
fn with_signature(signature: &[u8]) -> Vec<u8> {
    [push(signature), push(&key().public_key().to_bytes())].concat()
}

fn honest_der() -> Vec<u8> {
    let (signature, _) = parse_script_sig(&Script::from(honest())).unwrap();
    signature.to_der()
}

/// The signature of these two integers, as they are, with the hash type.
fn der(r: &[u8], s: &[u8]) -> Vec<u8> {
    let body = [&[2][..], &push(r), &[2], &push(s)].concat();
    [&[0x30][..], &push(&body), &[1]].concat()
}

#[test]
fn t02_of_256_hash_types_one_is_taken() {
    let der = honest_der();
    for hash_type in 0..=255 {
        let script = with_signature(&[&der[..], &[hash_type]].concat());
        if hash_type == 1 {
            assert_eq!(judge(&script, key_hash()), Ok(()));
        } else {
            assert_eq!(refusal(&script), ScriptSigError::HashType(hash_type));
        }
    }
    // SIGHASH_SINGLE of an input without an output of its number signs the number 1 (a fault that Bitcoin Core keeps).
    let mut one = [0; 32];
    one[0] = 1;
    let single = [&key().sign(&one).to_der()[..], &[3]].concat();
    assert_eq!(
        refusal(&with_signature(&single)),
        ScriptSigError::HashType(3)
    );
}

#[test]
fn t03_signatures_are_strict_der() {
    use SignatureError::{NotStrictDer, OutOfRange};
    let order = hex::decode("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141");
    let order = order.unwrap();
    let signed_order = [&[0], &order[..]].concat();
    let (long, longer) = ([0x7f; 33], [0x7f; 34]);
    let good = [&honest_der()[..], &[1]].concat();
    let patched = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        bytes
    };
    let with_long_form = [&[0x30, 0x81, good[1]], &good[2..]].concat();
    let with_tail = [&good[..good.len() - 1], &[0, 1]].concat();
    let without_s = [&[0x30][..], &push(&good[2..4 + usize::from(good[3])]), &[1]].concat();
    for (signature, reason) in [
        (der(&[0, 1], &[1]), NotStrictDer),
        (der(&[1], &[0, 1]), NotStrictDer),
        (der(&[0, 0], &[1]), NotStrictDer),
        (der(&[0x80], &[1]), NotStrictDer),
        (der(&[1], &[0xff]), NotStrictDer),
        (der(&order, &[1]), NotStrictDer),
        (der(&[], &[1]), NotStrictDer),
        (der(&[1], &[]), NotStrictDer),
        (der(&[], &[]), NotStrictDer),
        (der(&[0], &[1]), OutOfRange),
        (der(&[1], &[0]), OutOfRange),
        (der(&[0], &[0]), OutOfRange),
        (der(&signed_order, &[1]), OutOfRange),
        (der(&[1], &signed_order), OutOfRange),
        (der(&long, &[1]), OutOfRange),
        (der(&longer, &[1]), OutOfRange),
        (der(&[1], &signed_order[1..]), NotStrictDer),
        (patched(0, 0x31), NotStrictDer),
        (patched(1, good[1] + 1), NotStrictDer),
        (patched(1, good[1] - 1), NotStrictDer),
        (patched(2, 3), NotStrictDer),
        (patched(3, 0), NotStrictDer),
        (patched(3, 0xff), NotStrictDer),
        (with_long_form, NotStrictDer),
        (with_tail, NotStrictDer),
        (without_s, NotStrictDer),
        (vec![1], NotStrictDer),
        (vec![0x30, 1], NotStrictDer),
        (vec![0x30, 0, 1], NotStrictDer),
    ] {
        let found = refusal(&with_signature(&signature));
        let shown = hex::encode(&signature);
        assert_eq!(found, ScriptSigError::Signature(reason), "{shown}");
    }
    // Longer than any signature, and none at all.
    for signature in [vec![1; 74], vec![1; 75], Vec::new()] {
        let found = refusal(&with_signature(&signature));
        assert_eq!(found, ScriptSigError::NotTwoPushes);
    }
}

#[test]
fn t03_no_flipped_bit_leaves_a_valid_script() {
    let good = honest();
    for bit in 0..good.len() * 8 {
        let mut script = good.clone();
        script[bit / 8] ^= 1 << (bit % 8);
        assert!(judge(&script, key_hash()).is_err(), "bit {bit}");
        assert!(judge(&script[..bit / 8], key_hash()).is_err());
    }
}

#[test]
fn t03_a_sound_signature_of_something_else_is_wrong() {
    let tx = payment(&[outpoint(1)], &[6]);
    let other = tx.inputs[0].script_sig.as_bytes();
    let wrong = Err(RuleError::BadSignature { index: 0 });
    assert_eq!(judge(other, key_hash()), wrong);
    // r and s that are numbers of the right size and nothing more.
    assert_eq!(judge(&with_signature(&der(&[1], &[1])), key_hash()), wrong);
    let honest_tx = payment(&[outpoint(1)], &[5]);
    let digest = signature_hash(&honest_tx, 0, &Script::p2pkh(&key_hash()));
    assert_eq!(key().sign(&digest).to_der(), honest_der(), "RFC 6979");
}

#[test]
fn t04_input_scripts_are_exactly_two_direct_pushes() {
    let good = honest();
    let (signature, public) = good.split_at(1 + usize::from(good[0]));
    let long_push = |bytes: &[u8]| [&[76], bytes].concat();
    for script in [
        Vec::new(),
        signature.to_vec(),
        public.to_vec(),
        [public, signature].concat(),
        [&[0][..], &good].concat(),
        [&[0x51][..], &good].concat(),
        [&good[..], &[0]].concat(),
        [&good[..], &[0x51]].concat(),
        [&good[..], public].concat(),
        [signature, &good].concat(),
        [&[0x61][..], &good].concat(),
        [signature, &[0x61], public].concat(),
        [&good[..], &[0xac]].concat(),
        [&good[..], &[0x75]].concat(),
        [signature, &long_push(public)].concat(),
        [&long_push(signature)[..], public].concat(),
        [&[77, good[0], 0], &good[1..]].concat(),
        [&[78, good[0], 0, 0, 0], &good[1..]].concat(),
        [&[0xff][..], &good].concat(),
        vec![75],
        vec![76],
        vec![77, 0xff],
        vec![0; 10_000],
    ] {
        let found = refusal(&script);
        assert!(
            matches!(
                found,
                ScriptSigError::NotTwoPushes | ScriptSigError::HashType(_)
            ),
            "{}: {found}",
            hex::encode(&script)
        );
    }
}

#[test]
fn t05_keys_are_compressed_points() {
    let good = honest();
    let signature = &good[..=usize::from(good[0])];
    let point = key().public_key().to_bytes();
    let mut hybrid = [6; 65];
    hybrid[1..33].copy_from_slice(&point[1..]);
    let uncompressed = [&[4][..], &hybrid[1..]].concat();
    let with_head = |first: u8| [&[first], &point[1..]].concat();
    // x = 5 is the coordinate of no point; the field's prime and more are no coordinates at all.
    let off_curve = [&[2][..], &[0; 31], &[5]].concat();
    let prime = hex::decode("02fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2f");
    let length = ScriptSigError::NotTwoPushes;
    let form = |first| ScriptSigError::PublicKey(KeyError::NotCompressed { len: 33, first });
    let curve = ScriptSigError::PublicKey(KeyError::NotOnCurve);
    for (bytes, reason) in [
        (hybrid.to_vec(), length),
        (uncompressed, length),
        (vec![0], length),
        (point[..32].to_vec(), length),
        ([&point[..], &[0]].concat(), length),
        (with_head(0), form(0)),
        (with_head(4), form(4)),
        (with_head(6), form(6)),
        (vec![0; 33], form(0)),
        (off_curve, curve),
        (vec![2; 1].into_iter().chain([0; 32]).collect(), curve),
        (prime.unwrap(), curve),
        (vec![2; 1].into_iter().chain([0xff; 32]).collect(), curve),
    ] {
        // The coin pays to the hash of just these bytes: it is the form that is refused.
        let script = [signature, &push(&bytes)].concat();
        let refused = Err(RuleError::InputScript { index: 0, reason });
        let shown = hex::encode(&bytes);
        assert_eq!(judge(&script, hash160(&bytes)), refused, "{shown}");
    }
    // A sound key that the coin does not pay to.
    let found = judge(&good, PubkeyHash::ZERO);
    assert!(matches!(found, Err(RuleError::WrongKey { index: 0, .. })));
}
