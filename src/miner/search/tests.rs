//! Every kernel against the `sha2` crate, at the edges, and on Bitcoin's headers.

use proptest::prelude::*;

use super::*;
use crate::consensus::ChainSpec;
use crate::primitives::{CompactTarget, Decode, HEADER_LEN};

/// Nonces of each kernel that are compared with `sha2`; more with `QUARRY_KERNEL_NONCES`.
const NONCES: u64 = 1 << 21;

fn around(nonce: u32, before: u32, count: u32) -> SearchRange {
    SearchRange {
        first: nonce - before,
        count,
    }
}

fn searches(header: &BlockHeader, target: Target) -> impl Iterator<Item = Search> {
    let kernels = Kernel::available().into_iter();
    kernels.map(move |kernel| Search::with_kernel(header, &target, kernel))
}

/// The hash as a number, its highest byte first.
fn hash_with(header: &BlockHeader, nonce: u32) -> [u8; 32] {
    let mut hash = BlockHeader { nonce, ..*header }.hash().to_bytes();
    hash.reverse();
    hash
}

/// A generator of test data (SplitMix64, <https://prng.di.unimi.it/splitmix64.c>).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn word(&mut self) -> u32 {
        (self.next() >> 32) as u32
    }

    fn header(&mut self) -> BlockHeader {
        let bytes: Vec<_> = (0..HEADER_LEN / 8)
            .flat_map(|_| self.next().to_le_bytes())
            .collect();
        BlockHeader::from_bytes(&bytes).unwrap()
    }
}

/// All nonces of a range that pass, one scan after the other.
fn passing(kernel: Kernel, prepared: &Prepared, first: u32, count: u32) -> Vec<u32> {
    let mut found = Vec::new();
    let mut done = 0;
    while done < count {
        let Some(skipped) = kernel.scan(prepared, first + done, count - done) else {
            break;
        };
        found.push(done + skipped);
        done += skipped + 1;
    }
    found
}

// Headers, targets and ranges are random; about one nonce in 2 to one in 4096 passes.
#[test]
fn kernels_find_what_sha2_finds() {
    let nonces = std::env::var("QUARRY_KERNEL_NONCES")
        .map_or(NONCES, |text| text.parse().expect("a number of nonces"));
    let seed = getrandom::u64().unwrap();
    let mut random = Random(seed);
    let kernels = Kernel::available();
    let mut done = 0;
    while done < nonces {
        let header = random.header();
        let mut target = [0xff; 32];
        let top = random.word() >> (random.word() % 12);
        target[..4].copy_from_slice(&top.to_be_bytes());
        let search = Search::with_kernel(&header, &Target::from_be_bytes(target), kernels[0]);
        // From one nonce to thousands: many headers, and ranges that end anywhere in a batch.
        let count = 1 + random.word() % (1 << (random.word() % 13));
        let first = match random.word() % 4 {
            0 => 0,
            1 => u32::MAX - (count - 1),
            _ => random.word().min(u32::MAX - (count - 1)),
        };
        let expected = passing(kernels[0], &search.prepared, first, count);
        for kernel in &kernels[1..] {
            let found = passing(*kernel, &search.prepared, first, count);
            assert_eq!(
                found, expected,
                "{kernel}, seed {seed}, {header:?}, top {top:#x}, {count} from {first}"
            );
        }
        done += u64::from(count);
    }
}

// The kernel of `sha2` against the hash of the header, so that what all are compared with is right.
#[test]
fn sha2_hashes_headers() {
    let mut random = Random(getrandom::u64().unwrap());
    for _ in 0..2000 {
        let header = random.header();
        let hash = hash_with(&header, header.nonce);
        for search in searches(&header, Target::from_be_bytes(hash)) {
            let top = search.prepared.top;
            let scan = |top| {
                let prepared = Prepared {
                    top,
                    ..search.prepared
                };
                search.kernel.scan(&prepared, header.nonce, 1)
            };
            assert_eq!(scan(top), Some(0), "{:?}", search.kernel);
            if let Some(below) = top.checked_sub(1) {
                assert_eq!(scan(below), None, "{:?}", search.kernel);
            }
        }
    }
}

