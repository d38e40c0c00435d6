//! Input scripts in blocks, row by row: never do we take what the kernel refuses, and where we are stricter the rule is named.

use quarry::primitives::{Script, Txid};
use quarry_oracle::forge::{Payment, pushes};
use quarry_oracle::generator::Generator;
use quarry_oracle::mutations::high_s;
use quarry_oracle::sighash;
use quarry_oracle::trial::Verdict;
use quarry_oracle::view::Owned;

/// Feeds a block whose payment has an input script made by `script`; returns the engine's rule and whether the kernel took it.
fn probe(
    chain: &mut Generator,
    inputs: usize,
    script: impl FnOnce(&mut Making<'_>) -> Script,
) -> (Option<&'static str>, bool) {
    let raw = chain.block_with(|draft, bench| {
        let mut coins: Vec<Owned> = bench.spent.clone();
        while coins.len() < inputs {
            coins.push(bench.left.pop().expect("there are coins"));
        }
        let (mut tx, _) = bench.forge.pay(&Payment::plain(&coins, 1, 0));
        let index = inputs - 1;
        let made = script(&mut Making {
            forge: bench.forge,
            tx: &tx,
            index,
            coin: coins[index],
        });
        tx.inputs[index].script_sig = made;
        draft.block.transactions[1] = tx;
    });
    let (verdict, taken) = chain
        .trial
        .probe(&raw, &chain.forge.signed)
        .unwrap_or_else(|error| panic!("{error}"));
    if taken && verdict != Verdict::Accepted {
        chain.grow(2).expect("two blocks lead the kernel back");
    }
    (verdict.rule(), taken)
}

/// What a script is made with.
struct Making<'a> {
    forge: &'a quarry_oracle::forge::Forge,
    tx: &'a quarry::primitives::Transaction,
    index: usize,
    coin: Owned,
}

impl Making<'_> {
    fn der(&self, hash_type: u8) -> Vec<u8> {
        self.forge
            .signature(self.tx, self.index, self.coin.key, hash_type)
    }

    fn key(&self) -> [u8; 33] {
        self.forge.keys[self.coin.key].public.serialize()
    }

    fn with(&self, der: &[u8], hash_type: u8) -> Script {
        pushes(&[&[der, &[hash_type]].concat(), &self.key()])
    }
}

// With the second of two inputs, SINGLE has no output of its own.
#[test]
fn t02_every_hash_type_is_judged_as_the_kernel_does_or_more_strictly() {
    let mut chain = Generator::ready(12);
    for hash_type in 0..=u8::MAX {
        for inputs in [1, 2] {
            let verdict = probe(&mut chain, inputs, |made| {
                made.with(&made.der(hash_type), hash_type)
            });
            let expected = if hash_type == sighash::ALL {
                (None, true)
            } else {
                (Some("InputScript"), true)
            };
            assert_eq!(verdict, expected, "type {hash_type:#04x}, {inputs} inputs");
        }
    }
    // A type that was not the one signed is refused by both.
    let lie = probe(&mut chain, 1, |made| {
        made.with(&made.der(sighash::NONE), sighash::ALL)
    });
    assert_eq!(lie, (Some("BadSignature"), false));
}

