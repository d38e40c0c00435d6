//! The process and its surroundings: signals at any moment (row S1), low limits and other users (row S3), a second process on the
//! same folder (row D8).

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use quarry::rpc::NodeFile;

use crate::disk::{self, SmallDisk};
use crate::fixtures::{OLD_BLOCKS, old_chain, wallet_template};
use crate::support::{
    Folder, Process, Random, SOMEBODY, copy_folder, has_program, is_root, mine, setting, skipped,
    text_of, tip, watch_for,
};
use crate::work::{Job, Work};

/// Signals in the short form; `QUARRY_TEST_SIGNALS` asks for more.
const SIGNALS: u64 = 16;
/// What is promised.
const LIMIT: Duration = Duration::from_secs(10);
/// Bits of SIGINT and SIGTERM in the masks of `/proc`.
const HANDLED: u64 = 1 << 1 | 1 << 14;

/// Whether the process has taken the signals over; before that, in its first milliseconds, they end it at once.
fn handles_signals(node: &Process) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", node.pid())).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & HANDLED == HANDLED)
}

/// Sends one of the two signals; the node must end well and in time.
fn end(mut node: Process, random: &mut Random) -> Duration {
    let start = Instant::now();
    node.signal(if random.one_in(2) { "TERM" } else { "INT" });
    let status = node.end_within(LIMIT);
    assert!(status.success(), "ended with {status}:\n{}", node.said());
    start.elapsed()
}

#[test]
fn s01_a_signal_during_start_up_ends_it_well() {
    let mut random = Random::new(setting("QUARRY_TEST_SEED", 0x51));
    let folder = Folder::copy_of(&wallet_template().folder.path);
    let known = folder.assert_sound("before");
    let (mut early, mut late, mut longest) = (0, 0, Duration::ZERO);
    for _ in 0..setting("QUARRY_TEST_SIGNALS", SIGNALS) {
        let opening = folder.opening();
        let node = folder.up(&[]);
        assert!(watch_for(LIMIT, || handles_signals(&node)));
        if random.one_in(2) {
            watch_for(LIMIT, || folder.opening() != opening);
        }
        sleep(random.moment(Duration::from_millis(60)));
        if node.is_up() {
            late += 1;
        } else {
            early += 1;
        }
        longest = longest.max(end(node, &mut random));
        assert_eq!(folder.assert_sound("after a signal"), known);
    }
    eprintln!("signals: {early} before the node was up, {late} after; the longest end {longest:?}");
    assert!(early > 0, "no signal came during start-up");
}

#[test]
fn s01_a_signal_before_there_is_anything_leaves_nothing_broken() {
    let mut random = Random::new(setting("QUARRY_TEST_SEED", 0x52));
    for _ in 0..setting("QUARRY_TEST_SIGNALS", SIGNALS) / 2 {
        let folder = Folder::new();
        let mut node = folder.up(&[]);
        sleep(random.moment(Duration::from_millis(20)));
        node.signal("TERM");
        let status = node.end_within(LIMIT);
        let unhandled = status.signal() == Some(15);
        assert!(status.success() || unhandled, "{status}:\n{}", node.said());
        let mut node = folder.up(&[]);
        assert_eq!(tip(&node.client()).height, 0);
        node.stop();
    }
}

