//! The runs.

use super::node::{branch, work};
use super::{peer::Manner, simulation::Simulation};
use crate::network::sync::{Event, PeerKey, PeerStatus, SyncFault, SyncState};
use crate::primitives::BlockHash;

#[test]
fn a_late_joiner_catches_up_and_uses_all_peers() {
    let mut sim = Simulation::new();
    let chain = branch(&[], 0, 5_000);
    let keys: Vec<_> = (1..=3)
        .map(|key| sim.connect(key, chain.clone(), Manner::Honest))
        .collect();
    sim.run(30_000);
    assert_eq!(sim.tip(), (5_000, chain[4_999].hash()));
    assert!(matches!(
        sim.sync.state(),
        SyncState::Synced { height: 5_000 }
    ));
    assert!(sim.faults.is_empty(), "{:?}", sim.faults);
    for key in keys {
        assert!(sim.asked[&key] > 1_000, "{:?}", sim.asked);
    }
    let asked: usize = sim.asked.values().sum();
    assert_eq!(asked, 5_000, "each block is asked for once");
    assert!(sim.most_in_flight <= 10);
    assert!(
        (17..=64).contains(&sim.most_judging),
        "{}",
        sim.most_judging
    );
}

#[test]
fn an_equal_chain_needs_no_requests() {
    let mut sim = Simulation::new();
    let chain = branch(&[], 0, 20);
    sim.own(&chain);
    sim.connect(1, chain, Manner::Honest);
    sim.run(5_000);
    assert_eq!(sim.most_in_flight, 0);
}

/// P5: announce and withhold. The tip is reached within seconds from the others.
#[test]
fn p05_a_withholding_peer_loses_its_blocks_to_another() {
    let mut sim = Simulation::new();
    let chain = branch(&[], 0, 100);
    let bad = sim.connect(1, chain.clone(), Manner::WithholdsBlocks);
    sim.connect(2, chain.clone(), Manner::Honest);
    sim.run(6_000);
    assert_eq!(sim.tip().0, 100);
    sim.run(60_000);
    assert!(
        sim.faults
            .iter()
            .all(|(peer, fault)| *peer == bad && *fault == SyncFault::Silent)
    );
    assert!(!sim.faults.is_empty());
}

/// P5: the only peer that claims more never answers; another one appears.
#[test]
fn p05_a_silent_peer_does_not_hold_up_headers() {
    let mut sim = Simulation::new();
    let chain = branch(&[], 0, 300);
    sim.connect(1, chain.clone(), Manner::Silent);
    sim.connect(2, chain.clone(), Manner::Silent);
    sim.connect(3, chain.clone(), Manner::Honest);
    sim.run(12_000);
    assert_eq!(sim.tip().0, 300);
}

/// ```text
/// genesis ── a1 … a50            (ours)
///        └── b1 … b70            (peer 1: more work)
/// ```
#[test]
fn p17_a_heavier_branch_is_fetched_from_the_fork_on() {
    let mut sim = Simulation::new();
    let ours = branch(&[], 1, 50);
    let theirs = branch(&[], 2, 70);
    sim.own(&ours);
    sim.connect(1, theirs.clone(), Manner::Honest);
    sim.run(10_000);
    assert_eq!(sim.tip(), (70, theirs[69].hash()));
    assert!(sim.faults.is_empty());
}

/// Peer 2 is on a branch with less work: it has none of the blocks that we want, and that is no
/// fault.
#[test]
fn a_peer_on_another_branch_is_not_punished_and_does_not_stop_us() {
    let mut sim = Simulation::new();
    let best = branch(&[], 1, 200);
    let other = branch(&[], 2, 199);
    sim.connect(1, best.clone(), Manner::Honest);
    sim.connect(2, other, Manner::Honest);
    sim.run(20_000);
    assert_eq!(sim.tip(), (200, best[199].hash()));
    assert!(sim.faults.is_empty(), "{:?}", sim.faults);
}

