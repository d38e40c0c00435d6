//! H5: headers that cost next to nothing (CVE-2019-25220, CVE-2024-52916).

use std::sync::{Arc, OnceLock};

use proptest::prelude::*;

use super::node::{NOW, branch, flat, grow, steep, work};
use super::{peer::Manner, simulation::Simulation};
use crate::consensus::HeaderChain;
use crate::network::sync::{SyncFault, Weighing, WeighingError};
use crate::primitives::BlockHeader;

/// What an attacker sends at least in each of the tests.
const FLOOD: usize = 100_000;

/// A chain whose blocks take some 8,000 hashes from the eightieth on, so that few of them have more work than a flood has.
fn honest() -> &'static [BlockHeader] {
    static CHAIN: OnceLock<Vec<BlockHeader>> = OnceLock::new();
    CHAIN.get_or_init(|| {
        let spec = steep();
        let mut end = HeaderChain::of_genesis(&spec);
        let mut chain = grow(&spec, &mut end, 1, 1, 80);
        chain.extend(grow(&spec, &mut end, 1, 10, 340));
        chain
    })
}

/// A flood in one line: it keeps the schedule, so that the target stays at the limit.
fn flood() -> Vec<BlockHeader> {
    let spec = steep();
    grow(&spec, &mut HeaderChain::of_genesis(&spec), 2, 10, FLOOD)
}

/// Runs until `peer` has sent the flood.
fn run_flood(sim: &mut Simulation, peer: crate::network::sync::PeerKey) {
    while sim.peers[&peer].headers_sent < FLOOD {
        assert!(sim.now < 3_600_000, "the flood never came");
        sim.run(sim.now + 10_000);
    }
}

/// ```text
/// genesis ── a1 … a400 … a420    (ours up to a400; an honest peer has all)
///        └── x1 … x100000        (an attacker: a tenth of the work, and the claim of much more)
/// ```
#[test]
fn h05_a_line_of_least_work_is_not_stored() {
    let mut sim = Simulation::with_spec(steep());
    sim.own(&honest()[..400]);
    let attacker = sim.connect(1, flood(), Manner::Boasts);
    sim.connect(2, honest().to_vec(), Manner::Honest);
    run_flood(&mut sim, attacker);
    assert_eq!(sim.header_count(), 420, "nothing of the flood is stored");
    assert_eq!(sim.tip().0, 420, "honest blocks are fetched meanwhile");
    assert!((1..=Weighing::MOST_BYTES).contains(&sim.most_weighing));
    sim.run(sim.now + 10_000);
    assert!(sim.faults.contains(&(attacker, SyncFault::FalseClaim)));
    assert!(sim.faults.iter().all(|(peer, _)| *peer == attacker));
}

/// ```text
/// genesis ── a1 … a400 … a420    (ours up to a400; an honest peer has all)
///        ├── x1 … x2000
///        ├── y1 … y2000          (an attacker: another one with every answer)
///        └── …
/// ```
#[test]
fn h05_branches_of_least_work_are_not_stored() {
    let mut sim = Simulation::with_spec(steep());
    sim.own(&honest()[..400]);
    let attacker = sim.connect(1, Vec::new(), Manner::Branches);
    sim.connect(2, honest().to_vec(), Manner::Honest);
    run_flood(&mut sim, attacker);
    assert_eq!(sim.header_count(), 420, "nothing of the flood is stored");
    assert_eq!(sim.tip().0, 420);
    assert!((1..=Weighing::MOST_BYTES).contains(&sim.most_weighing));
    let fault = (attacker, SyncFault::UnconnectedHeaders);
    assert!(!sim.faults.is_empty() && sim.faults.iter().all(|found| *found == fault));
}

/// Attackers that are just not slow enough to lose their turn: a chain that is weighed for long takes no other's place.
#[test]
fn h05_slow_floods_do_not_keep_honest_peers_waiting() {
    let mut sim = Simulation::with_spec(steep());
    sim.own(&honest()[..400]);
    let flood = flood();
    for key in 1..=3 {
        let attacker = sim.connect(key, flood.clone(), Manner::Boasts);
        sim.peers.get_mut(&attacker).unwrap().delay = 1_900;
    }
    sim.run(10_000);
    sim.connect(4, honest().to_vec(), Manner::Honest);
    sim.run(20_000);
    assert_eq!((sim.header_count(), sim.tip().0), (420, 420));
}

/// A node that has nothing yet, and was told how much work its network has.
#[test]
fn h05_a_new_node_that_knows_the_least_work_stores_no_flood() {
    let mut sim = Simulation::with_spec(steep());
    let spec = steep();
    let mut known = HeaderChain::of_genesis(&spec);
    for header in &honest()[..400] {
        known.extend(&spec, header, &header.hash(), NOW).unwrap();
    }
    sim.minimum = known.work();
    let line = sim.connect(1, flood(), Manner::Boasts);
    let branches = sim.connect(2, Vec::new(), Manner::Branches);
    run_flood(&mut sim, line);
    assert_eq!(sim.header_count(), 0);
    sim.connect(3, honest().to_vec(), Manner::Honest);
    run_flood(&mut sim, branches);
    assert_eq!((sim.header_count(), sim.tip().0), (420, 420));
}