// In 64 nonces one passes: it is found in every lane, and not when the range ends before it or begins after it.
#[test]
fn one_hit_is_found_in_every_lane() {
    const WINDOW: u32 = 64;
    let mut random = Random(1);
    let mut missing: Vec<_> = (0..WINDOW).collect();
    while !missing.is_empty() {
        let header = random.header();
        let first = random.word().min(u32::MAX - WINDOW);
        let hash = |at: &u32| hash_with(&header, first + at);
        let hit = (0..WINDOW).min_by_key(hash).unwrap();
        missing.retain(|lane| *lane != hit);
        for search in searches(&header, Target::from_be_bytes(hash(&hit))) {
            for count in 0..=WINDOW {
                let found = search.run(SearchRange { first, count });
                let expected = (hit < count).then_some(first + hit);
                assert_eq!(found, expected, "{:?}, {count}", search.kernel);
            }
            let after = SearchRange {
                first: first + hit + 1,
                count: WINDOW - hit - 1,
            };
            assert_eq!(search.run(after), None, "{:?}", search.kernel);
        }
    }
}

#[test]
fn where_all_pass_the_first_is_found() {
    let header = Random(2).header();
    for search in searches(&header, Target::from_be_bytes([0xff; 32])) {
        for first in (0..70).chain(u32::MAX - 70..=u32::MAX) {
            for count in [1, 2, 15, 16, 17, u32::MAX] {
                assert_eq!(search.run(SearchRange { first, count }), Some(first));
            }
            assert_eq!(search.run(SearchRange { first, count: 0 }), None);
        }
    }
}

#[test]
fn where_none_passes_the_search_ends_with_the_nonces() {
    let header = Random(3).header();
    for search in searches(&header, Target::from_be_bytes([0; 32])) {
        for count in [1, 15, 16, 1000, u32::MAX] {
            let first = u32::MAX - 999;
            assert_eq!(search.run(SearchRange { first, count }), None);
        }
        let first = u32::MAX;
        let count = u32::MAX;
        assert_eq!(search.run(SearchRange { first, count }), None);
    }
}

// A nonce passes the top word and misses the target: the search goes on behind it.
#[test]
fn a_nonce_that_passes_the_top_only_does_not_end_the_search() {
    let mut random = Random(4);
    let mut tried = 0;
    while tried < 20 {
        let header = random.header();
        // The lowest hash, and the next, which comes before it.
        let mut hashes: Vec<_> = (0..1 << 16)
            .map(|nonce| (hash_with(&header, nonce), nonce))
            .collect();
        hashes.sort_unstable();
        let (low, high) = (hashes[0], hashes[1]);
        if low.1 < high.1 {
            continue;
        }
        tried += 1;
        for search in searches(&header, Target::from_be_bytes(low.0)) {
            // The top of the target is set to the other's, which so passes and comes first.
            let [a, b, c, d, ..] = high.0;
            let loose = Search {
                prepared: Prepared {
                    top: u32::from_be_bytes([a, b, c, d]),
                    ..search.prepared
                },
                ..search
            };
            let all = SearchRange {
                first: 0,
                count: 1 << 16,
            };
            assert_eq!(loose.run(all), Some(low.1), "{:?}", loose.kernel);
        }
    }
}

// Headers of Bitcoin's main chain, by height. 0: Bitcoin Core, `kernel/chainparams.cpp` (`CreateGenesisBlock`). The others as any
// node shows them: `getblockheader $(getblockhash HEIGHT) false`. The hashes make sure of them.
#[test]
fn bitcoins_blocks_are_found() {
    let headers = [
        (
            "0100000000000000000000000000000000000000000000000000000000000000000000003ba3edfd7a7b12b27ac72c3e67768f617fc81bc3888a51323a9fb8aa\
             4b1e5e4a29ab5f49ffff001d1dac2b7c",
            "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f",
        ),
        (
            "010000006fe28c0ab6f1b372c1a6a246ae63f74f931e8365e15a089c68d6190000000000982051fd1e4ba744bbbe680e1fee14677ba1a3c3540bf7b1cdb606e8\
             57233e0e61bc6649ffff001d01e36299",
            "00000000839a8e6886ab5951d76f411475428afc90947ee320161bbf18eb6048",
        ),
        // 170, the first payment.
        (
            "0100000055bd840a78798ad0da853f68974f3d183e2bd1db6a842c1feecf222a00000000ff104ccb05421ab93e63f8c3ce5c2c2e9dbb37de2764b3a3175c8166\
             562cac7d51b96a49ffff001d283e9e70",
            "00000000d1145790a8694403d4063f323d499e655c83426834d4ce2f8dd4a2ee",
        ),
        // 100,000.
        (
            "0100000050120119172a610421a6c3011dd330d9df07b63616c2cc1f1cd00200000000006657a9252aacd5c0b2940996ecff952228c3067cc38d4885efb5a4ac\
             4247e9f337221b4d4c86041b0f2b5710",
            "000000000003ba27aa200b1cecaad478d2b00432346c3f1f3986da1afd33e506",
        ),
        // 200,000.
        (
            "0200000015a20d97f5a65e130e08f2b254f97f65b96173a7057aef0da203000000000000887e309c02ebdddbd0f3faff78f868d61b1c4cff2a25e5b3c9d90ff5\
             01818fa0e7965d508bdb051a40d8d8f7",
            "000000000000034a7dedef4a161fa058a2d67a173a90155f3a2fe6fc132e0ebf",
        ),
        // 481,824, where segregated witness began.
        (
            "02000020801b81629334be8e7af5ebfb9df09c18e1f833b5f0efcb00000000000000000040d1ca077fefe7fb797711baa0c063eca9b8ed9469ae0128982b44ad\
             0c25386491329e59e93c011822ff5422",
            "0000000000000000001c8018d9cb3b742ef25114f27563e3fc4a1902167f9893",
        ),
    ];
    for (hex, hash) in headers {
        let header = BlockHeader::from_bytes(&hex::decode(hex).unwrap()).unwrap();
        assert_eq!(header.hash().to_string(), hash);
        let nonce = header.nonce;
        for search in searches(&header, header.bits.to_target().unwrap()) {
            for before in (0..40).chain([4999]) {
                let range = around(nonce, before, 10_000);
                assert_eq!(search.run(range), Some(nonce), "{:?}", search.kernel);
                assert_eq!(search.run(around(nonce, before, before)), None);
            }
        }
    }
}

