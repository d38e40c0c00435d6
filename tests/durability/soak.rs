//! A node that works for a long time (row S4): reorgs, peers that come and go, payments, questions. Its memory, open files and
//! threads are recorded each second; they must not grow.
//!
//! The short form runs seconds, which shows that the harness works and no more. `make soak HOURS=…` runs long and writes the record
//! to a file.

use std::fs::{self, File};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use quarry::rpc::{Client, NodeFile};
use serde_json::{Value, json};

use crate::fixtures::wallet_template;
use crate::support::{Folder, SOMEBODY, mine, setting, tip};

/// Seconds in the short form; `QUARRY_TEST_SOAK_SECONDS` asks for more.
const SECONDS: u64 = 12;
/// A new round of blocks and reorgs each so many seconds.
const ROUND: Duration = Duration::from_secs(2);
/// A peer lives so many rounds.
const ROUNDS_OF_A_PEER: u64 = 5;
/// Seconds from which on the slope of the memory is judged: before that the database's buffers and caches, 48 MiB, may be filling.
const LONG: u64 = 4 * 3_600;
/// Megabytes an hour that memory may grow by then; the growing chain takes a part.
const MOST_GROWTH: f64 = 10.0;
/// What it may be at most in the first hours: what a node takes at its start, and those buffers and caches twice.
const MOST_KIB: u64 = (48 + 2 * 48) << 10;

/// What was seen at a moment.
#[derive(Debug, Clone, Copy)]
struct Sample {
    seconds: f64,
    resident_kib: u64,
    files: usize,
    threads: usize,
}

#[test]
fn s04_working_for_long_it_does_not_grow() {
    let seconds = setting("QUARRY_TEST_SOAK_SECONDS", SECONDS);
    let folder = Folder::copy_of(&wallet_template().folder.path);
    let mut node = folder.up(&[]);
    let mut work = node.client();
    let file = NodeFile::read(&folder.network()).expect("node.json");
    let address = file.expect("the node runs").p2p[0].clone();
    let stop = Arc::new(AtomicBool::new(false));
    let asked = Arc::new(AtomicU64::new(0));
    let askers: Vec<_> = (0..2)
        .map(|_| {
            ask(
                Client::find(&folder.network()).expect("it runs"),
                &stop,
                &asked,
            )
        })
        .collect();
    let mut record = std::env::var_os("QUARRY_TEST_SOAK_CSV")
        .map(|path| File::create(path).expect("the record can be written"));
    if let Some(record) = &mut record {
        writeln!(
            record,
            "seconds,resident_kib,files,threads,height,questions"
        )
        .expect("written");
    }
    let (start, mut samples, mut rounds, mut peers) = (Instant::now(), Vec::new(), 0, 0);
    let mut peer = None;
    while start.elapsed() < Duration::from_secs(seconds) {
        let begun = Instant::now();
        if rounds % ROUNDS_OF_A_PEER == 0 {
            drop(peer.take());
            let guest = Folder::new();
            peer = Some((guest.up(&["--peer", &address]), guest));
            peers += 1;
        }
        round(&mut work);
        rounds += 1;
        sleep(ROUND.saturating_sub(begun.elapsed()));
        assert!(node.has_ended().is_none(), "{}", node.said());
        let sample = look(node.pid(), start);
        samples.push(sample);
        if let Some(record) = &mut record {
            let Sample {
                seconds,
                resident_kib,
                files,
                threads,
            } = sample;
            let (height, asked) = (tip(&work).height, asked.load(Ordering::Relaxed));
            writeln!(
                record,
                "{seconds:.0},{resident_kib},{files},{threads},{height},{asked}"
            )
            .expect("written");
        }
    }
    stop.store(true, Ordering::Relaxed);
    for asker in askers {
        asker.join().expect("it ends when told");
    }
    let known = tip(&work);
    drop(work);
    drop(peer);
    node.stop();
    assert_eq!(folder.assert_sound("after the soak"), known);
    judge(&samples, seconds);
    eprintln!(
        "soak: {rounds} rounds with a reorg each, {peers} peers, {} questions, height {}",
        asked.load(Ordering::Relaxed),
        known.height
    );
}