/// P16: a claim that headers do not back is found out, once, and does not stop us.
#[test]
fn p16_a_lying_peer_is_found_out() {
    let mut sim = Simulation::new();
    let chain = branch(&[], 0, 150);
    let liar = sim.connect(1, chain[..10].to_vec(), Manner::Claims(1_000_000));
    sim.connect(2, chain.clone(), Manner::Honest);
    sim.run(20_000);
    assert_eq!(sim.tip().0, 150);
    assert_eq!(sim.faults, [(liar, SyncFault::FalseClaim)]);
    assert!(matches!(sim.sync.state(), SyncState::Synced { .. }));
}

/// H6: headers that do not follow each other.
#[test]
fn h06_discontinuous_headers_are_a_fault() {
    let mut sim = Simulation::new();
    let chain = branch(&[], 0, 30);
    let bad = sim.connect(1, chain.clone(), Manner::Discontinuous);
    sim.connect(2, chain, Manner::Honest);
    sim.run(20_000);
    assert_eq!(sim.tip().0, 30);
    assert!(
        sim.faults
            .iter()
            .all(|entry| *entry == (bad, SyncFault::DiscontinuousHeaders))
    );
    assert_eq!(sim.faults.len(), 1);
}

/// H6: headers that do not follow our locator lead to a fresh start, and in the end to a fault.
#[test]
fn h06_unconnected_headers_restart_and_then_count() {
    let mut sim = Simulation::new();
    let chain = branch(&[], 0, 100);
    let bad = sim.connect(1, chain.clone(), Manner::IgnoresLocator);
    sim.run(5_000);
    assert_eq!(sim.faults, [(bad, SyncFault::UnconnectedHeaders)]);
    // It mends its ways after its next block: then it is asked again.
    let longer = branch(&[], 0, 101);
    let peer = sim.peers.get_mut(&bad).unwrap();
    peer.manner = Manner::Honest;
    peer.chain.clone_from(&longer);
    let status = PeerStatus {
        best_hash: longer[100].hash(),
        best_height: 101,
        work: work(101),
    };
    sim.event(Event::PeerStatus { peer: bad, status });
    sim.run(20_000);
    assert_eq!(sim.tip().0, 101);
}

/// A burst of blocks after the handshake: the peer's last status is old, and one gossiped body was lost. What the peer sent since
/// shows that it has the blocks, so they are fetched from it without waiting for the next status.
#[test]
fn what_a_peer_sends_counts_for_more_than_its_last_status() {
    let mut sim = Simulation::new();
    let peer = sim.connect(1, Vec::new(), Manner::Honest);
    let chain = branch(&[], 0, 30);
    sim.peers.get_mut(&peer).unwrap().chain.clone_from(&chain);
    sim.event(Event::UnknownParent { peer });
    // A poll that was answered before the burst.
    let status = PeerStatus {
        best_hash: sim.genesis(),
        best_height: 0,
        work: work(0),
    };
    sim.run(100);
    sim.event(Event::PeerStatus { peer, status });
    sim.run(2_000);
    assert_eq!(sim.tip().0, 30);
    assert!(sim.faults.is_empty());
}

/// P4: a mutated body falls on its sender only, and the honest one is taken.
#[test]
fn p04_a_mutated_body_falls_on_its_sender() {
    let mut sim = Simulation::new();
    let chain = branch(&[], 0, 40);
    let bad = sim.connect(1, chain.clone(), Manner::Mutates);
    sim.connect(2, chain, Manner::Honest);
    sim.run(30_000);
    assert_eq!(sim.tip().0, 40);
    assert!(!sim.faults.is_empty());
    assert!(
        sim.faults
            .iter()
            .all(|entry| *entry == (bad, SyncFault::MutatedBlock))
    );
}

/// P3: blocks that nobody asked for.
#[test]
fn p03_unsolicited_blocks_are_a_fault() {
    let mut sim = Simulation::new();
    let chain = branch(&[], 0, 20);
    let bad = sim.connect(1, chain, Manner::Unsolicited);
    sim.run(60_000);
    assert_eq!(sim.tip().0, 20);
    assert!(sim.faults.contains(&(bad, SyncFault::UnsolicitedBlock)));
}