#[test]
fn our_own_first_blocks_are_found() {
    for (spec, before) in [(ChainSpec::regtest(), 0), (ChainSpec::dev(), 100)] {
        let header = spec.genesis_block().header;
        for search in searches(&header, header.bits.to_target().unwrap()) {
            let range = around(header.nonce, before, before + 100);
            assert_eq!(search.run(range), Some(header.nonce));
        }
    }
}

#[test]
fn names_are_those_of_kernels_that_work() {
    for kernel in Kernel::available() {
        assert_eq!(kernel.name().parse(), Ok(kernel));
    }
    assert!(Kernel::available().contains(&Kernel::fastest()));
    let error = "sse9".parse::<Kernel>().unwrap_err().to_string();
    assert!(error.contains("portable"), "{error}");
}

proptest! {
    #[test]
    fn searching_is_hashing(bytes: [u8; HEADER_LEN], zeros in 0_u32..12, first: u32, count in 0_u32..300) {
        let header = BlockHeader::from_bytes(&bytes).unwrap();
        let mut target = [0xff; 32];
        target[..4].copy_from_slice(&(u32::MAX >> zeros).to_be_bytes());
        let target = Target::from_be_bytes(target);
        let last = u64::from(first) + u64::from(count);
        let expected = (u64::from(first)..last).find_map(|nonce| {
            let nonce = u32::try_from(nonce).ok()?;
            target.is_met_by(&BlockHeader { nonce, ..header }.hash()).then_some(nonce)
        });
        for search in searches(&header, target) {
            prop_assert_eq!(search.run(SearchRange { first, count }), expected);
        }
    }

    // The look at the top bits must not decide where they are equal.
    #[test]
    fn the_target_is_met_to_the_last_bit(bytes: [u8; HEADER_LEN], below: bool, bits in 0_u32..=8) {
        let header = BlockHeader::from_bytes(&bytes).unwrap();
        let nonce = (0..1_u32 << bits).min_by_key(|nonce| hash_with(&header, *nonce)).unwrap();
        let mut exact = hash_with(&header, nonce);
        prop_assume!(exact[31] > 0);
        exact[31] -= u8::from(below);
        for search in searches(&header, Target::from_be_bytes(exact)) {
            let found = search.run(SearchRange { first: 0, count: 1 << bits });
            prop_assert_eq!(found, (!below).then_some(nonce));
        }
    }
}

// A compact target of each exponent: the top word is all ones, some, or none.
#[test]
fn targets_of_every_size_are_met_alike() {
    let mut random = Random(5);
    for exponent in 1..=0x20_u32 {
        for mantissa in [0x00_0001, 0x00_ffff, 0x7f_ffff] {
            let Ok(target) = CompactTarget(exponent << 24 | mantissa).to_target() else {
                continue;
            };
            let header = random.header();
            let hits = (0..2000).find(|nonce| {
                target.is_met_by(
                    &BlockHeader {
                        nonce: *nonce,
                        ..header
                    }
                    .hash(),
                )
            });
            for search in searches(&header, target) {
                let found = search.run(SearchRange {
                    first: 0,
                    count: 2000,
                });
                assert_eq!(
                    found, hits,
                    "{:?}, {exponent:#x} {mantissa:#x}",
                    search.kernel
                );
            }
        }
    }
}
