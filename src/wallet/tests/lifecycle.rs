//! Making, opening, locking, restoring.

use std::fs;

use super::*;
use crate::keys::Address;
use crate::wallet::{Branch, GAP_LIMIT, PhraseError, WalletError};

#[test]
fn a_reopened_wallet_is_the_same_wallet() {
    for (_folder, mut wallet) in [plain(), encrypted()] {
        let made: Vec<_> = (0..3)
            .map(|_| wallet.new_address(COIN_TYPE).expect("new"))
            .collect();
        let change = wallet.new_change_address(COIN_TYPE).expect("new");
        let other_network = wallet.new_address(0).expect("new");
        let mut again = Wallet::open(wallet.path()).expect("open");
        assert_eq!(again.addresses(COIN_TYPE), wallet.addresses(COIN_TYPE));
        assert_eq!(again.addresses(0).len(), 1);
        assert!(
            made.iter()
                .chain([&change, &other_network])
                .all(|hash| again.owns(hash))
        );
        assert!(again.addresses(7).is_empty());

        assert_eq!(again.is_locked(), again.is_encrypted());
        if again.is_locked() {
            assert!(matches!(again.recovery_phrase(), Err(WalletError::Locked)));
            again.unlock(PASSPHRASE).expect("unlock");
        }
        let phrase = again.recovery_phrase().expect("unlocked");
        assert_eq!(phrase, wallet.recovery_phrase().expect("unlocked"));
        assert_eq!(phrase.split(' ').count(), 12);
        for hash in made.iter().chain([&change, &other_network]) {
            let key = again.secret_key_for(hash).expect("unlocked").expect("own");
            assert_eq!(key.public_key().pubkey_hash(), *hash);
        }
    }
}

#[test]
fn addresses_come_in_the_order_of_their_making_with_their_paths() {
    let (_folder, mut wallet) = plain();
    let first = wallet.new_address(COIN_TYPE).expect("new");
    let change = wallet.new_change_address(COIN_TYPE).expect("new");
    let second = wallet.new_address(COIN_TYPE).expect("new");
    let list = wallet.addresses(COIN_TYPE);
    let found: Vec<_> = list
        .iter()
        .map(|a| (a.hash, a.path(), a.is_change()))
        .collect();
    assert_eq!(
        found,
        [
            (first, Some("m/44'/1'/0'/0/0".to_owned()), false),
            (change, Some("m/44'/1'/0'/1/0".to_owned()), true),
            (second, Some("m/44'/1'/0'/0/1".to_owned()), false),
        ]
    );
    assert!(list.iter().all(|a| a.created > 1_600_000_000));
    assert_eq!(
        wallet.address(&change).map(|a| a.branch),
        Some(Branch::Change)
    );
}

#[test]
fn a_locked_wallet_makes_addresses_of_networks_it_knows() {
    let (_folder, mut wallet) = encrypted();
    let before = wallet.new_address(COIN_TYPE).expect("new");
    wallet.lock().expect("lock");
    let locked = wallet.new_address(COIN_TYPE).expect("new while locked");
    assert_ne!(locked, before);
    let error = wallet.new_address(0).expect_err("unknown network");
    assert!(matches!(
        error,
        WalletError::LockedForNewNetwork { coin_type: 0 }
    ));
    assert!(matches!(
        wallet.secret_key_for(&locked),
        Err(WalletError::Locked)
    ));
    wallet.unlock(PASSPHRASE).expect("unlock");
    let key = wallet
        .secret_key_for(&locked)
        .expect("unlocked")
        .expect("own");
    assert_eq!(key.public_key().pubkey_hash(), locked);
}

