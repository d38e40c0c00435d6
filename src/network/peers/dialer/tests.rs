//! When targets are dialled, and which of them.

use super::*;

fn address(last: u8) -> Multiaddr {
    format!("/ip4/10.0.0.{last}/tcp/7667").parse().unwrap()
}

fn route(last: u8) -> Route {
    Route::Addresses {
        addresses: vec![address(last)],
        peer: None,
    }
}

/// The times at which a target that never answers is dialled.
fn attempts(source: Source, until: u64) -> Vec<u64> {
    let mut dialer = Dialer::default();
    let id = dialer.add(source, route(1), 0).unwrap();
    let mut times = Vec::new();
    for now in (0..until).step_by(100) {
        if !dialer.due(now, 0, &[], |_| false).is_empty() {
            times.push(now);
            dialer.failed(now, id);
        }
    }
    times
}

#[test]
fn reserved_peers_are_dialled_every_few_seconds() {
    let times = attempts(Source::Reserved, 600_000);
    let gaps: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps[0] <= 1_300);
    assert!(gaps.iter().all(|gap| *gap <= 12_600), "{gaps:?}");
}

#[test]
fn bootnodes_are_dialled_ever_less_often() {
    let times = attempts(Source::Bootnode, 3_600_000);
    let gaps: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!((5_000..=6_400).contains(&gaps[0]));
    assert!(gaps.iter().all(|gap| *gap <= 375_100));
    assert!(times.len() < 25);
}

#[test]
fn a_lost_peer_is_dialled_within_seconds_even_when_the_places_are_taken() {
    let mut dialer = Dialer::default();
    let peer = PeerId::random();
    for i in 0..20 {
        dialer.learn(Source::Known, PeerId::random(), address(100 + i), u64::MAX);
    }
    dialer.learn(Source::Known, peer, address(1), 0);
    assert!(dialer.due(0, OUTBOUND_TARGET, &[], |_| false).is_empty());
    let (id, _) = dialer.due(0, 0, &[], |_| false)[0];
    dialer.connected(0, id, peer);
    dialer.lost(50_000, &peer);
    let mut dials = 0;
    for now in (50_000..110_000).step_by(100) {
        for (id, _) in dialer.due(now, OUTBOUND_TARGET, &[], |_| false) {
            dials += 1;
            dialer.failed(now, id);
        }
    }
    assert!(dials >= 6, "{dials} attempts in a minute");
}

#[test]
fn connected_peers_are_not_dialled() {
    let mut dialer = Dialer::default();
    let peer = PeerId::random();
    let id = dialer.add(Source::Reserved, route(1), 0).unwrap();
    assert_eq!(dialer.due(0, 0, &[], |_| false).len(), 1);
    assert!(
        dialer.due(0, 0, &[], |_| false).is_empty(),
        "one attempt at a time"
    );
    dialer.connected(0, id, peer);
    assert!(
        dialer
            .due(99_999, 0, &[], |other| *other == peer)
            .is_empty()
    );
    assert!(dialer.is_reserved(&peer));
    dialer.lost(100_000, &peer);
    assert!(dialer.due(100_999, 0, &[], |_| false).is_empty());
    assert_eq!(dialer.due(101_000, 0, &[], |_| false).len(), 1);
}

#[test]
fn a_target_can_be_removed_before_anybody_was_reached() {
    let mut dialer = Dialer::default();
    assert_eq!(dialer.remove(&route(1)), None);
    dialer.add(Source::Known, route(1), 0).unwrap();
    assert!(!dialer.has_reserved(&route(1)));
    dialer.add(Source::Reserved, route(1), 0).unwrap();
    assert!(dialer.has_reserved(&route(1)) && !dialer.has_reserved(&route(2)));
    assert_eq!(dialer.remove(&route(1)), Some(Vec::new()));
    assert_eq!(dialer.remove(&route(1)), None);
}

#[test]
fn what_is_tried_by_hand_is_tried_once_and_waits_for_no_place() {
    let mut dialer = Dialer::default();
    for _ in 0..20 {
        dialer.learn(Source::Known, PeerId::random(), address(9), u64::MAX);
    }
    let id = dialer.add(Source::Once, route(1), 0).unwrap();
    assert_eq!(dialer.due(0, OUTBOUND_TARGET, &[], |_| false).len(), 1);
    dialer.failed(0, id);
    assert!(
        dialer
            .due(999_999, OUTBOUND_TARGET, &[], |_| false)
            .is_empty()
    );
    assert_eq!(dialer.remove(&route(1)), None, "it is forgotten");
    let id = dialer.add(Source::Once, route(1), 0).unwrap();
    dialer.connected(0, id, PeerId::random());
    assert!(dialer.remove(&route(1)).is_some(), "it is known now");
}

