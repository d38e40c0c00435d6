//! Imported descriptors, wallets that only watch, labels, sent payments, and files of both versions.

use std::fs;

use super::*;
use crate::consensus::ChainSpec;
use crate::keys::SecretKey;
use crate::primitives::{ChainId, OutPoint, SEQUENCE_FINAL, Script, Transaction, TxIn};
use crate::wallet::{Branch, Descriptor, GAP_LIMIT, Import, Outgoing, WalletError};

const TPRV: &str = "tprv8ZgxMBicQKsPd7Uf69XL1XwhmjHopUGep8GuEiJDZmbQz6o58LninorQAfcKZWARbtRtfnLcJ5MQ2AtHcQJCCRUcMRvmDUjyEmNUWwx8UbK";

fn ranged(private: bool) -> Descriptor {
    let spec = ChainSpec::regtest();
    let text = format!("pkh({TPRV}/44h/1h/7h/0/*)");
    let descriptor = Descriptor::parse(&text, &spec).expect("right");
    match private {
        true => descriptor,
        false => Descriptor::parse(&descriptor.to_text(&spec), &spec).expect("written by us"),
    }
}

fn import(descriptor: Descriptor, active: bool) -> Import {
    Import {
        descriptor,
        range: (0, 30),
        next: None,
        active,
        change: false,
        created: 1,
    }
}

fn single() -> (SecretKey, Descriptor) {
    let key = SecretKey::from_bytes(&[9; 32]).expect("in range");
    (key.clone(), Descriptor::of_secret(key))
}

/// The file of this version was written by version 0.1.0 of the program; its phrase is BIP39's first vector.
const FIRST_FILE: &str = include_str!("wallet-v1.json");

#[test]
fn a_file_of_the_first_version_opens_and_stays_one_until_it_must_hold_more() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("wallet.json");
    fs::write(&path, FIRST_FILE).expect("write");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("mode");
    let mut wallet = Wallet::open(&path).expect("the first version");
    assert_eq!(wallet.recovery_phrase().expect("in clear").as_str(), PHRASE);
    assert_eq!(wallet.format_version(), 1);
    let first = wallet.addresses(COIN_TYPE)[0].hash;
    wallet.new_address(COIN_TYPE).expect("new");
    assert!(
        fs::read_to_string(&path)
            .expect("read")
            .contains("\"version\": 1,")
    );
    wallet.set_label(&[first], "rent").expect("label");
    assert!(
        fs::read_to_string(&path)
            .expect("read")
            .contains("\"version\": 2,")
    );
    let again = Wallet::open(&path).expect("the second version");
    assert_eq!(again.label(&first), Some("rent"));
    assert_eq!(again.addresses(COIN_TYPE), wallet.addresses(COIN_TYPE));
}

#[test]
fn imported_keys_sign_and_are_sealed_in_the_file() {
    for (_folder, mut wallet) in [plain(), encrypted()] {
        let (key, descriptor) = single();
        let hash = key.public_key().pubkey_hash();
        wallet
            .import(
                COIN_TYPE,
                &[import(descriptor, false), import(ranged(true), false)],
            )
            .expect("import");
        let hashes = ranged(true).hashes(0, 30);
        let file = fs::read_to_string(wallet.path()).expect("read");
        let wif = key.to_wif(0x80);
        assert!(!file.contains(wif.as_str()) && !file.contains("prv"));
        assert!(!format!("{wallet:?}").contains(wif.as_str()));

        let mut again = Wallet::open(wallet.path()).expect("open");
        if again.is_encrypted() {
            assert!(matches!(
                again.secret_key_for(&hash),
                Err(WalletError::Locked)
            ));
            let locked = again.import(COIN_TYPE, &[import(single().1, false)]);
            assert!(matches!(locked, Err(WalletError::Locked)));
            again.unlock(PASSPHRASE).expect("unlock");
        }
        for own in hashes.iter().chain([&hash]) {
            assert!(again.owns(own) && again.watches(COIN_TYPE, own) && !again.watches(0, own));
            let key = again.secret_key_for(own).expect("unlocked").expect("own");
            assert_eq!(key.public_key().pubkey_hash(), *own);
            let public = again.public_key(own).expect("known").public;
            assert_eq!(public, key.public_key());
        }
        let listed = again.descriptors(COIN_TYPE, true).expect("unlocked");
        assert!(listed.iter().all(|one| one.descriptor.has_secret()));
        let listed = again.descriptors(COIN_TYPE, false).expect("public");
        assert!(!listed.iter().any(|one| one.descriptor.has_secret()));

        // Another passphrase seals the phrase anew, and imports are still open to it.
        again
            .set_passphrase_with(Some("another"), cheap())
            .expect("unlocked");
        let mut third = Wallet::open(again.path()).expect("open");
        third.unlock("another").expect("unlock");
        assert!(third.secret_key_for(&hash).expect("unlocked").is_some());
    }
}