#[test]
fn only_the_passphrase_unlocks() {
    let (_folder, mut wallet) = encrypted();
    wallet.lock().expect("lock");
    for wrong in [
        "",
        "Correct horse battery staple",
        "correct horse battery staple ",
    ] {
        assert!(matches!(
            wallet.unlock(wrong),
            Err(WalletError::WrongPassphrase)
        ));
        assert!(wallet.is_locked());
    }
    wallet.unlock(PASSPHRASE).expect("unlock");
    assert!(!wallet.is_locked());

    let (_folder, mut wallet) = plain();
    assert!(matches!(
        wallet.unlock(PASSPHRASE),
        Err(WalletError::NotEncrypted)
    ));
    assert!(matches!(wallet.lock(), Err(WalletError::NotEncrypted)));
}

#[test]
fn the_default_cost_works_and_is_written_down() {
    let (_folder, path) = place();
    Wallet::create(&path, Some(PASSPHRASE)).expect("create");
    let text = fs::read_to_string(&path).expect("read");
    for part in ["\"argon2id\"", "\"memory_kib\": 65536", "\"passes\": 3"] {
        assert!(text.contains(part), "{part}");
    }
    let mut wallet = Wallet::open(&path).expect("open");
    wallet.unlock(PASSPHRASE).expect("unlock");
}

#[test]
fn the_passphrase_can_be_set_changed_and_removed() {
    let (_folder, mut wallet) = plain();
    let hash = wallet.new_address(COIN_TYPE).expect("new");
    let phrase = wallet.recovery_phrase().expect("plain");
    let text = |wallet: &Wallet| fs::read_to_string(wallet.path()).expect("read");
    assert!(text(&wallet).contains(phrase.as_str()));

    for passphrase in ["one", "two"] {
        wallet
            .set_passphrase_with(Some(passphrase), cheap())
            .expect("set");
        assert!(!wallet.is_locked());
        let first_word = phrase.split(' ').next().expect("words");
        assert!(!text(&wallet).contains(&format!("\"{first_word} ")));
        wallet.lock().expect("lock");
        assert!(matches!(
            wallet.set_passphrase_with(Some("three"), cheap()),
            Err(WalletError::Locked)
        ));
        wallet.unlock(passphrase).expect("unlock");
    }
    assert!(matches!(
        wallet.unlock("one"),
        Err(WalletError::WrongPassphrase)
    ));
    let before = text(&wallet);
    assert!(matches!(
        wallet.set_passphrase(Some("")),
        Err(WalletError::EmptyPassphrase)
    ));
    assert_eq!(text(&wallet), before, "a refusal changes nothing");
    wallet.set_passphrase(None).expect("remove");
    let again = Wallet::open(wallet.path()).expect("open");
    assert!(!again.is_locked() && again.owns(&hash));
    assert_eq!(again.recovery_phrase().expect("plain"), phrase);
}

/// Copies of an old file stay readable with the old passphrase, so a change of passphrase is not a change of keys.
#[test]
fn another_process_finds_a_changed_passphrase_and_locks() {
    let (_folder, mut one) = plain();
    let mut two = Wallet::open(one.path()).expect("open");
    assert!(!two.is_locked());
    one.set_passphrase_with(Some("p"), cheap()).expect("set");
    one.new_address(COIN_TYPE).expect("new");
    two.refresh().expect("refresh");
    assert!(two.is_locked());
    two.new_address(COIN_TYPE).expect("new while locked");
    two.unlock("p").expect("unlock");
    one.set_passphrase(None).expect("remove");
    one.refresh().expect("refresh");
    assert_eq!(one.addresses(COIN_TYPE).len(), 2);
    two.refresh().expect("refresh");
    assert!(!two.is_encrypted() && !two.is_locked());
}

#[test]
fn nothing_is_overwritten() {
    let (_folder, wallet) = plain();
    let before = fs::read(wallet.path()).expect("read");
    for result in [
        Wallet::create(wallet.path(), None),
        Wallet::create_with(wallet.path(), Some("p"), cheap()),
        Wallet::restore(wallet.path(), PHRASE, None),
    ] {
        assert!(matches!(result, Err(WalletError::AlreadyExists { .. })));
    }
    assert_eq!(fs::read(wallet.path()).expect("read"), before);
}