/// A node that has nothing yet and was told nothing must take what it is shown; but each branch once more only if it shows more work.
#[test]
fn h05_a_new_node_stores_few_branches() {
    let mut sim = Simulation::new();
    let attacker = sim.connect(1, Vec::new(), Manner::Branches);
    run_flood(&mut sim, attacker);
    assert!((2_000..=FLOOD / 5).contains(&sim.header_count()));
    // It withholds the blocks, so the honest chain is the goal all the same, though it has less work.
    let chain = branch(&[], 1, 300);
    sim.connect(2, chain.clone(), Manner::Honest);
    sim.run(sim.now + 120_000);
    assert_eq!(sim.tip(), (300, chain[299].hash()));
}

/// ```text
/// genesis ── a1 … a3000    (ours)
///        └── b1 … b7000    (an honest peer)
/// ```
#[test]
fn a_heavier_chain_wins_however_many_answers_it_takes_to_show() {
    let mut sim = Simulation::new();
    sim.own(&branch(&[], 1, 3_000));
    let heavier = branch(&[], 2, 7_000);
    let peer = sim.connect(1, heavier.clone(), Manner::Honest);
    sim.run(60_000);
    assert_eq!(sim.tip(), (7_000, heavier[6_999].hash()));
    assert!(sim.most_weighing > 0, "its first answers showed too little");
    // Twice what was needed to show the work, once the rest.
    assert_eq!(sim.peers[&peer].headers_sent, 4_000 + 7_000);
    assert!(sim.faults.is_empty(), "{:?}", sim.faults);
}

/// Blocks that are found meanwhile, whose parents we do not know, do not make the weighing begin anew.
#[test]
fn news_do_not_disturb_a_weighing() {
    let mut sim = Simulation::new();
    // The last answer of the first pass is a short one.
    sim.minimum = work(4_500);
    let chain = branch(&[], 2, 5_000);
    let peer = sim.connect(1, chain, Manner::Honest);
    for _ in 0..50 {
        sim.run(sim.now + 100);
        sim.event(crate::network::sync::Event::UnknownParent { peer });
    }
    assert_eq!(sim.header_count(), 5_000);
}

/// Work that is shown in the first pass is no licence for other headers in the second.
#[test]
fn h05_headers_that_were_not_shown_at_first_are_not_stored() {
    let mut sim = Simulation::new();
    sim.own(&branch(&[], 1, 3_000));
    let theirs = branch(&[], 2, 5_000);
    let attacker = sim.connect(1, theirs, Manner::ChangesItsMind);
    sim.run(20_000);
    assert_eq!(sim.header_count(), 3_000);
    assert_eq!(sim.faults, [(attacker, SyncFault::FalseClaim)]);
}

fn long() -> &'static [BlockHeader] {
    static CHAIN: OnceLock<Vec<BlockHeader>> = OnceLock::new();
    CHAIN.get_or_init(|| branch(&[], 5, 9_000))
}

fn weighing(least: usize, salt: [u8; 32]) -> Weighing {
    let spec = flat();
    let start = HeaderChain::of_genesis(&spec);
    Weighing::new(Arc::new(spec), salt, work(least as u64), start)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    // Whatever the answers' sizes: nothing in the first pass, then every header once, in order.
    #[test]
    fn an_honest_chain_leaves_the_weighing_whole(least in 0..8_000_usize, salt: [u8; 32], size in 1..2_500_usize) {
        let mut weighing = weighing(least, salt);
        let mut stored = Vec::new();
        for _pass in 0..2 {
            let mut sent = 0;
            while !weighing.is_done() {
                let answer = &long()[sent..(sent + size).min(long().len())];
                stored.extend(weighing.take(answer, NOW).unwrap());
                prop_assert!(weighing.bytes() <= Weighing::MOST_BYTES);
                sent += answer.len();
                if weighing.height() == 0 {
                    break;
                }
            }
        }
        prop_assert!(weighing.is_done());
        prop_assert!(stored.len() > least);
        prop_assert_eq!(&stored[..], &long()[..stored.len()]);
    }

    // Whatever the second pass sends: what is let go is what the first has seen.
    #[test]
    fn h05_what_leaves_a_weighing_was_shown(fork in 0..6_000_usize, salt: [u8; 32]) {
        let mut weighing = weighing(6_500, salt);
        for answer in long().chunks(2_000) {
            weighing.take(answer, NOW).unwrap();
            if weighing.height() == 0 {
                break;
            }
        }
        let mut other = long()[..fork].to_vec();
        other.extend(branch(&long()[..fork], 6, 9_000 - fork));
        let mut stored = Vec::new();
        let mut refused = false;
        for answer in other.chunks(2_000) {
            match weighing.take(answer, NOW) {
                Ok(let_go) => stored.extend(let_go),
                Err(error) => {
                    prop_assert_eq!(error, WeighingError::OtherChain);
                    refused = true;
                    break;
                }
            }
        }
        prop_assert!(refused && stored.len() <= fork);
        prop_assert_eq!(&stored[..], &long()[..stored.len()]);
    }
}
