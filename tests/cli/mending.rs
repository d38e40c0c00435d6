//! Damaged data folders: what the doctor says, and whether what it says mends them (rows D6, D7, D9, D10 of `docs/faults.md`).
//!
//! Each test damages a copy of a real folder, and then does what a person would do: looks, types what is advised, and goes on.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::support::{Folder, Run};

/// Blocks of the chain that is damaged.
const BLOCKS: u32 = 40;

/// Of the sorted files, which are many and alike, every so many damages are tried; `QUARRY_TEST_EVERY_DAMAGE` asks for all.
/// It shares no factor with the number of damages, so that each of them meets some file.
const SORTED_FILES_STEP: usize = 7;

/// A chain with payments, its file of blocks, and copies of its database at an earlier moment.
struct Original {
    folder: Folder,
    blocks: PathBuf,
    older: PathBuf,
    addresses: [String; 2],
    height: u64,
    digest: String,
}

impl Original {
    fn new() -> Self {
        Self::with_blocks(BLOCKS)
    }

    fn with_blocks(count: u32) -> Self {
        let folder = Folder::new();
        let spec = folder.run(&["--chain", "regtest", "chain", "show"]).ok();
        // Without retargeting no block needs work; coins mature at once, and addresses begin as on the default network.
        let spec = spec
            .replace("\"regtest\"", "\"mine\"")
            .replace("coinbase_maturity = 100", "coinbase_maturity = 1")
            .replace("address_version = 111", "address_version = 0");
        fs::write(folder.file("network.toml"), spec).expect("written");
        let [a, b] = [(); 2].map(|()| folder.new_address());
        let node = folder.up(&["--no-mine"]);
        let generate = |count: u32| {
            folder
                .run(&["rpc", "generatetoaddress", &count.to_string(), &a])
                .ok();
        };
        generate(count / 2);
        for amount in ["7", "0.5"] {
            folder
                .run(&["send", "--from", &a, "--to", &b, "--amount", amount])
                .ok();
        }
        generate(1);
        folder.run(&["rpc", "stop"]).ok();
        let mut node = node;
        node.wait();
        let older = folder.file("older");
        copy_files(&folder.file("mine/db"), &older);
        let node = folder.up(&["--no-mine"]);
        folder
            .run(&["rpc", "generatetoaddress", &(count / 2).to_string(), &a])
            .ok();
        folder.run(&["rpc", "stop"]).ok();
        let mut node = node;
        node.wait();
        let blocks = folder.file("blocks.dat");
        folder
            .run(&["export-blocks", blocks.to_str().expect("a path")])
            .ok();
        let audit = folder.json(&["verify-chain"]);
        assert_eq!(audit["sound"], true);
        Self {
            older,
            blocks,
            addresses: [a, b],
            height: audit["height"].as_u64().expect("a height"),
            digest: text(&audit["recorded"]["digest"]),
            folder,
        }
    }

    /// A folder with a copy of wallet, spec and database.
    fn copy(&self) -> Folder {
        let copy = Folder::new();
        for name in ["wallet.json", "network.toml"] {
            fs::copy(self.folder.file(name), copy.file(name)).expect("it can be copied");
        }
        copy_files(&self.folder.file("mine/db"), &copy.file("mine/db"));
        copy
    }

    fn balances(&self, folder: &Folder) -> Vec<Run> {
        let balance = |address: &String| folder.run(&["get-balance", "--address", address]);
        self.addresses.iter().map(balance).collect()
    }
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

fn copy_files(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for file in fs::read_dir(from).expect("it can be listed") {
        let path = file.expect("it can be listed").path();
        let name = path.file_name().expect("a name");
        fs::copy(&path, to.join(name)).expect("it can be copied");
    }
}

fn files_of(folder: &Path) -> Vec<String> {
    let files = fs::read_dir(folder).expect("it can be listed");
    let mut names: Vec<_> = files
        .map(|file| file.expect("it can be listed").file_name())
        .map(|name| name.into_string().expect("a plain name"))
        .collect();
    names.sort();
    names
}

/// Runs a command line that the program printed.
fn type_in(line: &str) {
    let program = env!("CARGO_BIN_EXE_quarry");
    let line = line.replace("quarry --datadir", &format!("{program} --datadir"));
    let output = Command::new("sh")
        .args(["-c", &line])
        .stdin(Stdio::null())
        .output()
        .expect("a shell");
    assert!(output.status.success(), "{line}: {output:?}");
}

/// The commands that the doctor advises against problems; none if nothing is wrong.
fn advice(folder: &Folder) -> Vec<String> {
    let run = folder.run(&["doctor", "--json"]);
    let diagnosis: Value =
        serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run:?}"));
    assert_eq!(run.status == 0, diagnosis["sound"] == true, "{run:?}");
    let findings = diagnosis["findings"].as_array().expect("a list");
    findings
        .iter()
        .filter(|finding| finding["level"] == "problem")
        .map(|finding| text(&finding["mend"]))
        .collect()
}

