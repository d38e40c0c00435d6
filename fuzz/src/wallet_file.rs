//! Wallet files. The first byte of the input says whether the file gets a checksum that fits, the rest is the file.

use std::collections::HashSet;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use quarry::primitives::sha256d;
use quarry::wallet::{KdfParams, Wallet, WalletError};
use serde_json::Value;
use tempfile::TempDir;

use crate::memory::bounded;

/// Bytes of memory for each byte of a file.
const FACTOR: u64 = 64;
/// For deriving the keys of a phrase.
const FIXED: u64 = 64 << 10;
/// KiB times passes that an unlocking may cost here; the product's own limit is 2^22.
const MOST_WORK: u64 = 256;
/// The product's limit on the memory of an unlocking, in KiB.
const LIMIT_KIB: u64 = 1 << 20;
const PASSPHRASE: &str = "fuzz";
/// BIP39's first test vector.
const PHRASE: &str =
    "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about";

/// Runs one input.
pub fn run(data: &[u8]) {
    thread_local! {
        static FOLDER: TempDir = TempDir::new().expect("a temporary folder can be made");
    }
    let Some((choice, bytes)) = data.split_first() else {
        return;
    };
    let fixed = (choice % 2 == 1).then(|| with_checksum(bytes)).flatten();
    let bytes = fixed.as_deref().unwrap_or(bytes);
    FOLDER.with(|folder| open(&folder.path().join("wallet.json"), bytes));
}

fn open(path: &Path, bytes: &[u8]) {
    write(path, bytes);
    let cost = Cost::of(bytes);
    let opened = bounded("wallet", bytes.len(), FACTOR, FIXED, || Wallet::open(path));
    let mut wallet = match opened {
        Ok(wallet) => wallet,
        Err(error) => {
            let text = format!("{error} {error:?}");
            assert!(
                !text.contains("abandon"),
                "an error tells the phrase: {text}"
            );
            return;
        }
    };
    assert_eq!(
        fs::read(path).ok().as_deref(),
        Some(bytes),
        "opening changed the file"
    );
    let addresses = addresses(&wallet, bytes);
    assert_eq!(wallet.is_encrypted(), wallet.is_locked());
    if wallet.is_encrypted() {
        let cost = cost.expect("an encrypted wallet says what it costs");
        assert!(cost.memory_kib <= LIMIT_KIB, "a cost of {cost:?} was taken");
        if cost.memory_kib.saturating_mul(cost.passes) > MOST_WORK {
            return;
        }
        let fixed = FIXED + cost.memory_kib * 1024;
        match bounded("unlocking", bytes.len(), FACTOR, fixed, || {
            wallet.unlock(PASSPHRASE)
        }) {
            Ok(()) => {}
            Err(WalletError::WrongPassphrase | WalletError::Corrupt { .. }) => return,
            Err(other) => panic!("unlocking failed with {other:?}"),
        }
    }
    // The secret is known: it restores the same addresses.
    let phrase = wallet.recovery_phrase().expect("it is unlocked");
    let other = path.with_extension("again");
    let _ = fs::remove_file(&other);
    let mut again = Wallet::restore(&other, &phrase, None).expect("a phrase in a wallet is one");
    for address in &addresses {
        let made = if address.is_change() {
            again.new_change_address(address.coin_type)
        } else {
            again.new_address(address.coin_type)
        };
        // A plain file is trusted for its addresses until one of them signs; a sealed one is checked at once.
        if wallet.is_encrypted() {
            assert_eq!(
                made.ok(),
                Some(address.hash),
                "a foreign address was let in"
            );
        }
    }
    match wallet.new_address(1) {
        Ok(new) => {
            assert!(
                addresses.iter().all(|known| known.hash != new),
                "handed out twice"
            );
            let again = Wallet::open(path).expect("what the wallet wrote opens");
            assert!(again.owns(&new));
        }
        // The next address may be one that the file already has, under a wrong place: then what would be written is refused.
        Err(error) => drop(error),
    }
}

/// All addresses in the file, as the wallet tells them.
fn addresses(wallet: &Wallet, bytes: &[u8]) -> Vec<quarry::wallet::OwnedAddress> {
    let file: Value = serde_json::from_slice(bytes).expect("a wallet file is JSON");
    let accounts = file["accounts"].as_array().expect("it lists accounts");
    let coin_types = accounts.iter().map(|account| {
        let number = account["coin_type"].as_u64();
        number
            .and_then(|number| u32::try_from(number).ok())
            .expect("a coin type is a number")
    });
    let all: Vec<_> = coin_types
        .flat_map(|coin_type| wallet.addresses(coin_type))
        .collect();
    let hashes: HashSet<_> = all.iter().map(|address| address.hash).collect();
    assert_eq!(hashes.len(), all.len(), "an address is listed twice");
    assert!(all.iter().all(|address| wallet.owns(&address.hash)));
    all
}

