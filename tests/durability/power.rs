//! Power cuts (row D3), on an ext4 disk in an image file. Two ways, in turns:
//!
//! - **copied**: the process is stopped (SIGSTOP) in mid-write, and the image copied as it is: what was written to files and not
//!   synced is in the kernel's memory only, and so not in the copy. Then the process goes on.
//! - **shut down**: the file system is ended at once, also in the midst of a sync.
//!
//! What is then found is what a disk would hold that keeps what it was asked to sync, and nothing else. A disk that lies about
//! syncs is beyond any program.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use quarry::primitives::Encode;
use quarry::rpc::NodeFile;
use serde_json::{Value, json};

use crate::disk::{self, Disk};
use crate::fixtures::{OLD_BLOCKS, old_chain, wallet_template};
use crate::support::{
    Folder, Process, Random, Tip, copy_folder, remove, setting, skipped, system, tip, watch_for,
};
use crate::work::{Job, Progress, Work};

/// Cuts in the short form; `QUARRY_TEST_CUTS` asks for more.
const CUTS: u64 = 11;
/// Rounds in which each kind of work meets each way of cutting.
const LEAST_ROUNDS: u64 = 6;
/// How long work goes on at most before the cut.
const WORK: Duration = Duration::from_millis(400);
/// About what a sync of the disk takes.
const SYNC_TIME: Duration = Duration::from_millis(3);

/// What happened.
#[derive(Debug, Default)]
struct Cuts {
    copied: u64,
    shut_down: u64,
    /// Cuts while a request was under way.
    under_way: u64,
    /// Cuts that took bytes of the write-ahead log which the process had written.
    lost_bytes: u64,
    /// Cuts while catching up that left a part of the chain.
    parts_of_imports: u64,
    finished_imports: u64,
}

/// The method itself: unsynced data must be gone, or it shows nothing.
#[test]
fn d03_a_cut_loses_what_was_not_synced_and_only_that() {
    if let Some(why) = disk::unavailable() {
        return skipped("power cuts", &why);
    }
    let mut disk = Disk::new();
    let write = |disk: &Disk, name: &str| {
        let mut file = fs::File::create(disk.path().join(name)).expect("a file");
        file.write_all(name.as_bytes()).expect("written");
        file
    };
    let length =
        |disk: &Disk, name: &str| fs::metadata(disk.path().join(name)).map_or(0, |it| it.len());
    for name in ["one", "two"] {
        let synced = format!("{name}-synced");
        write(&disk, &synced).sync_all().expect("synced");
        let lost = format!("{name}-lost");
        drop(write(&disk, &lost));
        let expected = (u64::try_from(synced.len()).expect("short"), 0);
        if name == "one" {
            let copy = disk.copy().expect("nobody writes");
            assert_eq!((length(&copy, &synced), length(&copy, &lost)), expected);
        } else {
            disk.cut();
            disk.repower();
            assert_eq!((length(&disk, &synced), length(&disk, &lost)), expected);
        }
    }
}

#[test]
fn d03_after_a_power_cut_nothing_acknowledged_is_missing() {
    if let Some(why) = disk::unavailable() {
        return skipped("power cuts", &why);
    }
    let wanted = setting("QUARRY_TEST_CUTS", CUTS);
    let mut random = Random::new(setting("QUARRY_TEST_SEED", 0xc0de));
    let mut cuts = Cuts::default();
    let mut disk = Disk::new();
    let mut imports = Disk::new();
    let mut round = 0;
    // What never happened is tried further.
    while round < LEAST_ROUNDS
        || cuts.copied + cuts.shut_down < wanted
        || (round < 4 * LEAST_ROUNDS && (cuts.under_way == 0 || cuts.parts_of_imports == 0))
    {
        if round % 10 == 0 {
            disk = Disk::new();
            copy_folder(&wallet_template().folder.path, &disk.path().join("data"));
            sync(&disk);
        }
        let copied = round % 2 == 0;
        let job = match round / 2 % 3 {
            0 => Some(Job::Connect),
            1 => Some(Job::Toggle(3 + random.below(6))),
            _ => None,
        };
        match (job, copied) {
            (Some(job), true) => cut_by_copies(&disk, job, &mut random, &mut cuts),
            (Some(job), false) => cut_by_shut_down(&mut disk, job, &mut random, &mut cuts),
            (None, copied) => cut_an_import(&mut imports, copied, &mut random, &mut cuts),
        }
        round += 1;
    }
    eprintln!("power cuts: {cuts:?}");
    assert!(cuts.copied > 0 && cuts.shut_down > 0 && cuts.under_way > 0);
    assert!(cuts.parts_of_imports > 0, "no cut came amid an import");
}