/// P3: answers to requests that were never sent, or were answered before, are ignored.
#[test]
fn p03_unknown_answers_are_ignored() {
    let mut sim = Simulation::new();
    let chain = branch(&[], 0, 20);
    let request = crate::network::sync::RequestId(999);
    sim.connect(1, chain.clone(), Manner::Honest);
    sim.event(Event::HeadersAnswered {
        request,
        headers: chain,
    });
    sim.event(Event::BlocksAnswered {
        request,
        blocks: Vec::new(),
    });
    sim.run(5_000);
    assert_eq!(sim.tip().0, 20);
    assert!(sim.faults.is_empty());
}

/// P3: the answer to a request that has failed already, and a second one.
#[test]
fn p03_late_and_second_answers_are_ignored() {
    let mut sim = Simulation::new();
    let chain = branch(&[], 0, 20);
    let silent = sim.connect(1, chain.clone(), Manner::Silent);
    let request = *sim.in_flight.keys().next().unwrap();
    let failure = crate::network::sync::RequestFailure::Timeout;
    sim.event(Event::RequestFailed { request, failure });
    for _ in 0..2 {
        let headers = chain.clone();
        sim.event(Event::HeadersAnswered { request, headers });
        sim.event(Event::RequestFailed { request, failure });
    }
    sim.run(1_000);
    assert_eq!(sim.header_count(), 0);
    assert_eq!(sim.faults, [(silent, SyncFault::Silent)]);
}

#[test]
fn a_rate_limiting_peer_is_obeyed_without_fault() {
    let mut sim = Simulation::new();
    let chain = branch(&[], 0, 60);
    sim.connect(1, chain, Manner::RateLimits);
    sim.run(120_000);
    assert_eq!(sim.tip().0, 60);
    assert!(sim.faults.is_empty());
}

#[test]
fn a_peer_that_leaves_takes_nothing_with_it() {
    let mut sim = Simulation::new();
    let chain = branch(&[], 0, 3_000);
    let first = sim.connect(1, chain.clone(), Manner::Honest);
    sim.run(1_000);
    sim.disconnect(first);
    sim.run(2_000);
    sim.connect(2, chain, Manner::Honest);
    sim.run(30_000);
    assert_eq!(sim.tip().0, 3_000);
    assert!(sim.faults.is_empty());
}

/// P16.
///
/// ```text
/// genesis ── a1 ── a2 … a20            (peer 2)
///              └── x2 (invalid) … x60  (peer 1)
/// ```
#[test]
fn p16_a_heavier_branch_with_an_invalid_block_is_left_for_the_best_valid_one() {
    let mut sim = Simulation::new();
    let good = branch(&[], 1, 20);
    let mut bad = vec![good[0]];
    bad.extend(branch(&good[..1], 2, 59));
    sim.make_invalid(bad[1].hash());
    let liar = sim.connect(1, bad, Manner::Honest);
    sim.run(10_000);
    assert_eq!(sim.tip().0, 1);
    assert!(sim.faults.contains(&(liar, SyncFault::InvalidBlock)));
    sim.connect(2, good.clone(), Manner::Honest);
    sim.run(40_000);
    assert_eq!(sim.tip(), (20, good[19].hash()));
}

/// After a heal: a block with an unknown parent leads to headers at once, whatever the last status
/// of its sender says.
#[test]
fn an_unknown_parent_leads_to_headers_at_once() {
    let mut sim = Simulation::new();
    let ours = branch(&[], 1, 5);
    let theirs = branch(&[], 2, 9);
    sim.own(&ours);
    let key = sim.connect(1, theirs[..5].to_vec(), Manner::Honest);
    sim.run(1_000);
    assert_eq!(sim.tip(), (5, ours[4].hash()), "equal work: the first wins");
    sim.peers.get_mut(&key).unwrap().chain.clone_from(&theirs);
    sim.event(Event::UnknownParent { peer: key });
    sim.run(1_100);
    let status = PeerStatus {
        best_hash: theirs[8].hash(),
        best_height: 9,
        work: work(9),
    };
    sim.event(Event::PeerStatus { peer: key, status });
    sim.run(1_500);
    assert_eq!(sim.tip(), (9, theirs[8].hash()));
}

