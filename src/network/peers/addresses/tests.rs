//! What floods of addresses can and cannot do to the table.

use super::*;

const NOW: u64 = 1_800_000_000;

fn address(ip: [u8; 4]) -> Multiaddr {
    let [a, b, c, d] = ip;
    format!("/ip4/{a}.{b}.{c}.{d}/tcp/7667").parse().unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A table that hears from `source`.
fn hear(table: &mut AddressTable, told: [u8; 4], source: &str) -> bool {
    table.heard(PeerId::random(), &address(told), NOW, NOW, ip(source))
}

#[test]
fn p14_a_flood_of_one_group_takes_the_places_of_one_group() {
    let mut table = AddressTable::default();
    let honest: Vec<_> = (1..=50_u8)
        .filter(|i| hear(&mut table, [40 + i, 1, 1, 1], "30.1.1.1"))
        .collect();
    assert_eq!(honest.len(), 50);
    let taken = (0..10_000_u32)
        .filter(|i| {
            let [_, _, c, d] = i.to_be_bytes();
            hear(&mut table, [9, 9, c, d], "9.9.0.1")
        })
        .count();
    assert_eq!(taken, MAX_PER_GROUP);
    assert_eq!(table.len(), 50 + MAX_PER_GROUP);
}

#[test]
fn p14_a_source_has_its_share_whatever_it_tells() {
    let mut table = AddressTable::default();
    let told = |table: &mut AddressTable, source: &str| {
        (0..10_000_u32)
            .filter(|i| {
                let [_, b, c, d] = i.to_be_bytes();
                hear(table, [50 + c, d, b, 1], source)
            })
            .count()
    };
    assert_eq!(told(&mut table, "9.9.0.1"), MAX_PER_SOURCE);
    assert_eq!(told(&mut table, "9.9.255.1"), 0, "the same group");
    assert_eq!(told(&mut table, "9.8.0.1"), MAX_PER_SOURCE);
}

/// P14: a thousand attackers of as many groups fill the table, and what was reached stays.
#[test]
fn p14_what_was_reached_is_not_displaced_by_what_is_heard() {
    let mut table = AddressTable::default();
    let friends: Vec<_> = (0..100_u8)
        .map(|i| {
            let peer = PeerId::random();
            table.reached(peer, &address([20 + i, 1, 1, 1]), NOW);
            peer
        })
        .collect();
    for source in 0..200_u8 {
        for told in 0..200_u8 {
            let source = format!("{}.{source}.1.1", 130 + source % 50);
            hear(&mut table, [131 + told % 90, told, 1, 1], &source);
        }
    }
    assert!(table.addresses() <= MAX_ADDRESSES);
    let reached = table.all_reached();
    assert!(
        friends
            .iter()
            .all(|friend| reached.iter().any(|(peer, _)| peer == friend))
    );
}

#[test]
fn p14_times_are_capped_and_old_news_are_none() {
    let mut table = AddressTable::default();
    let source = ip("30.1.1.1");
    let mut hear = |last: u8, claimed| {
        table.heard(
            PeerId::random(),
            &address([40, last, 1, 1]),
            claimed,
            NOW,
            source,
        )
    };
    assert!(hear(1, u64::MAX) && hear(2, NOW + 599));
    assert!(!hear(3, NOW - OLD) && !hear(4, 0));
    let seen: Vec<_> = table.peers.values().map(|known| known.last_seen).collect();
    assert!(seen.iter().all(|seen| *seen <= NOW - TOLD_AGE), "{seen:?}");
    table.expire(NOW + OLD);
    assert_eq!(table.len(), 0);
}

/// P14: nobody outside makes us dial inside, and nobody else says where a peer is that we know.
#[test]
fn p14_local_addresses_stay_where_they_are() {
    let public = [40, 1, 1, 1];
    for (source, told, taken) in [
        ("30.1.1.1", public, true),
        ("30.1.1.1", [10, 0, 0, 7], false),
        ("30.1.1.1", [127, 0, 0, 1], false),
        ("10.0.0.1", public, true),
        ("10.0.0.1", [10, 0, 0, 7], true),
        ("10.0.0.1", [127, 0, 0, 1], false),
        ("127.0.0.1", [127, 0, 0, 1], true),
        ("30.1.1.1", [0, 0, 0, 0], false),
        ("30.1.1.1", [224, 0, 0, 1], false),
    ] {
        let mut table = AddressTable::default();
        assert_eq!(hear(&mut table, told, source), taken, "{source} {told:?}");
        // What was taken is given to such a peer, and to no other.
        let given = |to| table.give(0, 64, ip(to), &PeerId::random()).len() == 1;
        assert_eq!(given(source), taken);
        assert_eq!(given("31.1.1.1"), taken && told == public);
    }
    let mut table = AddressTable::default();
    let peer = PeerId::random();
    table.reached(peer, &address(public), NOW);
    assert!(!table.heard(peer, &address([41, 1, 1, 1]), NOW, NOW, ip("30.1.1.1")));
    assert_eq!(table.all_reached(), [(peer, vec![address(public)])]);
}

#[test]
fn a_local_network_of_five_hundred_is_known_whole() {
    let mut table = AddressTable::default();
    let taken = (0..500_u16)
        .filter(|i| {
            let [c, d] = i.to_be_bytes();
            hear(&mut table, [10, 0, c, d], "10.0.9.9")
        })
        .count();
    assert_eq!(taken, 500);
    let given = table.give(7, 64, ip("10.0.9.9"), &PeerId::random());
    assert_eq!(given.len(), 64);
    let others = table.give(8, 64, ip("10.0.9.9"), &PeerId::random());
    assert_ne!(given, others, "the salt decides");
}

/// P15: nine of ten addresses are the attacker's, of two groups; he gets two of eight places.
#[test]
fn p15_candidates_are_spread_over_groups() {
    let mut table = AddressTable::default();
    for i in 0..64_u8 {
        hear(&mut table, [9, i % 2, i, 1], &format!("9.{}.1.1", i % 2));
    }
    for i in 0..7_u8 {
        hear(&mut table, [60 + i, 1, 1, 1], "30.1.1.1");
    }
    for salt in 0..50 {
        let chosen = table.candidates(NOW, salt, 8, |_| false);
        let attackers = chosen
            .iter()
            .filter(|(_, places)| places[0].to_string().starts_with("/ip4/9."));
        assert!(chosen.len() == 8 && attackers.count() <= 2, "{chosen:?}");
    }
}

#[test]
fn bad_addresses_are_forgotten() {
    let mut table = AddressTable::default();
    let (heard, reached) = (PeerId::random(), PeerId::random());
    table.heard(heard, &address([40, 1, 1, 1]), NOW, NOW, ip("30.1.1.1"));
    table.reached(reached, &address([41, 1, 1, 1]), NOW);
    for failure in 0..20 {
        let candidates = table.candidates(NOW + failure, 0, 8, |_| false);
        assert_eq!(candidates.len(), usize::from(failure == 0), "it rests");
        table.failed(&heard, NOW + failure);
        table.failed(&reached, NOW + failure);
    }
    assert_eq!(table.all_reached().len(), table.len());
    table.failed(&reached, NOW + UNREACHED + 1);
    assert_eq!(table.len(), 0);
}

#[test]
fn reached_peers_are_bounded_by_group_and_in_all() {
    let mut table = AddressTable::default();
    for i in 0..100_u8 {
        table.reached(PeerId::random(), &address([9, 9, 1, i]), NOW + u64::from(i));
    }
    assert_eq!(table.len(), MAX_REACHED_PER_GROUP);
    for i in 0..900_u16 {
        let [a, b] = i.to_be_bytes();
        table.reached(PeerId::random(), &address([60 + a, b, 1, 1]), NOW);
    }
    assert_eq!(table.len(), MAX_REACHED);
    let peer = table.all_reached()[0].0;
    (0..10).for_each(|i| table.identified(peer, &address([60, 1, 1, i]), NOW));
    assert_eq!(table.peers[&peer].addresses.len(), MAX_PER_PEER);
}