/// Payments, three blocks, a reorg of two of them.
fn round(client: &mut Client) {
    for _ in 0..3 {
        // There may be nothing to pay with.
        let _ = client.call("sendtoaddress", json!([SOMEBODY, "0.001"]));
    }
    let address = &wallet_template().address;
    let mined: Vec<_> = (0..2)
        .map(|_| mine(client, address).expect("the node answers"))
        .collect();
    client
        .call("invalidateblock", json!([mined[0]]))
        .expect("the node answers");
    for _ in 0..3 {
        mine(client, address).expect("the node answers");
    }
    client
        .call("reconsiderblock", json!([mined[0]]))
        .expect("the node answers");
}

/// Asks this and that, some hundred questions a second, until told to stop.
fn ask(client: Client, stop: &Arc<AtomicBool>, asked: &Arc<AtomicU64>) -> JoinHandle<()> {
    let (stop, asked) = (Arc::clone(stop), Arc::clone(asked));
    std::thread::spawn(move || {
        let questions = [
            ("getblockchaininfo", json!([])),
            ("getmempoolinfo", json!([])),
            ("getpeerinfo", json!([])),
            ("getchaintips", json!([])),
            ("getbalance", json!([])),
            ("getblockhash", json!([100])),
            ("getblockhash", json!([-1])),
        ];
        while !stop.load(Ordering::Relaxed) {
            for (method, params) in &questions {
                // An error is an answer too.
                let _: Result<Value, _> = client.call(method, params.clone());
                asked.fetch_add(1, Ordering::Relaxed);
            }
            sleep(Duration::from_millis(50));
        }
    })
}

fn look(pid: u32, start: Instant) -> Sample {
    let count = |name: &str| fs::read_dir(format!("/proc/{pid}/{name}")).map_or(0, Iterator::count);
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let resident = resident.and_then(|text| text.trim().trim_end_matches(" kB").parse().ok());
    Sample {
        seconds: start.elapsed().as_secs_f64(),
        resident_kib: resident.expect("the kernel tells"),
        files: count("fd"),
        threads: count("task"),
    }
}

/// Compares the second half with the first.
fn judge(samples: &[Sample], seconds: u64) {
    let half = samples.len() / 2;
    let most = |part: &[Sample], what: fn(&Sample) -> usize| part.iter().map(what).max();
    let (first, second) = samples.split_at(half);
    let files = (most(first, |it| it.files), most(second, |it| it.files));
    let threads = (most(first, |it| it.threads), most(second, |it| it.threads));
    let slope = slope(second);
    eprintln!(
        "soak: {} samples; most files {files:?}, most threads {threads:?} in the halves; memory {} to {} KiB, in the second half {slope:+.1} MB an hour",
        samples.len(),
        samples.first().map_or(0, |it| it.resident_kib),
        samples.last().map_or(0, |it| it.resident_kib),
    );
    // A peer more or less, and the files of the database, are no leak.
    assert!(
        files.1 <= files.0.map(|count| count + 40),
        "open files grow"
    );
    assert!(
        threads.1 <= threads.0.map(|count| count + 16),
        "threads grow"
    );
    let most = samples.iter().map(|it| it.resident_kib).max();
    assert!(seconds >= LONG || most < Some(MOST_KIB), "{most:?} KiB");
    if seconds >= LONG {
        assert!(slope < MOST_GROWTH, "memory grows by {slope} MB an hour");
    }
}

/// The slope of the memory by least squares, in megabytes an hour.
fn slope(samples: &[Sample]) -> f64 {
    let points: Vec<_> = samples
        .iter()
        .map(|it| {
            let kib = u32::try_from(it.resident_kib).expect("below 4 TiB");
            (it.seconds / 3_600.0, f64::from(kib) * 1_024.0 / 1e6)
        })
        .collect();
    let count = f64::from(u32::try_from(points.len()).expect("few"));
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|it| it.0), mean(|it| it.1));
    let above: f64 = points.iter().map(|it| (it.0 - x) * (it.1 - y)).sum();
    let below: f64 = points.iter().map(|it| (it.0 - x).powi(2)).sum();
    above / below
}