#[test]
fn t03_der_other_than_strict_is_refused_by_both() {
    let mut chain = Generator::ready(13);
    type Change = fn(&[u8]) -> Vec<u8>;
    let variants: [(&str, Change); 17] = [
        ("R padded", |der| rebuild(der, |r, _| r.insert(0, 0))),
        ("S padded", |der| rebuild(der, |_, s| s.insert(0, 0))),
        ("R negative", |der| rebuild(der, |r, _| r[0] |= 0x80)),
        ("S negative", |der| rebuild(der, |_, s| s[0] |= 0x80)),
        ("R zero", |der| rebuild(der, |r, _| *r = vec![0])),
        ("S zero", |der| rebuild(der, |_, s| *s = vec![0])),
        ("R empty", |der| rebuild(der, |r, _| r.clear())),
        ("S empty", |der| rebuild(der, |_, s| s.clear())),
        ("R of 33 digits", |der| {
            rebuild(der, |r, _| *r = vec![1; 33])
        }),
        ("S of 33 digits", |der| {
            rebuild(der, |_, s| *s = vec![1; 33])
        }),
        ("S is the order", |der| {
            rebuild(der, |_, s| {
                *s = hex::decode(
                    "00fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141",
                )
                .expect("hex");
            })
        }),
        ("length one too long", |der| change(der, 1, 1)),
        ("length of R one too long", |der| change(der, 3, 1)),
        ("another sequence tag", |der| change(der, 0, 1)),
        ("another integer tag", |der| change(der, 2, 1)),
        ("bytes after the end", |der| [der, &[0]].concat()),
        ("cut off", |der| der[..der.len() - 1].to_vec()),
    ];
    for (name, variant) in variants {
        let (rule, taken) = probe(&mut chain, 1, |made| {
            made.with(&variant(&made.der(sighash::ALL)), sighash::ALL)
        });
        assert!(!taken, "{name}: the kernel took it");
        assert!(
            matches!(rule, Some("InputScript" | "BadSignature")),
            "{name}: {rule:?}"
        );
    }
    let empty = probe(&mut chain, 1, |made| {
        Script::from([&[0, 33][..], &made.key()].concat())
    });
    assert_eq!(empty, (Some("InputScript"), false), "no signature");
    let long = probe(&mut chain, 1, |made| pushes(&[&[0x30; 74], &made.key()]));
    assert_eq!(long, (Some("InputScript"), false), "74 bytes");
    let high = probe(&mut chain, 1, |made| {
        made.with(&high_s(&made.der(sighash::ALL)), sighash::ALL)
    });
    assert_eq!(
        high,
        (Some("InputScript"), true),
        "b18: a high S is our restriction"
    );
}

fn change(der: &[u8], at: usize, by: u8) -> Vec<u8> {
    let mut der = der.to_vec();
    der[at] += by;
    der
}

/// The signature with its two numbers changed and the lengths made right again.
fn rebuild(der: &[u8], change: impl FnOnce(&mut Vec<u8>, &mut Vec<u8>)) -> Vec<u8> {
    let r_len = usize::from(der[3]);
    let (mut r, mut s) = (der[4..4 + r_len].to_vec(), der[6 + r_len..].to_vec());
    change(&mut r, &mut s);
    let length = |bytes: &[u8]| u8::try_from(bytes.len()).expect("short");
    let body = [&[2, length(&r)][..], &r, &[2, length(&s)], &s].concat();
    [&[0x30, length(&body)][..], &body].concat()
}

#[test]
fn t04_scripts_of_another_form_are_never_taken() {
    let mut chain = Generator::ready(14);
    // The name, the bytes before, the bytes after, and whether the kernel takes it.
    let around: [(&str, &[u8], &[u8], bool); 5] = [
        ("a push before", &[0x51], &[], true),
        ("data before", &[3, 1, 2, 3], &[], true),
        ("an operation before", &[0x61], &[], true),
        ("a push after", &[], &[0x51], false),
        ("OP_RETURN after", &[], &[0x6a], false),
    ];
    for (name, before, after, kernel) in around {
        let verdict = probe(&mut chain, 1, |made| {
            let script = made.with(&made.der(sighash::ALL), sighash::ALL);
            Script::from([before, script.as_bytes(), after].concat())
        });
        assert_eq!(verdict, (Some("InputScript"), kernel), "{name}");
    }
    let long_push = probe(&mut chain, 1, |made| {
        let signature = [made.der(sighash::ALL), vec![sighash::ALL]].concat();
        let length = u8::try_from(signature.len()).expect("short");
        Script::from([&[76, length][..], &signature, &[33], &made.key()].concat())
    });
    assert_eq!(
        long_push,
        (Some("InputScript"), true),
        "a signature pushed in a longer form"
    );
    let long_key = probe(&mut chain, 1, |made| {
        let signature = [made.der(sighash::ALL), vec![sighash::ALL]].concat();
        let pushed = pushes(&[&signature]);
        Script::from([pushed.as_bytes(), &[76, 33], &made.key()].concat())
    });
    assert_eq!(
        long_key,
        (Some("InputScript"), true),
        "a key pushed in a longer form"
    );
    let swapped = probe(&mut chain, 1, |made| {
        pushes(&[
            &made.key(),
            &[made.der(sighash::ALL), vec![sighash::ALL]].concat(),
        ])
    });
    assert!(
        !swapped.1 && swapped.0.is_some(),
        "key before signature: {swapped:?}"
    );
    let cut = probe(&mut chain, 1, |made| {
        let script = made.with(&made.der(sighash::ALL), sighash::ALL);
        Script::from(script.as_bytes()[..script.len() - 1].to_vec())
    });
    assert_eq!(cut, (Some("InputScript"), false), "a push that is cut off");
    assert_eq!(
        probe(&mut chain, 1, |_| Script::default()),
        (Some("InputScript"), false),
        "nothing"
    );
    let alone = probe(&mut chain, 1, |made| {
        pushes(&[&[made.der(sighash::ALL), vec![sighash::ALL]].concat()])
    });
    assert_eq!(alone, (Some("InputScript"), false), "a signature alone");
}