/// Does what the doctor says until nothing is wrong.
fn follow_advice(folder: &Folder, what: &str) {
    for _ in 0..4 {
        match advice(folder).first() {
            None => return,
            Some(command) => type_in(command),
        }
    }
    panic!("{what}: still ill: {}", folder.run(&["doctor"]).stdout);
}

/// What is wrong with a file.
fn damages(original: &Original, name: &str, bytes: &[u8]) -> Vec<(&'static str, Option<Vec<u8>>)> {
    let mut flipped = bytes.to_vec();
    if let Some(byte) = flipped.get_mut(bytes.len() / 2) {
        *byte ^= 0x40;
    }
    let mut damages = vec![
        ("deleted", None),
        ("emptied", Some(Vec::new())),
        ("cut in half", Some(bytes[..bytes.len() / 2].to_vec())),
        ("flipped", Some(flipped)),
        ("filled with zeros", Some(vec![0; bytes.len()])),
    ];
    if let Ok(older) = fs::read(original.older.join(name)) {
        damages.push(("older", Some(older)));
    }
    damages
}

#[test]
fn d06_every_damage_to_every_file_of_the_database_is_told_and_mended() {
    let original = Original::new();
    let expected: Vec<_> = original
        .balances(&original.folder)
        .into_iter()
        .map(Run::ok)
        .collect();
    let names = files_of(&original.folder.file("mine/db"));
    let every = std::env::var_os("QUARRY_TEST_EVERY_DAMAGE").map_or(SORTED_FILES_STEP, |_| 1);
    let (mut fired, mut tried) = (0, 0_usize);
    for name in &names {
        let bytes = fs::read(original.folder.file("mine/db").join(name)).expect("it is there");
        for (damage, content) in damages(&original, name, &bytes) {
            tried += 1;
            if name.ends_with(".sst") && !tried.is_multiple_of(every) {
                continue;
            }
            let what = format!("{name} {damage}");
            let folder = original.copy();
            let file = folder.file("mine/db").join(name);
            match content {
                None => fs::remove_file(&file).expect("it was there"),
                Some(content) => fs::write(&file, content).expect("it can be written"),
            }
            fired += u32::from(!advice(&folder).is_empty());
            // Before any cure: the right answer, that of an earlier tip, or an error that says what next.
            let tip = folder.run(&["status", "--json"]);
            let is_whole = tip.status == 0 && {
                let status: Value = serde_json::from_str(&tip.stdout).expect("JSON");
                status["height"] == original.height
            };
            for (run, expected) in original.balances(&folder).into_iter().zip(&expected) {
                if run.status == 0 {
                    assert!(
                        !is_whole || run.stdout.trim_end() == expected,
                        "{what}: {run:?}"
                    );
                } else {
                    assert!(run.stderr.contains("doctor"), "{what}: {run:?}");
                }
            }
            follow_advice(&folder, &what);
            let audit = folder.run(&["verify-chain", "--json"]);
            assert_eq!(audit.status, 0, "{what}: {audit:?}");
            // What peers would bring.
            let blocks = original.blocks.to_str().expect("a path");
            folder.run(&["import-blocks", blocks]).ok();
            let audit = folder.json(&["verify-chain"]);
            assert_eq!(
                text(&audit["recorded"]["digest"]),
                original.digest,
                "{what}"
            );
            assert_eq!(
                folder.run(&["list-addresses"]).ok().lines().count(),
                2,
                "{what}"
            );
        }
    }
    assert!(
        names.len() > 10 && fired > 10,
        "{fired} damages of {names:?} were told"
    );
}

/// The rows of a database, written past the program.
fn with_rows(folder: &Folder, change: impl FnOnce(&rocksdb::DB)) {
    let columns = [
        "meta",
        "headers",
        "bodies",
        "undo",
        "heights",
        "coins",
        "address_coins",
        "address_history",
        "transactions",
        "default",
    ];
    let options = rocksdb::Options::default();
    let db = rocksdb::DB::open_cf(&options, folder.file("mine/db"), columns).expect("it opens");
    change(&db);
}