#[test]
fn a_wallet_without_private_keys_watches_and_makes_addresses() {
    let (_folder, path) = place();
    let mut wallet = Wallet::create_watch_only(&path).expect("create");
    assert!(!wallet.is_locked() && !wallet.has_private_keys() && !wallet.is_encrypted());
    assert!(matches!(
        wallet.new_address(COIN_TYPE),
        Err(WalletError::NoActiveDescriptor)
    ));
    assert!(matches!(
        wallet.recovery_phrase(),
        Err(WalletError::WatchOnly)
    ));
    assert!(matches!(
        wallet.set_passphrase_with(Some("x"), cheap()),
        Err(WalletError::WatchOnly)
    ));
    let refused = wallet.import(COIN_TYPE, &[import(ranged(true), true)]);
    assert!(matches!(refused, Err(WalletError::ImportWithKey)));
    wallet
        .import(COIN_TYPE, &[import(ranged(false), true)])
        .expect("import");
    let hashes = ranged(false).hashes(0, 100);
    for hash in &hashes[..15] {
        assert_eq!(wallet.new_address(COIN_TYPE).expect("active"), *hash);
    }
    let listed: Vec<_> = wallet
        .addresses(COIN_TYPE)
        .iter()
        .map(|one| one.hash)
        .collect();
    assert_eq!(listed, hashes[..15]);
    // The range stays ahead of what was handed out.
    assert!(wallet.owns(&hashes[34]) && !wallet.owns(&hashes[35]));
    assert!(matches!(
        wallet.secret_key_for(&hashes[0]),
        Err(WalletError::WatchOnly)
    ));
    let again = Wallet::open(&path).expect("open");
    assert!(again.owns(&hashes[34]) && !again.has_private_keys());

    let (_folder, mut with_keys) = plain();
    let refused = with_keys.import(COIN_TYPE, &[import(ranged(false), true)]);
    assert!(matches!(refused, Err(WalletError::ImportWithoutKey)));
    for range in [(5, 5), (0, 1 << 31), (0, 30_000)] {
        let wrong = Import {
            range,
            ..import(ranged(true), true)
        };
        assert!(matches!(
            with_keys.import(COIN_TYPE, &[wrong]),
            Err(WalletError::ImportRange { .. })
        ));
    }
    assert!(
        with_keys
            .descriptors(COIN_TYPE, false)
            .expect("public")
            .is_empty(),
        "all or nothing"
    );
}