#[test]
fn s01_a_signal_under_load_loses_nothing() {
    let mut random = Random::new(setting("QUARRY_TEST_SEED", 0x53));
    let mut peer = old_chain().folder.copy_started();
    let file = NodeFile::read(&peer.1.network()).expect("node.json");
    let address = file.expect("the peer runs").p2p[0].clone();
    let mut longest = Duration::ZERO;
    for round in 0..setting("QUARRY_TEST_SIGNALS", SIGNALS) / 2 {
        let from_wallet = round % 4 != 3;
        let folder = match from_wallet {
            true => Folder::copy_of(&wallet_template().folder.path),
            false => Folder::new(),
        };
        let flags: &[&str] = match round % 4 {
            2 => &["--mine", "--mining-address", SOMEBODY],
            3 => &["--peer", &address],
            _ => &[],
        };
        let mut node = folder.up(flags);
        let client = node.client();
        let work = match round % 4 {
            0 => Some(Work::begin(client, &folder, Job::Connect)),
            1 => Some(Work::begin(client, &folder, Job::Toggle(4))),
            _ => None,
        };
        sleep(random.moment(Duration::from_millis(300)));
        longest = longest.max(end(node, &mut random));
        let found = folder.assert_sound("after a signal under load");
        if let Some(work) = work {
            work.end().assert_allows(&found);
        } else if from_wallet {
            let before = u64::from(crate::fixtures::WALLET_BLOCKS);
            assert!(found.height >= before, "{found:?}");
        } else {
            assert!(found.height < u64::from(OLD_BLOCKS));
        }
    }
    eprintln!("signals under load: the longest end {longest:?}");
    assert!(peer.0.has_ended().is_none(), "{}", peer.0.said());
}

#[test]
fn d08_a_second_process_on_the_folder_is_refused() {
    let folder = Folder::copy_of(&wallet_template().folder.path);
    let mut node = folder.up(&[]);
    let client = node.client();
    let mut second = folder.up(&[]);
    let status = second.end_within(LIMIT);
    assert_eq!(status.code(), Some(1));
    let said = second.said();
    let pid = format!("process {}", node.pid());
    assert!(said.contains("in use") && said.contains(&pid), "{said}");
    let output = folder.run(&["verify-chain"]);
    assert!(!output.status.success(), "{}", text_of(&output));
    // The first one does not even notice.
    mine(&client, SOMEBODY).expect("the node answers");
    drop(client);
    node.stop();
    // Two commands without a node: one waits for the other, or says that the folder is in use.
    let file = old_chain().file.display().to_string();
    let fresh = Folder::new();
    let (one, other) = (["import-blocks", &file], ["import-blocks", &file]);
    let mut commands = [fresh.start(&[], &one), fresh.start(&[], &other)];
    for command in &mut commands {
        let status = command.end_within(Duration::from_secs(60));
        let said = command.said();
        assert!(status.success() || said.contains("in use"), "{said}");
    }
    let found = fresh.assert_sound("after two imports at once");
    assert_eq!(found.height, u64::from(OLD_BLOCKS) - 1);
}

/// Starts a node under `wrapper`: it works, or ends with status 1 and one of `words`.
fn works_or_says(folder: &Folder, wrapper: &[&str], words: &[&str]) -> bool {
    let mut node = folder.up_behind(wrapper, &[]);
    match node.try_client() {
        Ok(client) => {
            let mined = mine(&client, SOMEBODY);
            drop(client);
            if mined.is_ok() {
                node.stop();
                return true;
            }
        }
        Err(why) => eprintln!("{}: {why}", wrapper.join(" ")),
    }
    let status = node.end_within(LIMIT * 2);
    let said = node.said();
    assert!(!status.success(), "{said}");
    assert!(
        words.iter().any(|word| said.contains(word)),
        "no reason is told ({status}):\n{said}"
    );
    false
}

#[test]
fn s03_low_limits_are_told_or_enough() {
    if !has_program("prlimit") {
        return skipped("limits", "there is no program prlimit");
    }
    let folder = Folder::copy_of(&wallet_template().folder.path);
    let mut worked = Vec::new();
    for files in [16, 32, 64, 256] {
        let limit = format!("--nofile={files}");
        if works_or_says(
            &folder,
            &["prlimit", &limit],
            &["too few open files are allowed"],
        ) {
            worked.push(limit);
        }
        folder.assert_sound("after a low limit of open files");
    }
    for mib in [64_u64, 128, 256, 1024, 4096] {
        let limit = format!("--as={}", mib << 20);
        let words = [
            "memory",
            "alloc",
            "mmap",
            "Resource temporarily unavailable",
        ];
        if works_or_says(&folder, &["prlimit", &limit], &words) {
            worked.push(limit);
        }
        folder.assert_sound("after a low limit of memory");
    }
    eprintln!("enough: {}", worked.join(" "));
    assert!(
        worked.iter().any(|limit| limit == "--nofile=256"),
        "{worked:?}"
    );
}

