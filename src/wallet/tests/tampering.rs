//! Damaged and hostile files (rows W2 and W9 of `docs/faults.md`): every one is refused by name, none is half accepted.

use std::fs;
use std::path::Path;

use super::*;
use crate::primitives::PubkeyHash;
use crate::wallet::WalletError;
use crate::wallet::file::WalletFile;

fn kinds() -> [(TempDir, Wallet); 2] {
    let mut kinds = [plain(), encrypted()];
    for (_, wallet) in &mut kinds {
        wallet.new_address(COIN_TYPE).expect("new");
        wallet.new_change_address(COIN_TYPE).expect("new");
    }
    kinds
}

/// The error is of those that a damaged file may give, says where, and quotes no secret.
fn assert_refused(path: &Path, phrase: &str, what: &str) {
    let error = Wallet::open(path)
        .err()
        .unwrap_or_else(|| panic!("{what} was accepted"));
    assert!(
        matches!(
            error,
            WalletError::Corrupt { .. } | WalletError::UnknownVersion { .. }
        ),
        "{what}: {error}"
    );
    let text = format!("{error} {error:?}");
    assert!(text.contains("wallet.json"), "{text}");
    // Single words of the list ("file", "into") are words of the message, too; two in a row would be a quote.
    let words: Vec<_> = phrase.split(' ').collect();
    let quoted = |pair: &[&str]| text.contains(&pair.join(" "));
    assert!(!words.windows(2).any(quoted), "{text}");
}

#[test]
fn every_flipped_byte_is_noticed() {
    for (_folder, wallet) in kinds() {
        let good = fs::read(wallet.path()).expect("read");
        let phrase = wallet.recovery_phrase().expect("unlocked");
        for at in 0..good.len() {
            // The lowest bit makes another letter or digit, the sixth another case, the highest no UTF-8.
            for bit in [0x01, 0x20, 0x80] {
                let mut bad = good.clone();
                bad[at] ^= bit;
                fs::write(wallet.path(), &bad).expect("write");
                assert_refused(wallet.path(), &phrase, &format!("byte {at} ^ {bit:#x}"));
            }
        }
        fs::write(wallet.path(), &good).expect("write");
        Wallet::open(wallet.path()).expect("the good file is good");
    }
}

#[test]
fn every_cut_and_every_addition_is_noticed() {
    for (_folder, wallet) in kinds() {
        let good = fs::read(wallet.path()).expect("read");
        let phrase = wallet.recovery_phrase().expect("unlocked");
        for len in 0..good.len() {
            fs::write(wallet.path(), &good[..len]).expect("write");
            assert_refused(wallet.path(), &phrase, &format!("cut to {len}"));
        }
        for tail in ["\n", " ", "{}", "\0"] {
            fs::write(wallet.path(), [&good, tail.as_bytes()].concat()).expect("write");
            assert_refused(wallet.path(), &phrase, &format!("tail {tail:?}"));
        }
    }
}

#[test]
fn other_files_are_named_for_what_they_are() {
    let (_folder, wallet) = plain();
    let good = fs::read_to_string(wallet.path()).expect("read");
    let newer = good.replace("\"version\": 1", "\"version\": 3");
    let other = good.replace("quarry-wallet", "other-wallet");
    for (text, part) in [
        (
            newer.as_str(),
            "wallet format 3, this program knows format 2",
        ),
        (other.as_str(), "not a wallet file of quarry"),
        ("", "not JSON"),
        ("[]", "not JSON"),
        (
            "{\"format\":\"quarry-wallet\",\"version\":1}",
            "cannot be read",
        ),
    ] {
        fs::write(wallet.path(), text).expect("write");
        let error = Wallet::open(wallet.path())
            .expect_err("refused")
            .to_string();
        assert!(error.contains(part), "{error}");
    }
    let deep = "[".repeat(1 << 20);
    fs::write(wallet.path(), deep).expect("write");
    assert!(matches!(
        Wallet::open(wallet.path()),
        Err(WalletError::Corrupt { .. })
    ));
}

/// Someone who can write the file can also repair its checksum. `edit` works on the file's text.
fn forge(wallet: &Wallet, edit: impl FnOnce(String) -> String) {
    let text = fs::read_to_string(wallet.path()).expect("read");
    let edited: WalletFile = serde_json::from_str(&edit(text)).expect("still JSON");
    fs::write(wallet.path(), edited.render().as_slice()).expect("write");
}

