//! What people and programs write as text, and the input script. The first byte of the input chooses the form.

use std::str::FromStr;

use bitcoin::secp256k1;
use quarry::consensus::ChainSpec;
use quarry::keys::{Address, PublicKey, SecretKey, parse_script_sig};
use quarry::primitives::{Amount, BlockHash, COIN, MAX_MONEY, PubkeyHash, Script, Txid};
use quarry::rpc::{named_params, positional_params};

use crate::memory::bounded;
use crate::rules;

/// Runs one input.
pub fn run(data: &[u8]) {
    let Some((choice, bytes)) = data.split_first() else {
        return;
    };
    match choice % 8 {
        0 => script_sig(bytes),
        1 => public_key(bytes),
        2 => secret_key(bytes),
        choice => {
            let Ok(text) = str::from_utf8(bytes) else {
                return;
            };
            match choice {
                3 => address(text),
                4 => amount(text),
                5 => hashes(text),
                _ => parameters(text, choice == 6),
            }
        }
    }
}

/// The one form of an input script: what is taken has one encoding, and libsecp256k1 takes signature and key too.
fn script_sig(bytes: &[u8]) {
    let ours = parse_script_sig(&Script::from(bytes.to_vec()));
    let theirs = rules::signature_and_key(bytes);
    assert_eq!(ours.is_ok(), theirs.is_some(), "{ours:?}");
    let Ok((signature, key)) = ours else {
        return;
    };
    let der = signature.to_der();
    let length = u8::try_from(der.len() + 1).expect("a signature is short");
    let again = [&[length][..], &der, &[1, 33], &key.to_bytes()].concat();
    assert_eq!(again, bytes);
}

fn public_key(bytes: &[u8]) {
    let ours = PublicKey::from_bytes(bytes);
    let theirs = (bytes.len() == 33).then(|| secp256k1::PublicKey::from_slice(bytes));
    assert_eq!(ours.is_ok(), matches!(theirs, Some(Ok(_))), "{ours:?}");
    if let Ok(key) = ours {
        assert_eq!(&key.to_bytes()[..], bytes);
    }
}

fn secret_key(bytes: &[u8]) {
    let Ok(bytes) = <[u8; 32]>::try_from(bytes) else {
        return;
    };
    let ours = SecretKey::from_bytes(&bytes);
    let theirs = secp256k1::SecretKey::from_slice(&bytes);
    assert_eq!(ours.is_ok(), theirs.is_ok());
    if let (Ok(ours), Ok(theirs)) = (ours, theirs) {
        let secp = secp256k1::Secp256k1::signing_only();
        let expected = theirs.public_key(&secp).serialize();
        assert_eq!(ours.public_key().to_bytes(), expected);
    }
}

fn address(text: &str) {
    let theirs = bitcoin::base58::decode_check(text).ok();
    for version in [0, 0x6f] {
        match bounded("address", text.len(), 16, 2048, || {
            Address::parse(text, version)
        }) {
            Ok(address) => {
                assert_eq!(address.to_string(), text, "an address has one form");
                let payload = theirs.as_ref().expect("rust-bitcoin reads it too");
                assert_eq!(payload[0], version);
                assert_eq!(payload[1..], address.pubkey_hash().to_bytes());
            }
            Err(error) => {
                let right = theirs
                    .as_ref()
                    .is_some_and(|payload| payload.len() == 21 && payload[0] == version);
                assert!(!right || text.len() > 64, "{text}: {error}");
                assert!(
                    error.to_string().len() < 600,
                    "an error quotes no more than it must"
                );
            }
        }
    }
}

fn amount(text: &str) {
    let Ok(amount) = bounded("amount", text.len(), 8, 1024, || Amount::from_str(text)) else {
        return;
    };
    assert!(amount.units() <= MAX_MONEY);
    assert_eq!(amount.to_string().parse(), Ok(amount));
    assert_eq!(amount.to_decimal_string8().parse(), Ok(amount));
    // The same number by another way: whole coins and the first eight decimals, each as an integer.
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().fold(0, |n, b| n * 10 + u64::from(b - b'0'));
    let decimals: String = fraction.chars().chain("00000000".chars()).take(8).collect();
    let whole = whole.trim_start_matches('0');
    assert_eq!(amount.units(), digits(whole) * COIN + digits(&decimals));
}

fn hashes(text: &str) {
    if let Ok(hash) = BlockHash::from_str(text) {
        assert_eq!(hash.to_string(), text.to_ascii_lowercase());
        assert_eq!(
            Txid::from_str(text).map(Txid::to_bytes),
            Ok(hash.to_bytes())
        );
        let theirs: bitcoin::BlockHash = text.parse().expect("rust-bitcoin reads it too");
        assert_eq!(hash.to_bytes()[..], bitcoin::consensus::serialize(&theirs));
    }
    if let Ok(hash) = PubkeyHash::from_str(text) {
        assert_eq!(hash.to_string(), text.to_ascii_lowercase());
    }
}

/// A method and its parameters, a line each, as the command line passes them on.
fn parameters(text: &str, named: bool) {
    let mut lines = text.lines();
    let method = lines.next().unwrap_or_default();
    let texts: Vec<String> = lines.map(str::to_owned).collect();
    if named {
        if let Ok(params) = named_params(method, &texts) {
            assert!(params.is_object());
        }
    } else if let Ok(params) = positional_params(method, &texts) {
        assert_eq!(params.as_array().map(Vec::len), Some(texts.len()));
    }
}

/// Right and almost right ones.
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let mut seeds = Vec::new();
    let mut add = |name: &str, choice: u8, bytes: &[u8]| {
        seeds.push((name.to_owned(), [&[choice][..], bytes].concat()));
    };
    let blocks = crate::node::sample_blocks();
    for (index, payment) in blocks
        .iter()
        .filter_map(|b| b.transactions.get(1))
        .enumerate()
    {
        let script = payment.inputs[0].script_sig.as_bytes();
        add(&format!("script-{index}"), 0, script);
        add(&format!("key-{index}"), 1, &script[script.len() - 33..]);
        add(
            &format!("hash-{index}"),
            5,
            payment.txid().to_string().as_bytes(),
        );
    }
    add("secret", 2, &[7; 32]);
    add("secret-too-large", 2, &[0xff; 32]);
    for (name, version) in [("dev", 0), ("regtest", 0x6f)] {
        let address = Address::new(PubkeyHash::from_bytes([0x5a; 20]), version);
        add(
            &format!("address-{name}"),
            3,
            address.to_string().as_bytes(),
        );
    }
    add("address-zeros", 3, "1".repeat(30).as_bytes());
    for text in [
        "50",
        "0.00000001",
        "21000000",
        "20999999.9769",
        ".5",
        "1.",
        "-1",
        "1e8",
    ] {
        add(&format!("amount-{text}"), 4, text.as_bytes());
    }
    add(
        "hash-genesis",
        5,
        ChainSpec::dev()
            .genesis_block()
            .hash()
            .to_string()
            .as_bytes(),
    );
    add("hash-key", 5, "0A".repeat(20).as_bytes());
    add("named-send", 6, b"sendtoaddress\naddress=x\namount=0.5");
    add("named-mixed", 6, b"getblock\n00\nverbosity=2");
    add("positional-height", 7, b"getblockhash\n5");
    add("positional-text", 7, b"nothing\n[1,{\"a\":null}]\ntext");
    seeds
}