/// What was paid without being handed out is taken up, with what comes before it (row W7: the look-ahead moves on).
#[test]
fn w07_payments_ahead_of_the_last_address_are_taken_up() {
    let (_folder, path) = place();
    let mut all = Wallet::restore(&path, PHRASE, None).expect("restore");
    let made: Vec<_> = (0..45)
        .map(|_| all.new_address(COIN_TYPE).expect("new"))
        .collect();
    let (_folder, path) = place();
    let mut copy = Wallet::restore(&path, PHRASE, None).expect("restore");
    assert_eq!(copy.new_address(COIN_TYPE).expect("new"), made[0]);
    let ahead = copy.ahead(COIN_TYPE);
    assert_eq!(ahead.len(), 2 * usize::try_from(GAP_LIMIT).expect("small"));
    assert!(ahead.contains(&made[20]) && !ahead.contains(&made[21]));
    assert!(
        !copy.take_up(COIN_TYPE, &[made[30]]).expect("written"),
        "beyond the gap"
    );
    assert!(copy.take_up(COIN_TYPE, &[made[20]]).expect("written"));
    assert_eq!(copy.extent(COIN_TYPE).external, 21);
    assert!(copy.ahead(COIN_TYPE).contains(&made[40]));
    assert_eq!(
        copy.address(&made[7]).map(|one| one.branch),
        Some(Branch::External)
    );
}

#[test]
fn copies_are_whole_and_never_replace_a_file() {
    for (folder, mut wallet) in [plain(), encrypted()] {
        let hash = wallet.new_address(COIN_TYPE).expect("new");
        let copy = folder.path().join("copy.json");
        wallet.back_up(&copy).expect("written");
        assert!(matches!(
            wallet.back_up(&copy),
            Err(WalletError::AlreadyExists { .. })
        ));
        assert_eq!(
            fs::read(&copy).expect("read"),
            fs::read(wallet.path()).expect("read")
        );
        let place = folder.path().join("wallets").join("again.json");
        let restored = Wallet::restore_file(&place, &copy).expect("restored");
        assert!(restored.owns(&hash));
        let again = Wallet::restore_file(&place, &copy);
        assert!(matches!(again, Err(WalletError::AlreadyExists { .. })));
        fs::write(&copy, "{}").expect("write");
        assert!(Wallet::restore_file(folder.path().join("x.json"), &copy).is_err());
    }
}

#[test]
fn sent_payments_are_kept_by_network_until_they_are_buried() {
    let (_folder, mut wallet) = plain();
    let (one, other) = (ChainId::from_bytes([1; 32]), ChainId::from_bytes([2; 32]));
    let payment = |lock_time| Transaction {
        version: 2,
        inputs: vec![TxIn {
            previous_output: OutPoint::NULL,
            script_sig: Script::default(),
            sequence: SEQUENCE_FINAL,
        }],
        outputs: Vec::new(),
        lock_time,
    };
    let sent = |lock_time, replaces| Outgoing {
        txid: payment(lock_time).txid(),
        tx: payment(lock_time),
        time: 9,
        abandoned: false,
        comment: "for \"rent\"".to_owned(),
        to: String::new(),
        replaces,
        replaced_by: None,
    };
    wallet
        .note_outgoing(one, &sent(1, None), |_| false)
        .expect("noted");
    let first = payment(1).txid();
    wallet
        .note_outgoing(one, &sent(2, Some(first)), |_| false)
        .expect("noted");
    wallet.abandon(&one, &[first]).expect("noted");
    let again = Wallet::open(wallet.path()).expect("open");
    let kept = again.outgoing(&one);
    assert_eq!(kept.len(), 2);
    assert!(kept[0].abandoned && kept[0].replaced_by == Some(payment(2).txid()));
    assert_eq!(kept[1], sent(2, Some(first)));
    assert!(again.outgoing(&other).is_empty());
    wallet
        .note_outgoing(one, &sent(3, None), |txid| *txid == first)
        .expect("noted");
    assert_eq!(wallet.outgoing(&one).len(), 2);
    let long = Outgoing {
        comment: "x".repeat(2_000),
        ..sent(4, None)
    };
    assert!(matches!(
        wallet.note_outgoing(one, &long, |_| false),
        Err(WalletError::TextTooLong { .. })
    ));
}
