//! Reads, writes and syncs that fail (row D5), and kills at named system calls (row D1), both by `strace`, which makes a chosen
//! call of an unchanged program fail, or kills it there.

use std::fs;
use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::fixtures::{old_chain, wallet_template};
use crate::support::{Folder, SOMEBODY, has_program, mine, setting, skipped, text_of, tip};

/// How the system names it; RocksDB and Rust write the first letter alike.
const IO_ERROR: &str = "Input/output error";
/// Calls that change what is on the disk.
const CHANGING: [&str; 8] = [
    "write",
    "fdatasync",
    "fsync",
    "rename",
    "unlink",
    "ftruncate",
    "fallocate",
    "sync_file_range",
];
/// How long the process may take to end after a failed write.
const END: Duration = Duration::from_secs(12);

/// Why `strace` cannot be used, if it cannot.
fn unavailable() -> Option<String> {
    if !has_program("strace") {
        return Some("there is no program strace".to_owned());
    }
    let tried = std::process::Command::new("strace")
        .args(["-o", "/dev/null", "true"])
        .output();
    match tried {
        Ok(output) if output.status.success() => None,
        _ => Some("strace may not trace here".to_owned()),
    }
}

/// A fault, and the record of whether it happened.
struct Fault {
    words: Vec<String>,
    record: TempDir,
}

impl Fault {
    /// In the `nth` call of `call` (of each thread), and in those after it where `and_after`. `paths` limits it to these files.
    fn new(call: &str, what: &str, nth: &str, paths: &[String]) -> Self {
        let record = TempDir::new().expect("a temporary folder");
        let file = record.path().join("trace").display().to_string();
        // The tracer becomes a grandchild, so that the child is the program itself.
        let mut words = ["strace", "-D", "-f", "-y", "-qq", "-o", &file]
            .map(str::to_owned)
            .to_vec();
        words.extend([
            "-e".to_owned(),
            format!("trace={},pread64,openat,mkdir", CHANGING.join(",")),
            "-e".to_owned(),
            format!("inject={call}:{what}:when={nth}"),
        ]);
        for path in paths {
            words.extend(["-P".to_owned(), path.clone()]);
        }
        Self { words, record }
    }

    fn wrapper(&self) -> Vec<&str> {
        self.words.iter().map(String::as_str).collect()
    }

    fn record(&self) -> String {
        fs::read_to_string(self.record.path().join("trace")).unwrap_or_default()
    }

    fn happened(&self) -> bool {
        let record = self.record();
        record.contains("(INJECTED)") || record.contains("+++ killed by SIGKILL +++")
    }

    /// Runs a command of the program with it.
    fn run(&self, folder: &Folder, words: &[&str]) -> Output {
        let output = folder.command(&self.wrapper()).args(words).output();
        output.expect("strace starts")
    }
}

/// The names that write-ahead logs can have.
fn log_files(folder: &Folder) -> Vec<String> {
    let database = folder.database();
    let name = |number| {
        database
            .join(format!("{number:06}.log"))
            .display()
            .to_string()
    };
    (1..200).map(name).collect()
}

/// Whether a line of a record is a write or sync of a write-ahead log.
fn touches_log(line: &str) -> bool {
    line.contains(".log>") && (line.contains("write(") || line.contains("sync"))
}

#[test]
fn d05_a_failed_write_or_sync_ends_the_node_and_is_not_tried_again() {
    if let Some(why) = unavailable() {
        return skipped("failing writes and syncs", &why);
    }
    for (call, error) in [("write", "EIO"), ("fdatasync", "EIO"), ("write", "ENOSPC")] {
        let folder = Folder::copy_of(&wallet_template().folder.path);
        let logs = log_files(&folder);
        let fault = Fault::new(call, &format!("error={error}"), "3+", &logs);
        let mut node = folder.up_behind(&fault.wrapper(), &[]);
        let client = node.client();
        let mut acknowledged = tip(&client);
        let refused = loop {
            match mine(&client, SOMEBODY) {
                Ok(hash) => {
                    acknowledged.hash = hash;
                    acknowledged.height += 1;
                }
                Err(error) => break error.to_string(),
            }
            assert!(acknowledged.height < 200, "the fault never fired");
        };
        let start = Instant::now();
        let status = node.end_within(END);
        let said = node.said();
        eprintln!(
            "{call} {error}: ended {:?} after it was told",
            start.elapsed()
        );
        assert!(!status.success(), "{call}: ended with {status}:\n{said}");
        let name = if error == "EIO" {
            IO_ERROR
        } else {
            "No space left"
        };
        assert!(said.contains(name), "{call}: {refused}\n{said}");
        assert!(!said.contains("panicked"), "{said}");
        drop(node);
        let record = fault.record();
        assert!(fault.happened(), "the fault never fired:\n{record}");
        if error == "EIO" {
            let after = record.split("(INJECTED)").skip(1).flat_map(str::lines);
            let again: Vec<_> = after.filter(|line| touches_log(line)).collect();
            assert!(
                again.is_empty(),
                "{call} failed, and after it came {again:?}"
            );
        }
        let found = folder.assert_sound(call);
        // What could not be synced may be there nevertheless: it was written.
        let further = found.height == acknowledged.height + 1;
        assert!(
            found == acknowledged || further,
            "{acknowledged:?} {found:?}"
        );
    }
}