#[test]
fn t05_keys_of_another_form_are_never_taken() {
    let mut chain = Generator::ready(15);
    let compressed = chain.forge.keys[0].public.serialize();
    let full = chain.forge.keys[0].public.serialize_uncompressed();
    let with_first = |key: &[u8], first: u8| [&[first], &key[1..]].concat();
    let mut off_curve = vec![2; 33];
    off_curve[1..].fill(0);
    off_curve[32] = 5;
    let hybrid = 6 + (full[64] & 1);
    let variants: [(&str, Vec<u8>, bool); 9] = [
        ("uncompressed", full.to_vec(), true),
        ("hybrid", with_first(&full, hybrid), true),
        (
            "hybrid of the other parity",
            with_first(&full, hybrid ^ 1),
            false,
        ),
        ("another first byte", with_first(&compressed, 5), false),
        (
            "the other parity",
            with_first(&compressed, compressed[0] ^ 1),
            false,
        ),
        ("not on the curve", off_curve, false),
        ("the point at infinity", vec![0], false),
        ("all zero", vec![0; 33], false),
        ("one byte short", compressed[..32].to_vec(), false),
    ];
    for (name, key, kernel) in variants {
        // A coin that pays to the hash of such a key is an honest coin; then it is spent with it.
        let script = Script::p2pkh(&quarry::primitives::hash160(&key));
        let mut coin = None;
        let raw = chain.block_with(|draft, bench| {
            let tx = &mut draft.block.transactions[1];
            tx.outputs[0].script_pubkey = script.clone();
            bench.forge.sign(tx, &bench.spent);
            coin = Some((tx.txid(), tx.outputs[0].value.0));
        });
        assert_eq!(
            chain.submit(&raw).expect("the judges agree"),
            Verdict::Accepted,
            "{name}"
        );
        let (txid, value) = coin.expect("just made");
        let raw = chain.block_with(|draft, bench| {
            let mut tx = spend(bench.spent[0], txid, value, bench.forge);
            let digest = sighash::signature_hash(&tx, 0, &script, sighash::ALL);
            let der = bench.forge.sign_digest(&digest, 0).serialize_der();
            tx.inputs[0].script_sig = pushes(&[&[&der[..], &[sighash::ALL]].concat(), &key]);
            draft.block.transactions[1] = tx;
        });
        let (verdict, taken) = chain
            .trial
            .probe(&raw, &chain.forge.signed)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(
            matches!(verdict.rule(), Some("InputScript" | "BadSignature")),
            "{name}: {verdict:?}"
        );
        assert_eq!(taken, kernel, "{name}");
        if taken {
            chain.grow(2).expect("two blocks lead the kernel back");
        }
    }
}

fn spend(
    like: Owned,
    txid: Txid,
    value: u64,
    forge: &mut quarry_oracle::forge::Forge,
) -> quarry::primitives::Transaction {
    let mut coin = like;
    coin.outpoint = quarry::primitives::OutPoint { txid, vout: 0 };
    coin.value = value;
    let (tx, _) = forge.pay(&Payment::plain(&[coin], 1, 0));
    tx
}
