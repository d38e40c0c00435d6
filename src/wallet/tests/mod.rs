//! Tests of the wallet as its users see it; each file of the module tests its own part.

mod book;
mod concurrency;
mod imports;
mod ledger;
mod lifecycle;
mod payment;
mod tampering;

use std::path::PathBuf;

use tempfile::TempDir;

use super::{KdfParams, Wallet};

/// A coin type for tests: "all testnets" in SLIP-44.
const COIN_TYPE: u32 = 1;
const PASSPHRASE: &str = "correct horse battery staple";
/// BIP39's first vector.
const PHRASE: &str =
    "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about";

/// Least cost that Argon2 allows, so that a test may derive thousands of keys.
fn cheap() -> KdfParams {
    KdfParams::new(8, 1, 1).expect("allowed")
}

fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("data").join("wallet.json");
    (folder, path)
}

fn plain() -> (TempDir, Wallet) {
    let (folder, path) = place();
    (folder, Wallet::create(path, None).expect("create"))
}

fn encrypted() -> (TempDir, Wallet) {
    let (folder, path) = place();
    (
        folder,
        Wallet::create_with(path, Some(PASSPHRASE), cheap()).expect("create"),
    )
}