/// P15: a hundred attackers in two networks, all lost lately, and seven honest peers.
#[test]
fn p15_each_group_gets_its_share_of_the_places() {
    let place = |text: String| -> Multiaddr { text.parse().unwrap() };
    let mut dialer = Dialer::default();
    let mut peers = Vec::new();
    for i in 0..107_u8 {
        let peer = PeerId::random();
        let text = if i < 100 {
            format!("/ip4/9.{}.1.{i}/tcp/7667", i % 2)
        } else {
            format!("/ip4/{i}.1.1.1/tcp/7667")
        };
        dialer.learn(Source::Known, peer, place(text), 0);
        peers.push(peer);
    }
    peers[..100].iter().for_each(|peer| dialer.lost(0, peer));
    let due = dialer.due(5_000, 0, &[], |_| false);
    let attackers = due
        .iter()
        .filter(|(_, route)| peers[..100].contains(&route.peer().unwrap()));
    assert_eq!((due.len(), attackers.count()), (9, 2));
    assert!(dialer.due(5_001, 0, &[], |_| false).is_empty());
    for (id, route) in due {
        dialer.connected(6_000, id, route.peer().unwrap());
    }
    // With connections in both networks of the attacker nobody else of them is dialled.
    let groups = [Group::V4(0x0900), Group::V4(0x0901)];
    let connected = |peer: &PeerId| peers[100..].contains(peer);
    assert!(dialer.due(7_000, 0, &groups, connected).is_empty());
}

#[test]
fn in_one_place_the_share_is_all() {
    let mut dialer = Dialer::default();
    for i in 0..50_u8 {
        let place = format!("/ip4/9.9.1.{i}/tcp/7667").parse().unwrap();
        dialer.learn(Source::Known, PeerId::random(), place, 0);
    }
    assert_eq!(dialer.due(0, 0, &[], |_| false).len(), OUTBOUND_TARGET);
}

#[test]
fn what_was_heard_is_dialled_once() {
    let mut dialer = Dialer::default();
    let peer = PeerId::random();
    assert_eq!(dialer.wants(0, 0), CONNECT_TO_ALL);
    dialer.learn(Source::Heard, peer, address(1), 0);
    let (id, _) = dialer.due(0, 0, &[], |_| false)[0];
    assert!(dialer.knows(&peer) && dialer.wants(0, 0) == CONNECT_TO_ALL - 1);
    dialer.failed(0, id);
    assert!(!dialer.knows(&peer));
}

#[test]
fn strangers_are_left_alone() {
    let mut dialer = Dialer::default();
    let peer = PeerId::random();
    dialer.learn(Source::Local, peer, address(1), 0);
    let (id, _) = dialer.due(0, 0, &[], |_| false)[0];
    dialer.connected(0, id, peer);
    dialer.bar(0, &peer, 3_600_000);
    dialer.lost(1, &peer);
    assert!(dialer.due(3_599_999, 0, &[], |_| false).is_empty());
    assert_eq!(dialer.due(3_600_000, 0, &[], |_| false).len(), 1);
}

/// A node was away for a night; its address is the old one, and it waited up to 5 min to be dialled.
#[test]
fn a_peer_that_mdns_sees_again_is_dialled_at_once() {
    let mut dialer = Dialer::default();
    let peer = PeerId::random();
    dialer.learn(Source::Local, peer, address(1), 0);
    let mut now = 0;
    for _ in 0..200 {
        while dialer.due(now, 0, &[], |_| false).is_empty() {
            now += 1_000;
        }
        let id = *dialer.targets.keys().next().unwrap();
        dialer.failed(now, id);
    }
    assert!(dialer.due(now + 200_000, 0, &[], |_| false).is_empty());
    dialer.learn(Source::Known, peer, address(1), now);
    assert!(dialer.due(now, 0, &[], |_| false).is_empty());
    dialer.learn(Source::Local, peer, address(1), now);
    let (id, _) = dialer.due(now, 0, &[], |_| false)[0];
    dialer.failed(now, id);
    assert_eq!(dialer.due(now + 2_000, 0, &[], |_| false).len(), 1);
}

#[test]
fn a_reserved_target_that_is_ourselves_is_dropped() {
    let mut dialer = Dialer::default();
    let id = dialer.add(Source::Reserved, route(1), 0).unwrap();
    dialer.due(0, 0, &[], |_| false);
    dialer.failed(0, id);
    dialer.forget_ourselves(id, &address(1));
    assert!(dialer.due(99_999, 0, &[], |_| false).is_empty());
}