fn first_row(db: &rocksdb::DB, column: &str) -> (Vec<u8>, Vec<u8>) {
    let rows = db.cf_handle(column).expect("a column");
    let row = db.iterator_cf(rows, rocksdb::IteratorMode::Start).next();
    let (key, value) = row.expect("a row").expect("it can be read");
    (key.into_vec(), value.into_vec())
}

#[test]
fn d07_edited_and_dropped_rows_are_found_and_mended() {
    let original = Original::new();
    for column in [
        "undo",
        "heights",
        "coins",
        "address_coins",
        "address_history",
        "transactions",
    ] {
        for edit in [true, false] {
            let what = format!("{column} edited: {edit}");
            let folder = original.copy();
            with_rows(&folder, |db| {
                let rows = db.cf_handle(column).expect("a column");
                let (key, mut value) = first_row(db, column);
                value[0] ^= 1;
                match edit {
                    true => db.put_cf(rows, key, value).expect("written"),
                    false => db.delete_cf(rows, key).expect("written"),
                }
            });
            let found = folder.run(&["verify-chain", "--full"]);
            assert_eq!(found.status, 1, "{what}: {found:?}");
            // Where not even the opening succeeds, the doctor is named, and names the cure.
            match found.stderr.lines().last().expect("a command").trim() {
                command if command.ends_with("doctor") => follow_advice(&folder, &what),
                command => {
                    assert!(command.ends_with("reindex"), "{what}: {found:?}");
                    type_in(command);
                }
            }
            let audit = folder.json(&["verify-chain", "--full"]);
            assert_eq!(
                (&audit["sound"], &audit["full"]["sound"]),
                (&true.into(), &true.into())
            );
            assert_eq!(
                text(&audit["recorded"]["digest"]),
                original.digest,
                "{what}"
            );
        }
    }
}

#[test]
fn d07_an_edited_record_of_the_tip_is_refused_at_every_start() {
    let original = Original::new();
    let folder = original.copy();
    with_rows(&folder, |db| {
        let meta = db.cf_handle("meta").expect("a column");
        let mut row = db
            .get_cf(meta, "coin-stats")
            .expect("it can be read")
            .expect("it is there");
        row[3] ^= 1;
        db.put_cf(meta, "coin-stats", row).expect("written");
    });
    let key = hex::encode("coin-stats");
    for words in [&["status"][..], &["up", "--no-mine"]] {
        folder.run(words).fails(1, &[&key, "doctor"]);
    }
    follow_advice(&folder, "the record of the tip");
    assert_eq!(
        text(&folder.json(&["verify-chain"])["recorded"]["digest"]),
        original.digest
    );
}

#[test]
fn d09_newer_and_older_schemas_are_told_with_what_to_do() {
    let original = Original::new();
    for (schema, part) in [(99_u32, "use a newer quarry"), (1, "reindex")] {
        let folder = original.copy();
        with_rows(&folder, |db| {
            let meta = db.cf_handle("meta").expect("a column");
            db.put_cf(meta, "schema", schema.to_be_bytes())
                .expect("written");
        });
        let run = folder.run(&["doctor"]);
        assert!(run.status == 1 && run.stdout.contains(part), "{run:?}");
        folder.run(&["status"]).fails(1, &["schema version"]);
    }
    // Another network's database in the folder of this one.
    let (other, ..) = Folder::with_network();
    let folder = original.copy();
    fs::remove_dir_all(folder.file("mine/db")).expect("it is there");
    copy_files(&other.file("mine/db"), &folder.file("mine/db"));
    let run = folder.run(&["doctor"]);
    assert!(
        run.status == 1 && run.stdout.contains("belongs to another network"),
        "{run:?}"
    );
    folder
        .run(&["reindex"])
        .fails(1, &["belongs to another network"]);
    assert!(!folder.file("mine/db.rebuild").exists());
}