/// Old blocks are not synced one by one, but the last ones are once nothing follows.
#[test]
fn d03_what_was_caught_up_with_is_synced_when_nothing_follows() {
    if let Some(why) = disk::unavailable() {
        return skipped("power cuts", &why);
    }
    const BLOCKS: usize = 60;
    let disk = Disk::new();
    let folder = data(&disk);
    let mut node = folder.up(&[]);
    let client = node.client();
    for block in &old_chain().blocks[1..=BLOCKS] {
        let answer = client.call("submitblock", json!([hex::encode(block.to_bytes())]));
        assert_eq!(answer.expect("the node answers"), Value::Null);
    }
    // It takes a fifth of a second on a machine with nothing else to do.
    let synced = (0..20).any(|_| {
        sleep(Duration::from_millis(500));
        stop(&node);
        let copy = disk.copy();
        node.signal("CONT");
        copy.is_some_and(|copy| {
            let found = data(&copy);
            forget_the_stopped_node(&found);
            found.assert_sound("after a power cut").height == BLOCKS as u64
        })
    });
    assert!(synced, "the last blocks stay in memory");
    node.kill();
}

/// What the test itself has done shall not be lost.
fn sync(disk: &Disk) {
    system(
        "sync",
        &["--file-system", &disk.path().display().to_string()],
    );
}

fn data(disk: &Disk) -> Folder {
    Folder::at(disk.path().join("data"))
}

/// Work of a running node, which is stopped in mid-write, copied, and goes on, three times.
fn cut_by_copies(disk: &Disk, job: Job, random: &mut Random, cuts: &mut Cuts) {
    let folder = data(disk);
    let mut node = folder.up(&[]);
    let work = Work::begin(node.client(), &folder, job);
    for _ in 0..3 {
        sleep(random.moment(WORK / 4));
        watch_for(WORK, || work.is_writing());
        if random.one_in(2) {
            sleep(random.moment(SYNC_TIME));
        }
        stop(&node);
        let copy = disk.copy();
        let written = folder.log_bytes();
        if let Some(copy) = copy {
            cuts.copied += 1;
            let found = data(&copy);
            cuts.lost_bytes += u64::from(found.log_bytes() < written);
            forget_the_stopped_node(&found);
            let progress = work.progress();
            let certain = Certain::of(&progress);
            assert_recovers(&found, &progress, &certain, cuts);
        }
        node.signal("CONT");
    }
    node.kill();
    work.end();
}

/// Work of a running node whose disk is cut off, and which must end by itself.
fn cut_by_shut_down(disk: &mut Disk, job: Job, random: &mut Random, cuts: &mut Cuts) {
    let folder = data(disk);
    let mut node = folder.up(&[]);
    let work = Work::begin(node.client(), &folder, job);
    sleep(random.moment(WORK));
    if random.one_in(2) {
        watch_for(WORK, || work.is_writing());
    }
    let certain = Certain::of(&work.progress());
    disk.cut();
    let status = node.end_within(Duration::from_secs(12));
    let said = node.said();
    assert!(!status.success(), "a lost disk is a failure:\n{said}");
    assert!(said.contains("nput/output error"), "{said}");
    drop(node);
    let progress = work.end();
    disk.repower();
    cuts.shut_down += 1;
    assert_recovers(&data(disk), &progress, &certain, cuts);
}

/// How much had been acknowledged before a cut began.
///
/// A sync that is under way when ext4 is shut down may be told to have succeeded although it has not: a program that does nothing
/// but write and sync sees the same (Linux 6.18), always with answers that came after the shutdown had begun. A real cut gives no
/// answers then, so such answers count as not given.
struct Certain {
    tips: usize,
    addresses: usize,
}

impl Certain {
    const fn of(progress: &Progress) -> Self {
        Self {
            tips: progress.told.len(),
            addresses: progress.addresses.len(),
        }
    }
}

