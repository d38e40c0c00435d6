//! Rows H of the faults: headers and clocks.

use super::*;
use crate::primitives::{BlockHeader, CompactTarget};

/// A child of the tip's header, changed and solved for the target that it states where that is one.
fn header(chain: &TestChain, change: impl FnOnce(&mut BlockHeader)) -> BlockHeader {
    let mut header = chain.block_on(tip(chain), Vec::new(), 0).header;
    change(&mut header);
    if header.bits == CompactTarget(0x207f_ffff) {
        solve(&mut header);
    }
    header
}

/// H1: nothing of a header without work, or for another target, is stored.
#[test]
fn h01_headers_without_the_work_are_refused_before_they_are_stored() {
    let chain = TestChain::new();
    chain.extend(1);
    let dump = chain.reader().store().dump();
    let of_bits = |bits| header(&chain, |header| header.bits = CompactTarget(bits));
    let mut high = header(&chain, |_| {});
    while high.bits.to_target().unwrap().is_met_by(&high.hash()) {
        high.nonce += 1;
    }
    // The target of regtest's limit is met by half of all hashes: a harder one that is met is a wrong one all the same.
    let mut harder = header(&chain, |header| header.bits = CompactTarget(0x2040_0000));
    solve(&mut harder);
    for (header, reason) in [
        (high, "high-hash"),
        (of_bits(0), "high-hash"),
        (of_bits(0x2000_0000), "high-hash"),
        (of_bits(0x2080_0001), "high-hash"),
        (of_bits(0x20ff_ffff), "high-hash"),
        (of_bits(0x217f_ffff), "high-hash"),
        (of_bits(0xff7f_ffff), "high-hash"),
        (of_bits(0x2100_8000), "high-hash"),
        (of_bits(0x1d00_ffff), "high-hash"),
        (harder, "bad-diffbits"),
    ] {
        let judged = chain.handle().check_header(&header);
        assert_eq!(judged.unwrap_err().reject_reason(), reason, "{header:?}");
        let taken = chain.handle().submit_headers_blocking(vec![header]);
        assert_eq!(taken.unwrap_err().reject_reason(), reason);
        assert_eq!(chain.reader().header_info(&header.hash()), None);
    }
    assert_eq!(chain.reader().store().dump(), dump);
}

/// H1: versions that BIP34, BIP66 and BIP65 retired, and negative ones.
#[test]
fn h01_retired_versions_are_refused() {
    let chain = TestChain::new();
    for version in [i32::MIN, -1, 0, 1, 2, 3] {
        let header = header(&chain, |header| header.version = version);
        let refused = chain.handle().check_header(&header).unwrap_err();
        assert_eq!(refused.reject_reason(), "bad-version", "{version}");
    }
    for version in [4, i32::MAX] {
        let header = header(&chain, |header| header.version = version);
        assert_eq!(chain.handle().check_header(&header), Ok(()));
    }
}

/// H2: later than the median of the eleven blocks before, by a second at least.
#[test]
fn h02_the_median_of_times_is_too_old_and_a_second_later_is_not() {
    let chain = TestChain::new();
    for count in 0..13 {
        let median = chain.reader().tip().median_time_past;
        for (time, reason) in [(median, Some("time-too-old")), (median + 1, None)] {
            let header = header(&chain, |header| header.time = time);
            let refused = chain.handle().check_header(&header).err();
            let found = refused.map(|error| error.reject_reason());
            assert_eq!(found, reason, "after {count} blocks");
        }
        chain.extend(1);
    }
}

/// H3: a header from the future is not remembered, and it is judged last: one that is wrong for ever is never called early.
#[test]
fn h03_what_is_early_and_wrong_is_wrong() {
    let chain = TestChain::new();
    let limit = chain.clock.load(Ordering::Relaxed) + 7200;
    let early = u32::try_from(limit + 1).unwrap();
    let both = header(&chain, |header| {
        (header.time, header.version) = (early, 1);
    });
    let refused = chain.handle().submit_headers_blocking(vec![both]);
    assert_eq!(refused.unwrap_err().reject_reason(), "bad-version");
    let only_early = header(&chain, |header| header.time = early);
    let refused = chain.handle().submit_headers_blocking(vec![only_early]);
    assert_eq!(refused, Err(SubmitError::Future { time: early, limit }));
    assert_eq!(chain.reader().header_info(&only_early.hash()), None);
    chain.clock.fetch_add(1, Ordering::Relaxed);
    let taken = chain.handle().submit_headers_blocking(vec![only_early]);
    assert_eq!(taken.unwrap().new, 1);
}