/// Headers whose bodies never come: all miners stopped for ever once.
///
/// ```text
/// genesis ── a1 … a10 ── a11 … a15   (ours up to a10; peer 2 has all)
///        └── b1 … b40                (peer 1: more work; leaves before it sends a body)
/// ```
#[test]
fn headers_without_bodies_do_not_count_as_a_sync() {
    let mut sim = Simulation::new();
    let good = branch(&[], 1, 15);
    let withheld = branch(&[], 2, 40);
    sim.own(&good[..10]);
    let bad = sim.connect(1, withheld, Manner::WithholdsBlocks);
    sim.run(1_000);
    assert!(matches!(
        sim.sync.state(),
        SyncState::Blocks { target: 40, .. }
    ));
    sim.run(20_000);
    assert_eq!(sim.sync.state(), SyncState::Synced { height: 10 });
    assert_eq!(sim.sync.blocks_behind(), 0);
    assert!(!sim.sync.is_downloading());
    sim.disconnect(bad);
    // Coming back is not progress.
    sim.run(21_000);
    let again = branch(&[], 2, 40);
    let bad = sim.connect(3, again, Manner::WithholdsBlocks);
    sim.run(22_000);
    assert!(!sim.sync.is_downloading());
    sim.disconnect(bad);
    // The best chain that somebody has is fetched, although headers with more work are known.
    sim.connect(2, good.clone(), Manner::Honest);
    sim.run(25_000);
    assert_eq!(sim.tip(), (15, good[14].hash()));
    assert_eq!(sim.sync.state(), SyncState::Synced { height: 15 });
}

/// P16: a claim that nothing backs counts for 15 s, and for no longer than the first silence.
#[test]
fn p16_an_unproven_claim_does_not_count_for_long() {
    let mut sim = Simulation::new();
    let chain = branch(&[], 0, 10);
    sim.own(&chain);
    let key = sim.connect(1, branch(&[], 7, 90), Manner::Silent);
    assert!(matches!(
        sim.sync.state(),
        SyncState::Headers { target: 90, .. }
    ));
    sim.run(3_000);
    assert_eq!(sim.sync.state(), SyncState::Synced { height: 10 });
    assert_eq!(sim.sync.blocks_behind(), 0);
    // Nor does another claim, before it has proven anything.
    let status = PeerStatus {
        best_hash: BlockHash::from_bytes([9; 32]),
        best_height: 1_000,
        work: work(1_000),
    };
    sim.event(Event::PeerStatus { peer: key, status });
    assert_eq!(sim.sync.state(), SyncState::Synced { height: 10 });
}

/// A refuted claim is looked at again after a minute: the peer may have got what it lacked.
#[test]
fn a_refuted_claim_gets_another_chance() {
    let mut sim = Simulation::new();
    let chain = branch(&[], 0, 30);
    let key = sim.connect(1, chain, Manner::Discontinuous);
    sim.run(50_000);
    assert_eq!(sim.tip().0, 0);
    sim.peers.get_mut(&key).unwrap().manner = Manner::Honest;
    sim.run(70_000);
    assert_eq!(sim.tip().0, 30);
}

/// What headers have shown is not forgotten for a status that was on its way meanwhile.
#[test]
fn an_old_status_does_not_take_back_what_headers_have_shown() {
    let mut sim = Simulation::new();
    let chain = branch(&[], 0, 2_000);
    let peer = sim.connect(1, chain, Manner::Honest);
    sim.run(200);
    let status = PeerStatus {
        best_hash: sim.genesis(),
        best_height: 0,
        work: work(0),
    };
    sim.event(Event::PeerStatus { peer, status });
    sim.run(20_000);
    assert_eq!(sim.tip().0, 2_000);
}

/// More peers than a list once had room for have failed: the blocks are asked for again all the same, and not in a loop.
#[test]
fn blocks_that_many_peers_failed_to_send_are_asked_for_again() {
    let mut sim = Simulation::new();
    let chain = branch(&[], 0, 3);
    for key in 1..=12 {
        sim.connect(key, chain.clone(), Manner::SendsNoBlocks);
    }
    sim.run(10_000);
    let asked: usize = sim.asked.values().sum();
    assert!((36..2_000).contains(&asked), "{asked} blocks asked for");
    sim.peers.get_mut(&PeerKey(4)).unwrap().manner = Manner::Honest;
    sim.run(20_000);
    assert_eq!(sim.tip().0, 3);
}