#[test]
fn d05_a_failed_read_gives_no_wrong_answer() {
    if let Some(why) = unavailable() {
        return skipped("failing reads", &why);
    }
    let folder = Folder::copy_of(&old_chain().folder.path);
    let expected = folder.assert_sound("before");
    let (mut failed, mut nth) = (0, 1);
    let step = setting("QUARRY_TEST_STEP", 6);
    loop {
        let fault = Fault::new("pread64", "error=EIO", &nth.to_string(), &[]);
        let output = fault.run(&folder, &["verify-chain", "--json"]);
        let said = text_of(&output);
        assert!(!said.contains("panicked"), "read {nth}: {said}");
        if !fault.happened() {
            break;
        }
        if output.status.success() {
            // A read ahead, or one that has an alternative.
            assert!(said.contains(&expected.hash), "read {nth}: {said}");
        } else {
            assert!(said.contains(IO_ERROR), "read {nth}: {said}");
            failed += 1;
        }
        nth += step;
    }
    assert!(failed > 0, "no read failed");
    assert_eq!(folder.assert_sound("after"), expected);
}

#[test]
fn d05_a_failed_write_of_the_wallet_keeps_it_whole() {
    if let Some(why) = unavailable() {
        return skipped("failing writes of the wallet", &why);
    }
    let folder = Folder::copy_of(&wallet_template().folder.path);
    let phrase = folder.ok(&["wallet", "phrase"]);
    let mut known: Vec<String> = addresses(&folder);
    for (call, nth) in [("fsync", 1), ("fsync", 2), ("rename", 1), ("write", 1)] {
        let paths: Vec<_> = ["wallet.json", "wallet.json.tmp", ""]
            .iter()
            .map(|name| folder.path.join(name).display().to_string())
            .map(|path| path.trim_end_matches('/').to_owned())
            .collect();
        let fault = Fault::new(call, "error=EIO", &nth.to_string(), &paths);
        let output = fault.run(&folder, &["create-wallet"]);
        let said = text_of(&output);
        assert!(
            fault.happened(),
            "{call} {nth} never came:\n{}",
            fault.record()
        );
        assert!(
            !output.status.success() && said.contains(IO_ERROR),
            "{said}"
        );
        let now = addresses(&folder);
        assert!(now.starts_with(&known), "{call} {nth}: {known:?} {now:?}");
        assert_eq!(folder.ok(&["wallet", "phrase"]), phrase);
        known = now;
    }
}

fn addresses(folder: &Folder) -> Vec<String> {
    let listed = folder.ok(&["list-addresses"]);
    listed.lines().map(str::to_owned).collect()
}

/// Each call that changes the disk, of a start after a kill, of a payment without a node, and of a new address, is the last one
/// once. The short form takes some of them, `QUARRY_TEST_POINTS` asks for all.
#[test]
fn d01_killed_at_each_system_call_that_changes_the_disk() {
    if let Some(why) = unavailable() {
        return skipped("kills at named system calls", &why);
    }
    let all = setting("QUARRY_TEST_POINTS", 0) > 0;
    let crashed = crashed_folder();
    let from = &wallet_template().address;
    let send = ["send", "--from", from, "--to", SOMEBODY, "--amount", "1"];
    let commands: [&[&str]; 3] = [&["verify-chain"], &send, &["create-wallet"]];
    let mut points = 0;
    for (words, call) in commands
        .iter()
        .flat_map(|words| CHANGING.map(|call| (words, call)))
    {
        let mut nth = 1;
        loop {
            let folder = Folder::copy_of(&crashed.path);
            let fault = Fault::new(call, "signal=KILL", &nth.to_string(), &[]);
            let output = fault.run(&folder, words);
            if output.status.success() {
                break;
            }
            assert!(fault.happened(), "{words:?}: {}", text_of(&output));
            points += 1;
            let found = folder.assert_sound(&format!("{words:?} killed at {call} {nth}"));
            // The blocks that the killed node had acknowledged, and the payment's or not.
            let last = crashed_height();
            assert!((last..=last + 1).contains(&found.height), "{found:?}");
            assert!(addresses(&folder).contains(from));
            nth = if all { nth + 1 } else { nth * 4 };
        }
    }
    eprintln!("killed at {points} system calls");
    assert!(points > 10);
}

/// The same of the first start of all: whatever is left, the next one makes the database.
#[test]
fn d01_killed_at_each_system_call_that_makes_the_database() {
    if let Some(why) = unavailable() {
        return skipped("kills at named system calls", &why);
    }
    let all = setting("QUARRY_TEST_POINTS", 0) > 0;
    let first = ["import-blocks", "/dev/null"];
    let mut points = 0;
    for call in ["openat", "mkdir"].iter().chain(&CHANGING) {
        let mut nth = 1;
        loop {
            let folder = Folder::new();
            let fault = Fault::new(call, "signal=KILL", &nth.to_string(), &[]);
            if fault.run(&folder, &first).status.success() {
                break;
            }
            assert!(fault.happened(), "{call} {nth}");
            points += 1;
            folder.ok(&first);
            let found = folder.assert_sound(&format!("the first start was killed at {call} {nth}"));
            assert_eq!(found.height, 0);
            nth = if all { nth + 1 } else { nth * 2 };
        }
    }
    eprintln!("killed at {points} system calls of the first start");
    assert!(points > 10);
}

/// The wallet's chain with three blocks of a node that was killed.
fn crashed_folder() -> Folder {
    let folder = Folder::copy_of(&wallet_template().folder.path);
    let mut node = folder.up(&[]);
    let client = node.client();
    for _ in 0..3 {
        mine(&client, SOMEBODY).expect("the node answers");
    }
    node.kill();
    remove_node_files(&folder.network());
    folder
}

/// The height of the wallet's chain with those three.
const fn crashed_height() -> u64 {
    crate::fixtures::WALLET_BLOCKS as u64 + 3
}

/// A copy elsewhere must not look for the killed node.
fn remove_node_files(network: &Path) {
    for name in ["node.json", ".cookie"] {
        crate::support::remove(&network.join(name));
    }
}