#[test]
fn s03_another_user_and_a_read_only_disk() {
    if let Some(why) = disk::unavailable() {
        return skipped("other users and read-only disks", &why);
    }
    let disk = SmallDisk::new(24 << 20);
    let theirs = Folder::at(disk.path().join("theirs"));
    copy_folder(&wallet_template().folder.path, &theirs.path);
    let nobody = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
    ];
    if has_program("setpriv") && readable_by_all() {
        // A folder of root's says so; one of their own works.
        let refused = works_or_says(&theirs, &nobody, &["Permission denied"]);
        assert!(!refused, "another user's folder was opened");
        let own = Folder::at(disk.path().join("own"));
        assert!(works_or_says(&own, &nobody, &[]));
    } else {
        skipped(
            "another user",
            "nobody can run the program where it was built",
        );
    }
    disk.set_read_only(true);
    assert!(!works_or_says(&theirs, &[], &["Read-only file system"]));
    let output = theirs.run(&["create-wallet"]);
    assert!(
        text_of(&output).contains("Read-only file system"),
        "{}",
        text_of(&output)
    );
    disk.set_read_only(false);
    theirs.assert_sound("after a read-only disk");
    assert!(works_or_says(&theirs, &[], &[]));
}

/// Whether other users may run the built program.
fn readable_by_all() -> bool {
    let program = env!("CARGO_BIN_EXE_quarry");
    let words = [
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        program,
        "--version",
    ];
    let tried = std::process::Command::new("setpriv").args(words).output();
    tried.is_ok_and(|output| output.status.success())
}

/// A group of processes with little memory (cgroup); removed when dropped.
struct MemoryGroup(PathBuf);

impl MemoryGroup {
    fn new(bytes: u64) -> Option<Self> {
        if !is_root() {
            return None;
        }
        for (root, limit) in [
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            ("/sys/fs/cgroup", "memory.max"),
        ] {
            let path = PathBuf::from(root).join(format!("quarry-test-{}", std::process::id()));
            if !PathBuf::from(root).join("cgroup.procs").exists() || fs::create_dir(&path).is_err()
            {
                continue;
            }
            let group = Self(path);
            let limited = fs::write(group.0.join(limit), bytes.to_string());
            let swap = group.0.join("memory.swap.max");
            if swap.exists() {
                let _ = fs::write(swap, "0");
            }
            if limited.is_ok() {
                return Some(group);
            }
        }
        None
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn s03_killed_for_want_of_memory_it_recovers() {
    let file = old_chain().file.display().to_string();
    let folder = Folder::new();
    let mut killed = false;
    for mib in [10, 8, 6, 5, 4, 3] {
        let Some(group) = MemoryGroup::new(mib << 20) else {
            return skipped("want of memory", "no memory cgroup can be made here");
        };
        let procs = group.0.join("cgroup.procs").display().to_string();
        let join = format!("echo $$ > {procs}; exec \"$0\" \"$@\"");
        let mut import = folder.start(&["sh", "-c", &join], &["import-blocks", &file]);
        let status = import.end_within(Duration::from_secs(60));
        killed = status.signal() == Some(9);
        if killed {
            eprintln!("killed for want of memory with {mib} MiB");
            break;
        }
        folder.begin_again(None);
    }
    assert!(killed, "memory was enough each time");
    folder.ok(&["import-blocks", &file]);
    let found = folder.assert_sound("after a kill for want of memory");
    assert_eq!(found.height, u64::from(OLD_BLOCKS) - 1);
}
