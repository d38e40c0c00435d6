//! A full disk (row D4): the program stops by itself, says what is wrong and what to do, and goes on from there once there is room.
//! A small disk in memory is filled at random moments, up to a random rest.

use std::thread::sleep;
use std::time::Duration;

use crate::disk::{self, SmallDisk};
use crate::fixtures::{OLD_BLOCKS, old_chain, wallet_template};
use crate::support::{
    Folder, PATIENCE, Random, SOMEBODY, copy_folder, mine, setting, skipped, text_of, tip,
    watch_for,
};
use crate::work::{Job, Work};

/// Times the disk is filled in the short form; `QUARRY_TEST_FILLS` asks for more.
const FILLS: u64 = 6;
const DISK_BYTES: u64 = 24 << 20;
/// How the system names it.
const NO_SPACE: &str = "No space left on device";
/// What the program says must be done.
const ADVICE: &str = "free some space";

#[test]
fn d04_a_full_disk_stops_it_and_costs_nothing() {
    if let Some(why) = disk::unavailable() {
        return skipped("full disks", &why);
    }
    let mut random = Random::new(setting("QUARRY_TEST_SEED", 0xf011));
    let (mut nodes, mut wallets, mut imports) = (0, 0, 0);
    let fills = setting("QUARRY_TEST_FILLS", FILLS);
    let mut round = 0;
    // A fault that never fired is tried further.
    while round < fills || (round < 4 * FILLS && (nodes == 0 || wallets == 0 || imports == 0)) {
        let disk = SmallDisk::new(DISK_BYTES);
        let folder = Folder::at(disk.path().join("data"));
        match round % 3 {
            0 => nodes += u64::from(fill_under_a_node(&disk, &folder, &mut random)),
            1 => wallets += fill_under_a_wallet(&disk, &folder, &mut random),
            _ => imports += u64::from(fill_under_an_import(&disk, &folder, &mut random)),
        }
        round += 1;
    }
    eprintln!("full disks: {nodes} nodes, {wallets} wallet writes, {imports} imports failed");
    assert!(
        nodes > 0 && wallets > 0 && imports > 0,
        "a fault never fired"
    );
}

/// A log on a full disk: its lines are lost, and the node goes on, takes blocks, and stops when it is told.
#[test]
fn d04_a_log_that_cannot_be_written_stops_nothing() {
    let folder = Folder::new();
    let silent = ["sh", "-c", "exec \"$0\" \"$@\" > /dev/full 2>&1"];
    let mut node = folder.up_behind(&silent, &[]);
    let client = node.client();
    for _ in 0..3 {
        mine(&client, SOMEBODY).expect("the node answers");
    }
    drop(client);
    node.stop();
    assert_eq!(folder.assert_sound("after").height, 3);
}

/// Returns whether the node met the full disk.
fn fill_under_a_node(disk: &SmallDisk, folder: &Folder, random: &mut Random) -> bool {
    copy_folder(&wallet_template().folder.path, &folder.path);
    let mut node = folder.up(&[]);
    let job = if random.one_in(2) {
        Job::Connect
    } else {
        Job::Toggle(4)
    };
    let work = Work::begin(node.client(), folder, job);
    sleep(random.moment(Duration::from_millis(100)));
    disk.fill(random.below(64 << 10));
    let status = node.end_within(PATIENCE);
    let said = node.said();
    assert!(!status.success(), "ended with {status}:\n{said}");
    assert!(said.contains(NO_SPACE), "{said}");
    assert!(said.contains(ADVICE), "{said}");
    drop(node);
    let progress = work.end();
    // As long as there is no room, it says so or it works; it breaks nothing.
    let mut again = folder.up(&[]);
    if again.try_client().is_ok() {
        again.signal("TERM");
    }
    let status = again.end_within(PATIENCE);
    let said = again.said();
    assert!(
        status.success() || said.contains(NO_SPACE),
        "ended with {status}:\n{said}"
    );
    drop(again);
    disk.free();
    let found = folder.assert_sound("after a full disk");
    progress.assert_allows(&found);
    let listed = folder.ok(&["list-addresses"]);
    for address in &progress.addresses {
        assert!(listed.contains(address.as_str()), "{address} is gone");
    }
    let mut node = folder.up(&[]);
    assert_eq!(tip(&node.client()), found);
    node.stop();
    true
}

/// Returns how many commands met the full disk.
fn fill_under_a_wallet(disk: &SmallDisk, folder: &Folder, random: &mut Random) -> u64 {
    copy_folder(&wallet_template().folder.path, &folder.path);
    let phrase = folder.ok(&["wallet", "phrase"]);
    let mut listed = folder.ok(&["list-addresses"]);
    let mut failed = 0;
    for _ in 0..6 {
        disk.fill(random.below(3) * 4096);
        let output = folder.run(&["create-wallet"]);
        let said = text_of(&output);
        if output.status.success() {
            let address = said
                .trim()
                .strip_prefix("New address: ")
                .expect("an address");
            listed = format!("{listed}\n{address}");
        } else {
            assert!(said.contains(NO_SPACE), "{said}");
            failed += 1;
        }
        // Reading needs no room.
        assert_eq!(folder.ok(&["list-addresses"]), listed);
        disk.free();
        assert_eq!(folder.ok(&["wallet", "phrase"]), phrase);
    }
    let said = folder.ok(&["create-wallet"]);
    assert!(said.starts_with("New address: "), "{said}");
    failed
}

/// Returns whether the import met the full disk.
fn fill_under_an_import(disk: &SmallDisk, folder: &Folder, random: &mut Random) -> bool {
    let file = old_chain().file.display().to_string();
    let mut import = folder.start(&[], &["import-blocks", &file]);
    // The first block is there, and hundreds are still to come.
    watch_for(PATIENCE, || {
        folder.log_bytes() > 0 || import.has_ended().is_some()
    });
    sleep(random.moment(Duration::from_millis(20)));
    disk.fill(random.below(64 << 10));
    let status = import.end_within(PATIENCE);
    let said = import.said();
    assert!(
        status.success() || said.contains(NO_SPACE),
        "ended with {status}:\n{said}"
    );
    disk.free();
    folder.ok(&["import-blocks", &file]);
    let found = folder.assert_sound("after an import onto a full disk");
    assert_eq!(found.height, u64::from(OLD_BLOCKS) - 1);
    !status.success()
}