/// What the file says that unlocking costs.
#[derive(Debug)]
struct Cost {
    memory_kib: u64,
    passes: u64,
}

impl Cost {
    fn of(bytes: &[u8]) -> Option<Self> {
        let file: Value = serde_json::from_slice(bytes).ok()?;
        let kdf = file.get("encryption")?.get("kdf")?;
        Some(Self {
            memory_kib: kdf.get("memory_kib")?.as_u64()?,
            passes: kdf.get("passes")?.as_u64()?,
        })
    }
}

fn write(path: &Path, bytes: &[u8]) {
    let _ = fs::remove_file(path);
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    let mut file = file.expect("the temporary folder is writable");
    file.write_all(bytes)
        .expect("the temporary folder has room");
}

/// The same file with a checksum that fits, in the product's layout; none where it is no object with a checksum.
fn with_checksum(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut file: Value = serde_json::from_slice(bytes).ok()?;
    *file.get_mut("checksum")? = Value::from("");
    let checksum = hex::encode(sha256d(file.to_string().as_bytes()));
    file["checksum"] = checksum.into();
    let mut fixed = serde_json::to_vec_pretty(&file).ok()?;
    fixed.push(b'\n');
    Some(fixed)
}

/// Wallets in clear and sealed, with and without addresses, and what must be refused before it costs anything.
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let folder = TempDir::new().expect("a temporary folder can be made");
    let cheap = KdfParams::new(8, 1, 1).expect("the least cost");
    let mut files = Vec::new();
    for (name, passphrase, coin_types) in [
        ("plain-empty", None, &[][..]),
        ("plain", None, &[0_u32, 1][..]),
        ("sealed-empty", Some(PASSPHRASE), &[]),
        ("sealed", Some(PASSPHRASE), &[1]),
        ("sealed-otherwise", Some("another passphrase"), &[1]),
    ] {
        let path = folder.path().join(name);
        let mut wallet = Wallet::restore_with(&path, PHRASE, passphrase, cheap)
            .expect("the phrase is a test vector");
        for coin_type in coin_types {
            for _ in 0..2 {
                wallet
                    .new_address(*coin_type)
                    .expect("the wallet is unlocked");
            }
            wallet
                .new_change_address(*coin_type)
                .expect("the wallet is unlocked");
        }
        let text = fs::read_to_string(&path).expect("it was written");
        files.push((name.to_owned(), text));
    }
    let sealed = files[3].1.clone();
    let plain = files[1].1.clone();
    for (name, from, to) in [
        (
            "cost-2-40",
            "\"memory_kib\": 8",
            "\"memory_kib\": 1099511627776",
        ),
        (
            "cost-2-64",
            "\"memory_kib\": 8",
            "\"memory_kib\": 18446744073709551616",
        ),
        (
            "cost-at-limit",
            "\"memory_kib\": 8",
            "\"memory_kib\": 1048576",
        ),
        ("passes", "\"passes\": 1", "\"passes\": 65"),
        ("lanes", "\"lanes\": 1", "\"lanes\": 0"),
        ("cipher", "xchacha20poly1305", "none"),
    ] {
        assert!(
            sealed.contains(from),
            "the form of a wallet has changed: {from}"
        );
        files.push((name.to_owned(), sealed.replacen(from, to, 1)));
    }
    for (name, from, to) in [
        ("version", "\"version\": 1", "\"version\": 2"),
        ("index", "\"index\": 1", "\"index\": 2"),
        ("foreign-id", "\"id\": \"", "\"id\": \"00"),
        ("word", "abandon about", "abandon above"),
    ] {
        assert!(
            plain.contains(from),
            "the form of a wallet has changed: {from}"
        );
        files.push((name.to_owned(), plain.replacen(from, to, 1)));
    }
    let fixed = files
        .iter()
        .map(|(name, text)| (format!("fixed-{name}"), [b"\x01", text.as_bytes()].concat()));
    let mut seeds: Vec<_> = fixed.collect();
    for (name, text) in &files[..4] {
        seeds.push((format!("raw-{name}"), [b"\x00", text.as_bytes()].concat()));
    }
    seeds
}