/// Starts a reindex and kills it when it logs that it has come `percent` far; whether that came to pass.
fn reindex_killed_at(folder: &Folder, percent: u32) -> bool {
    use std::io::{BufRead, BufReader};

    let mut child = Command::new(env!("CARGO_BIN_EXE_quarry"))
        .args(["--log-level", "info", "--log-format", "json", "reindex"])
        .env("QUARRY_DATADIR", folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
    let reached = lines.map_while(Result::ok).any(|line| {
        let line: Value = serde_json::from_str(&line).unwrap_or_default();
        line["percent"].as_u64() >= Some(percent.into())
    });
    // It may have ended since.
    let _ = child.kill();
    let status = child.wait().expect("it ends");
    reached && !status.success()
}

#[test]
fn d10_a_reindex_killed_at_every_tenth_goes_on_and_gives_the_same_digest() {
    // Long enough for a kill to come in time.
    let original = Original::with_blocks(1_500);
    let folder = original.copy();
    let mut kills = 0;
    for percent in (10..100).step_by(10) {
        if !reindex_killed_at(&folder, percent) {
            continue;
        }
        kills += 1;
        // Nothing uses the half of a chain.
        folder.run(&["status"]).fails(1, &["quarry reindex"]);
        folder
            .run(&["up", "--no-mine"])
            .fails(1, &["quarry reindex"]);
        let advised = advice(&folder);
        assert!(
            advised.len() == 1 && advised[0].ends_with(" reindex"),
            "{advised:?}"
        );
    }
    assert!(kills >= 5, "only {kills} of 9 kills came in time");
    let done = folder.json(&["reindex"]);
    assert_eq!(text(&done["reindexed"]["digest"]), original.digest);
    assert_eq!(done["kept"], Value::Null);
    let audit = folder.json(&["verify-chain", "--full"]);
    assert_eq!(text(&audit["recorded"]["digest"]), original.digest);
    assert_eq!(files_of(&folder.file("mine")), ["db"]);
}

/// The two renames at the end are two steps: a kill between them leaves the new database without its name.
#[test]
fn d10_a_reindex_killed_in_its_last_step_is_finished_by_the_next() {
    let original = Original::new();
    let folder = original.copy();
    fs::rename(folder.file("mine/db"), folder.file("mine/db.rebuild")).expect("renamed");
    folder.run(&["status"]).fails(1, &["quarry reindex"]);
    folder
        .run(&["up", "--no-mine"])
        .fails(1, &["quarry reindex"]);
    follow_advice(&folder, "half a swap");
    assert_eq!(
        text(&folder.json(&["verify-chain"])["recorded"]["digest"]),
        original.digest
    );
}

#[test]
fn d08_a_folder_in_use_is_neither_reindexed_nor_verified() {
    let original = Original::new();
    let folder = original.copy();
    let mut node = folder.up(&["--no-mine"]);
    for words in [["reindex"], ["verify-chain"]] {
        folder.run(&words).fails(1, &["process", "rpc stop"]);
    }
    let run = folder.run(&["doctor"]);
    assert!(
        run.status == 0 && run.stdout.contains("running (process"),
        "{run:?}"
    );
    node.signal("-KILL");
    node.wait();
    // What a killed node leaves is worth a note, and in nobody's way.
    let run = folder.run(&["doctor"]);
    assert!(
        run.status == 0 && run.stdout.contains("left from a node that was killed"),
        "{run:?}"
    );
    folder.run(&["verify-chain"]).ok();
}

#[test]
fn the_doctor_names_what_is_wrong_beside_the_database_and_changes_nothing() {
    let original = Original::new();
    let cases: [(&str, &[u8], &str, i32); 6] = [
        ("wallet.json", b"{}", "wallet.json", 1),
        ("network.toml", b"name = 5", "network.toml is damaged", 1),
        ("quarry.toml", b"tea = true", "tea", 1),
        ("wallet.json.tmp", b"half", "interrupted write", 0),
        ("mine/node.json.new", b"half", "interrupted write", 0),
        ("mine/node.json", b"half", "node.json", 0),
    ];
    for (name, content, says, status) in cases {
        let folder = original.copy();
        let mode = fs::metadata(folder.file("wallet.json"))
            .expect("it is there")
            .permissions();
        fs::write(folder.file(name), content).expect("written");
        fs::set_permissions(folder.file(name), mode).expect("its own");
        let before = folder.snapshot();
        let run = folder.run(&["doctor"]);
        assert!(
            run.status == status && run.stdout.contains(says),
            "{name}: {run:?}"
        );
        assert!(folder.snapshot() == before, "{name}");
    }
    let empty = Folder::new();
    assert_eq!(empty.run(&["doctor"]).status, 0);
    assert!(empty.run(&["reindex"]).status == 1);
}