/// Commands and a node find everything in order, and all that was acknowledged.
fn assert_recovers(folder: &Folder, progress: &Progress, certain: &Certain, cuts: &mut Cuts) {
    cuts.under_way += u64::from(progress.under_way.is_some());
    let found = folder.assert_sound("after a power cut");
    if !progress.told[certain.tips - 1..].contains(&found) {
        progress.assert_allows(&found);
    }
    let listed = folder.ok(&["list-addresses"]);
    for address in &progress.addresses[..certain.addresses] {
        assert!(listed.contains(address.as_str()), "{address} is gone");
    }
    assert_starts(folder, &found);
}

/// Unlike after a real cut the node that `node.json` names is there, and would be asked.
fn forget_the_stopped_node(folder: &Folder) {
    NodeFile::read(&folder.network()).expect("node.json is whole or not there");
    remove(&folder.network().join("node.json"));
}

fn assert_starts(folder: &Folder, expected: &Tip) {
    let mut node = folder.up(&[]);
    let client = node.client();
    assert_eq!(tip(&client), *expected);
    node.kill();
}

/// While catching up blocks may be lost, but what is there is the beginning of the chain. Once the import says that it is done,
/// nothing may be.
fn cut_an_import(disk: &mut Disk, copied: bool, random: &mut Random, cuts: &mut Cuts) {
    let file = old_chain().file.display().to_string();
    let folder = data(disk);
    let mut import = folder.start(&[], &["import-blocks", &file]);
    // The first block is there, and hundreds are still to come.
    watch_for(Duration::from_secs(10), || {
        folder.log_bytes() > 0 || import.has_ended().is_some()
    });
    sleep(random.moment(Duration::from_millis(60)));
    let copied = copied && import.has_ended().is_none();
    let found = if copied {
        stop(&import);
        let written = folder.log_bytes();
        let copy = disk.copy();
        import.signal("CONT");
        let status = import.end_within(Duration::from_secs(60));
        assert!(status.success(), "{}", import.said());
        cuts.finished_imports += 1;
        // It has said that it is done, so the whole of it is on the disk.
        let done = disk.copy().expect("nobody writes");
        assert_is_prefix(&data(&done), u64::from(OLD_BLOCKS) - 1);
        copy.inspect(|copy| {
            cuts.lost_bytes += u64::from(data(copy).log_bytes() < written);
        })
    } else {
        disk.cut();
        import.end_within(Duration::from_secs(12));
        disk.repower();
        None
    };
    if copied {
        cuts.copied += 1 + u64::from(found.is_some());
    } else {
        cuts.shut_down += 1;
    }
    let height = found.as_ref().map_or_else(
        || assert_is_prefix(&folder, 0),
        |copy| assert_is_prefix(&data(copy), 0),
    );
    cuts.parts_of_imports += u64::from(height < u64::from(OLD_BLOCKS) - 1);
    if folder.path.exists() {
        folder.begin_again(None);
        sync(disk);
    }
}

/// The blocks are those of the old chain up to some height, at least `least`; and a second import completes them.
fn assert_is_prefix(folder: &Folder, least: u64) -> u64 {
    if !folder.database().join("CURRENT").exists() {
        assert_eq!(least, 0, "the database is gone");
        return 0;
    }
    let found = folder.assert_sound("after a power cut while catching up");
    assert!(found.height >= least, "{found:?}");
    let expected = &old_chain().hashes[usize::try_from(found.height).expect("small")];
    assert_eq!(&found.hash, expected, "not a prefix: {found:?}");
    let file = old_chain().file.display().to_string();
    folder.ok(&["import-blocks", &file]);
    let done = folder.assert_sound("after the second import");
    assert_eq!(done.height, u64::from(OLD_BLOCKS) - 1);
    found.height
}

/// Stops a process and waits until each of its threads stands still.
fn stop(process: &Process) {
    process.signal("STOP");
    let tasks = format!("/proc/{}/task", process.pid());
    watch_for(Duration::from_secs(5), || all_stopped(Path::new(&tasks)));
}

fn all_stopped(tasks: &Path) -> bool {
    let threads = fs::read_dir(tasks).into_iter().flatten().flatten();
    threads.into_iter().all(|thread| {
        let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        // The state follows the name, which stands in brackets.
        let state = stat.rsplit(") ").next().unwrap_or_default();
        state.starts_with('T') || state.is_empty()
    })
}