/// H7: on regtest, as in Bitcoin Core, there is no rule against times that go back; the median alone binds, and no target moves.
/// How networks that retarget count such times is a law in `consensus::retarget`.
#[test]
fn h07_times_may_go_back_as_far_as_the_median() {
    let chain = TestChain::new();
    chain.extend(11);
    let far = u32::try_from(chain.clock.load(Ordering::Relaxed) + 7000).unwrap();
    for turn in 0..24 {
        let median = chain.reader().tip().median_time_past;
        let block = chain.block_with(tip(&chain), Vec::new(), 0, |block| {
            block.header.time = if turn % 6 == 0 { far } else { median + 1 };
        });
        chain.submit(&block).unwrap();
    }
    assert_sound(&chain);
}

/// H8: the clock jumps by a day and by a year, both ways, to before the first block and to the end of time, and comes back.
#[test]
fn h08_a_clock_that_jumps_stops_nothing() {
    const DAY: u64 = 86_400;
    let mut chain = TestChain::new();
    chain.extend(3);
    let right = chain.clock.load(Ordering::Relaxed);
    for clock in [
        right + DAY,
        right - DAY,
        right + 365 * DAY,
        right - 365 * DAY,
        1,
        0,
        u64::MAX,
    ] {
        chain.clock.store(clock, Ordering::Relaxed);
        // Its times follow the parent's, which are right.
        let block = chain.block_on(tip(&chain), Vec::new(), 0);
        let limit = clock.saturating_add(7200);
        if u64::from(block.header.time) > limit {
            let time = block.header.time;
            assert_eq!(
                chain.submit(&block),
                Err(SubmitError::Future { time, limit })
            );
        } else {
            assert!(matches!(
                chain.submit(&block),
                Ok(BlockAccepted::NewTip { .. })
            ));
        }
        chain.restart();
        assert_sound(&chain);
        // The clock is right again, and so is every verdict.
        chain.clock.store(right, Ordering::Relaxed);
        chain.extend(1);
    }
    assert_sound(&chain);
}

/// H9: times at the end of 32 bits: the last possible block is taken, and nothing can follow it.
#[test]
fn h09_time_ends_in_2106_with_a_verdict() {
    let last = |chain: &TestChain| {
        chain.block_with(tip(chain), Vec::new(), 0, |block| {
            block.header.time = u32::MAX
        })
    };
    let chain = TestChain::new();
    chain.clock.store(u64::from(u32::MAX), Ordering::Relaxed);
    for _ in 0..12 {
        let median = chain.reader().tip().median_time_past;
        let block = chain.block_with(tip(&chain), Vec::new(), 0, |block| {
            block.header.time = (u32::MAX - 6).max(median + 1);
        });
        chain.submit(&block).unwrap();
    }
    while chain.reader().tip().median_time_past < u32::MAX {
        let block = last(&chain);
        chain.submit(&block).unwrap();
    }
    let refused = chain.submit(&last(&chain)).unwrap_err();
    assert_eq!(refused.reject_reason(), "time-too-old");
    assert_sound(&chain);
}

/// P12: questions for headers that name nothing we have, or the wrong end, get an answer of bounded length from the shared block on.
///
/// ```text
/// genesis ── a1 … a10 ── a11 … a40    (active)
///                    └── b1 … b5
/// ```
#[test]
fn p12_strange_locators_and_stops_get_a_bounded_answer() {
    let chain = TestChain::new();
    let blocks = chain.extend(40);
    let mut side = Vec::new();
    let mut parent = blocks[9].hash();
    for _ in 0..5 {
        let block = chain.block_on(parent, Vec::new(), 1);
        chain.submit(&block).unwrap();
        parent = block.hash();
        side.push(parent);
    }
    let unknown = BlockHash::from_bytes([9; 32]);
    let heights = |locator: &[BlockHash], stop: BlockHash, max| {
        let headers = chain.reader().headers_after(locator, &stop, max);
        let height = |header: &BlockHeader| chain.reader().header_info(&header.hash()).unwrap();
        headers
            .iter()
            .map(|header| height(header).height)
            .collect::<Vec<_>>()
    };
    let up_to = |from: u32, to: u32| (from..=to).collect::<Vec<_>>();
    assert_eq!(heights(&[unknown; 102], unknown, 2_000), up_to(1, 40));
    assert_eq!(heights(&[], unknown, 7), up_to(1, 7));
    side.reverse();
    side.push(blocks[9].hash());
    assert_eq!(heights(&side, unknown, 2_000), up_to(11, 40));
    let (tip, middle) = (blocks[39].hash(), blocks[19].hash());
    assert_eq!(heights(&[middle], tip, 5), up_to(21, 25));
    // A stop that lies before the start never comes.
    assert_eq!(heights(&[middle], blocks[4].hash(), 2_000), up_to(21, 40));
    assert!(heights(&[tip], unknown, 2_000).is_empty());
}