#[test]
fn a_forged_cost_is_refused_at_opening() {
    let (_folder, wallet) = encrypted();
    forge(&wallet, |text| {
        text.replace("\"memory_kib\": 8", "\"memory_kib\": 1099511627776")
    });
    let error = Wallet::open(wallet.path()).expect_err("refused");
    assert!(
        matches!(
            error,
            WalletError::KdfOutOfBounds {
                found: 1_099_511_627_776,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn a_forged_header_does_not_unlock() {
    let (_folder, mut wallet) = encrypted();
    wallet.lock().expect("lock");
    let created = fs::read_to_string(wallet.path())
        .expect("read")
        .lines()
        .find(|line| line.contains("\"created\""))
        .expect("header")
        .to_owned();
    forge(&wallet, |text| {
        text.replacen(&created, "  \"created\": 12345,", 1)
    });
    let mut opened = Wallet::open(wallet.path()).expect("the checksum fits");
    assert!(matches!(
        opened.unlock(PASSPHRASE),
        Err(WalletError::WrongPassphrase)
    ));
}

/// A thief who can write the file puts his own address where the owner's was: unlocking tells.
#[test]
fn foreign_addresses_and_keys_are_found_at_unlocking() {
    let (_other_folder, mut other) = plain();
    let theirs = other.new_address(COIN_TYPE).expect("new");
    let their_file = fs::read_to_string(other.path()).expect("read");
    let xpub_of = |text: &str| -> String {
        let line = text
            .lines()
            .find(|line| line.contains("\"xpub\""))
            .expect("xpub");
        line.to_owned()
    };

    for forged_key in [false, true] {
        let (_folder, mut wallet) = encrypted();
        let ours = wallet.new_address(COIN_TYPE).expect("new");
        forge(&wallet, |text| match forged_key {
            true => text.replace(&xpub_of(&text), &xpub_of(&their_file)),
            false => text.replace(&ours.to_string(), &theirs.to_string()),
        });
        let mut opened = Wallet::open(wallet.path()).expect("the checksum fits");
        let error = opened.unlock(PASSPHRASE).expect_err("refused");
        assert!(error.to_string().contains("not this wallet's"), "{error}");
        assert!(opened.is_locked());
    }
}

/// The same, under the eyes of a process that is unlocked.
#[test]
fn a_foreign_address_is_found_by_an_unlocked_wallet() {
    let (_other_folder, mut other) = plain();
    let theirs = other.new_address(COIN_TYPE).expect("new");
    for (_folder, mut wallet) in [plain(), encrypted()] {
        wallet.new_address(COIN_TYPE).expect("new");
        let mut writer = Wallet::open(wallet.path()).expect("open");
        let ours = writer.new_address(COIN_TYPE).expect("new");
        forge(&wallet, |text| {
            text.replace(&ours.to_string(), &theirs.to_string())
        });
        let error = wallet.new_address(COIN_TYPE).expect_err("refused");
        assert!(error.to_string().contains("not this wallet's"), "{error}");
        assert!(!wallet.owns(&theirs));
    }
}

#[test]
fn lists_that_contradict_themselves_are_refused() {
    let (_folder, mut wallet) = plain();
    let one = wallet.new_address(COIN_TYPE).expect("new");
    let two = wallet.new_address(COIN_TYPE).expect("new");
    let good = fs::read(wallet.path()).expect("read");
    let edits: [(&str, String, String); 5] = [
        ("an address twice", two.to_string(), one.to_string()),
        (
            "a wrong next index",
            "\"next_external\": 2".to_owned(),
            "\"next_external\": 1".to_owned(),
        ),
        (
            "a gap",
            "\"index\": 1".to_owned(),
            "\"index\": 5".to_owned(),
        ),
        (
            "a wrong branch",
            "\"change\": false".to_owned(),
            "\"change\": true".to_owned(),
        ),
        (
            "another id",
            wallet.file.id.to_string(),
            PubkeyHash::ZERO.to_string(),
        ),
    ];
    for (what, from, to) in edits {
        fs::write(wallet.path(), &good).expect("write");
        forge(&wallet, |text| {
            assert!(text.contains(&from), "{what}");
            text.replacen(&from, &to, 1)
        });
        let error = Wallet::open(wallet.path())
            .err()
            .unwrap_or_else(|| panic!("{what}"));
        assert!(
            matches!(error, WalletError::Corrupt { .. }),
            "{what}: {error}"
        );
    }
}

#[cfg(unix)]
#[test]
fn a_link_or_an_open_mode_is_refused_by_every_call() {
    use std::os::unix::fs::{PermissionsExt, symlink};

    let (folder, mut wallet) = plain();
    let link = folder.path().join("link.json");
    symlink(wallet.path(), &link).expect("link");
    assert!(matches!(
        Wallet::open(&link),
        Err(WalletError::Symlink { .. })
    ));
    assert!(matches!(
        Wallet::create(&link, None),
        Err(WalletError::AlreadyExists { .. })
    ));

    fs::set_permissions(wallet.path(), PermissionsExt::from_mode(0o644)).expect("chmod");
    let error = Wallet::open(wallet.path()).expect_err("refused");
    assert!(matches!(error, WalletError::WrongMode { mode: 0o644, .. }));
    assert!(error.to_string().contains("chmod 600"), "{error}");
    assert!(matches!(
        wallet.new_address(COIN_TYPE),
        Err(WalletError::WrongMode { .. })
    ));
}

#[test]
fn a_wallet_swapped_or_removed_while_open_is_noticed() {
    let (_folder, mut wallet) = plain();
    let (_other_folder, other) = plain();
    let other_bytes = fs::read(other.path()).expect("read");
    fs::write(wallet.path(), &other_bytes).expect("write");
    assert!(matches!(
        wallet.new_address(COIN_TYPE),
        Err(WalletError::Replaced { .. })
    ));
    assert_eq!(fs::read(wallet.path()).expect("read"), other_bytes);
    fs::remove_file(wallet.path()).expect("remove");
    assert!(matches!(
        wallet.new_address(COIN_TYPE),
        Err(WalletError::NotFound { .. })
    ));
    assert!(!wallet.path().exists(), "never made again by itself");
}
