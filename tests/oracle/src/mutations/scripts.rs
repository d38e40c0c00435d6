//! Faults of an input script. Its transaction is not among those that the model knows as signed, because its id is another.

use quarry::primitives::Script;

use super::{Bench, Core, Draft, Mutation, connected};
use crate::forge::pushes;
use crate::sighash;

/// All of them.
pub const ALL: &[Mutation] = &[
    connected("a high S", "InputScript", Core::Takes, |draft, bench| {
        let high = high_s(&signature(draft, bench));
        write(draft, bench, &high, sighash::ALL)
    }),
    connected(
        "a hash type of NONE",
        "InputScript",
        Core::Takes,
        |draft, bench| {
            let key = bench.spent[0].key;
            let signature =
                bench
                    .forge
                    .signature(&draft.block.transactions[1], 0, key, sighash::NONE);
            write(draft, bench, &signature, sighash::NONE)
        },
    ),
    connected(
        "an uncompressed key of another hash",
        "InputScript",
        SCRIPT,
        |draft, bench| {
            let mut signature = signature(draft, bench);
            signature.push(sighash::ALL);
            let key = bench.forge.keys[bench.spent[0].key]
                .public
                .serialize_uncompressed();
            script(draft, pushes(&[&signature, &key]))
        },
    ),
    connected("no script", "InputScript", SCRIPT, |draft, _| {
        script(draft, Script::default())
    }),
    connected(
        "a signature that is not strict DER",
        "InputScript",
        SCRIPT,
        |draft, bench| {
            let mut der = signature(draft, bench);
            der.push(0);
            write(draft, bench, &der, sighash::ALL)
        },
    ),
    connected("another key", "WrongKey", SCRIPT, |draft, bench| {
        let other = (bench.spent[0].key + 1) % crate::forge::KEYS;
        let mut signature =
            bench
                .forge
                .signature(&draft.block.transactions[1], 0, other, sighash::ALL);
        signature.push(sighash::ALL);
        let key = bench.forge.keys[other].public.serialize();
        script(draft, pushes(&[&signature, &key]))
    }),
    connected(
        "a signature of something else",
        "BadSignature",
        SCRIPT,
        |draft, bench| {
            let signature = bench.forge.sign_digest(&[5; 32], bench.spent[0].key);
            write(draft, bench, &signature.serialize_der(), sighash::ALL)
        },
    ),
    connected(
        "an output changed after signing",
        "BadSignature",
        SCRIPT,
        |draft, _| {
            draft.block.transactions[1].outputs[0].value.0 -= 1;
            true
        },
    ),
];

/// Bitcoin Core's reason for every failed script since version 30.
const SCRIPT: Core = Core::Refuses("block-script-verify-flag-failed");

fn signature(draft: &Draft, bench: &Bench<'_>) -> Vec<u8> {
    bench.forge.signature(
        &draft.block.transactions[1],
        0,
        bench.spent[0].key,
        sighash::ALL,
    )
}

fn script(draft: &mut Draft, script: Script) -> bool {
    draft.block.transactions[1].inputs[0].script_sig = script;
    true
}

fn write(draft: &mut Draft, bench: &Bench<'_>, der: &[u8], hash_type: u8) -> bool {
    let signature = [der, &[hash_type]].concat();
    let key = bench.forge.keys[bench.spent[0].key].public.serialize();
    script(draft, pushes(&[&signature, &key]))
}

/// The same signature with the other S: the order of the curve minus it.
///
/// # Panics
/// Where the bytes are not a low-S signature.
pub fn high_s(der: &[u8]) -> Vec<u8> {
    let signature = secp256k1::ecdsa::Signature::from_der(der).expect("a signature");
    let mut compact = signature.serialize_compact();
    let s = secp256k1::SecretKey::from_slice(&compact[32..]).expect("S is below the order");
    compact[32..].copy_from_slice(&s.negate().secret_bytes());
    let high = secp256k1::ecdsa::Signature::from_compact(&compact).expect("S is below the order");
    high.serialize_der().to_vec()
}