#[test]
fn a_refused_creation_leaves_no_wallet() {
    let (folder, path) = place();
    assert!(matches!(
        Wallet::create(&path, Some("")),
        Err(WalletError::EmptyPassphrase)
    ));
    let error = Wallet::restore(&path, "abandon abandon", None).expect_err("refused");
    assert!(matches!(
        error,
        WalletError::BadPhrase(PhraseError::WordCount { found: 2 })
    ));
    assert_eq!(fs::read_dir(folder.path()).expect("list").count(), 0);
    assert!(matches!(
        Wallet::open(&path),
        Err(WalletError::NotFound { .. })
    ));
}

/// The address every BIP44 wallet shows for this phrase on a test network (see `hd`).
#[test]
fn a_phrase_restores_the_same_addresses_as_anywhere() {
    let (_folder, path) = place();
    let mut wallet = Wallet::restore(&path, PHRASE, None).expect("restore");
    let hash = wallet.new_address(1).expect("new");
    assert_eq!(
        Address::new(hash, 0x6f).to_string(),
        "mkpZhYtJu2r87Js3pDiWJDmPte2NRZ8bJV"
    );
    assert_eq!(wallet.recovery_phrase().expect("plain").as_str(), PHRASE);

    // 24 words: BIP39's vector of 32 bytes 0x7f.
    let long = "legal winner thank year wave sausage worth useful legal winner thank year wave sausage worth \
                useful legal winner thank year wave sausage worth title";
    let (_folder, path) = place();
    let mut wallet = Wallet::restore_with(&path, long, Some("p"), cheap()).expect("restore");
    wallet.lock().expect("lock");
    wallet.unlock("p").expect("unlock");
    assert_eq!(wallet.recovery_phrase().expect("unlocked").as_str(), long);
}

/// Row W7, drawn for a gap limit of 20: `u` is used, digits count unused ones.
/// ```text
/// u 1..19 u        both found
/// u 1..20 u        the second lies beyond the gap: not found, until it is known by other means
/// ```
#[test]
fn discovery_bridges_gaps_below_the_limit() {
    for (unused, found) in [
        (GAP_LIMIT - 2, true),
        (GAP_LIMIT - 1, true),
        (GAP_LIMIT, false),
    ] {
        let (_folder, path) = place();
        let mut old = Wallet::restore(&path, PHRASE, None).expect("restore");
        let addresses: Vec<_> = (0..unused + 2)
            .map(|_| old.new_address(COIN_TYPE).expect("new"))
            .collect();
        let used = [addresses[0], addresses[addresses.len() - 1]];
        let change = old.new_change_address(COIN_TYPE).expect("new");

        let (_folder, path) = place();
        let mut restored = Wallet::restore(&path, PHRASE, None).expect("restore");
        let count = restored
            .discover(COIN_TYPE, |hash| used.contains(hash) || *hash == change)
            .expect("discover");
        assert!(restored.owns(&used[0]) && restored.owns(&change));
        assert_eq!(restored.owns(&used[1]), found, "{unused} unused in between");
        assert_eq!(count, if found { addresses.len() + 1 } else { 2 });
        let again = restored
            .discover(COIN_TYPE, |hash| used.contains(hash))
            .expect("discover");
        assert_eq!(restored.owns(&used[1]), found || again > 0);
    }
}

#[test]
fn secrets_are_in_no_debug_form() {
    for (_folder, mut wallet) in [plain(), encrypted()] {
        wallet.new_address(COIN_TYPE).expect("new");
        let phrase = wallet.recovery_phrase().expect("unlocked");
        let shown = format!("{wallet:?} {:?}", wallet.file);
        for word in phrase.split(' ') {
            assert!(!shown.contains(&format!("{word} ")), "{word}");
        }
        assert!(
            !shown.contains(&hex::encode(
                wallet
                    .unlocked
                    .as_ref()
                    .expect("unlocked")
                    .entropy
                    .as_bytes()
            ))
        );
    }
}
