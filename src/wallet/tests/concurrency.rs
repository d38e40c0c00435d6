//! Several writers at one file, and writers that die (row W3 of `docs/faults.md`).

use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::*;

/// Names the wallet that a child process shall work on.
const CHILD_WALLET: &str = "QUARRY_TEST_CHILD_WALLET";
/// How many addresses it shall make.
const CHILD_COUNT: &str = "QUARRY_TEST_CHILD_COUNT";

/// Not a test of its own: the other process of the tests below, which start it by name.
#[test]
#[ignore = "started as a child process by the other tests of this file"]
fn child_makes_addresses() {
    let path = std::env::var(CHILD_WALLET).expect("set by the parent");
    let count: u32 = std::env::var(CHILD_COUNT)
        .expect("set")
        .parse()
        .expect("a number");
    let mut wallet = Wallet::open(path).expect("open");
    for _ in 0..count {
        let hash = wallet.new_address(COIN_TYPE).expect("new");
        println!("made {hash}");
    }
}

fn start_child(wallet: &Wallet, count: u32) -> Child {
    let name = format!("{}::child_makes_addresses", module_path!());
    let name = name.split_once("::").expect("crate name").1;
    Command::new(std::env::current_exe().expect("path"))
        .args([
            "--exact",
            name,
            "--ignored",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(CHILD_WALLET, wallet.path())
        .env(CHILD_COUNT, count.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("start")
}

/// The addresses a child reports, as it makes them; a line cut off by a kill is left out.
fn made_by(child: &mut Child) -> impl Iterator<Item = String> + use<> {
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    // The test harness may write before the first address, on the same line.
    lines.map_while(Result::ok).filter_map(|line| {
        line.split_once("made ")
            .map(|(_, hash)| hash.to_owned())
            .filter(|hash| hash.len() == 40)
    })
}

fn listed(wallet: &Wallet) -> Vec<String> {
    wallet
        .addresses(COIN_TYPE)
        .iter()
        .map(|address| address.hash.to_string())
        .collect()
}

#[test]
fn two_handles_never_hand_out_one_address() {
    const EACH: usize = 15;
    let (_folder, first) = plain();
    let path = first.path().to_owned();
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let path = path.clone();
            std::thread::spawn(move || {
                let mut wallet = Wallet::open(path).expect("open");
                (0..EACH)
                    .map(|_| wallet.new_address(COIN_TYPE).expect("new"))
                    .collect::<Vec<_>>()
            })
        })
        .collect();
    let made: Vec<_> = threads
        .into_iter()
        .flat_map(|thread| thread.join().expect("thread"))
        .collect();
    assert_eq!(made.iter().collect::<HashSet<_>>().len(), 4 * EACH);
    let wallet = Wallet::open(&path).expect("open");
    assert!(made.iter().all(|hash| wallet.owns(hash)));
    let indices: Vec<_> = wallet
        .addresses(COIN_TYPE)
        .iter()
        .map(|a| a.index)
        .collect();
    assert_eq!(indices, (0..60).collect::<Vec<_>>());
}

#[test]
fn two_processes_never_hand_out_one_address() {
    let (_folder, mut wallet) = plain();
    let mut children = [start_child(&wallet, 20), start_child(&wallet, 20)];
    let mut made: Vec<_> = (0..20)
        .map(|_| wallet.new_address(COIN_TYPE).expect("new").to_string())
        .collect();
    for child in &mut children {
        made.extend(made_by(child));
        assert!(child.wait().expect("child").success());
    }
    assert_eq!(made.len(), 60);
    wallet.refresh().expect("refresh");
    assert_eq!(
        made.into_iter().collect::<HashSet<_>>(),
        listed(&wallet).into_iter().collect()
    );
    assert_eq!(listed(&wallet).len(), 60);
}

/// The file is whole after every kill, and holds every address that was handed out.
#[test]
fn a_killed_writer_loses_nothing() {
    let (_folder, mut wallet) = plain();
    let mut all = HashSet::new();
    for round in 0..12_u64 {
        let mut child = start_child(&wallet, 100_000);
        let mut made = made_by(&mut child);
        all.insert(made.next().expect("a first address"));
        std::thread::sleep(Duration::from_micros(1_700 * round));
        child.kill().expect("kill");
        child.wait().expect("child");
        wallet.refresh().expect("whole");
        all.extend(made);
        let known: HashSet<_> = listed(&wallet).into_iter().collect();
        assert!(all.is_subset(&known), "round {round}");
        assert_eq!(known.len(), wallet.addresses(COIN_TYPE).len());
    }
    wallet
        .new_address(COIN_TYPE)
        .expect("a dead process holds no lock");
}
