//! A mining node that is killed again and again (row D1 of `docs/faults.md`): it restarts unattended, never loses what it had,
//! and its coins equal the ones recomputed from its blocks.

use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use crate::support::{Node, eventually};

/// Kills in the short form; `QUARRY_TEST_KILLS` asks for more.
const KILLS: u32 = 20;

/// A small generator, so that the moments differ within a run and are the same in every run.
fn next_random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[test]
fn d01_killed_at_random_moments_it_restarts_with_sound_coins() {
    let kills = std::env::var("QUARRY_TEST_KILLS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(KILLS);
    let mut node = Node::on_loopback("dev", &["--threads", "1"]);
    let mut random = 0x5eed_u64;
    let mut highest = 0;
    for kill in 0..kills {
        if next_random(&mut random).is_multiple_of(4) {
            // During start and recovery, before anything answers.
            node.spawn(&[]);
            sleep(Duration::from_millis(next_random(&mut random) % 150));
        } else {
            node.up(&[]);
            let height = node.height();
            assert!(
                height >= highest,
                "kill {kill}: height {highest} was acknowledged, now it is {height}"
            );
            sleep(Duration::from_millis(next_random(&mut random) % 900));
            highest = node
                .rpc("getblockcount", &[])
                .ok()
                .and_then(|height| height.as_u64())
                .unwrap_or(height);
        }
        node.kill();
        if kill % 4 == 3 {
            node.assert_sound();
        }
    }
    node.assert_sound();
    node.up(&[]);
    assert!(node.height() >= highest);
    assert!(
        highest > 0,
        "nothing was mined between the kills, so nothing was tested"
    );
}

/// A log on a full disk: its lines are lost, and the node goes on, mines, and stops when it is told.
#[test]
fn d04_a_log_that_cannot_be_written_stops_nothing() {
    let mut node = Node::on_loopback("dev", &["--threads", "1"]);
    node.spawn_with_log(Path::new("/dev/full"), &[]);
    eventually(60, "the node mines", || {
        node.rpc("getblockcount", &[])
            .is_ok_and(|height| height.as_u64() >= Some(3))
    });
    node.terminate();
    node.assert_sound();
}
