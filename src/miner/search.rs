//! The search itself: double SHA-256 of a header over ranges of nonces.
//!
//! A header has 80 bytes and the nonce is its last four, so the first of the two blocks of the inner hash is the same for all nonces
//! and is compressed once (the *midstate*). Each nonce then costs two compressions, and nearly all fail on the top 32 bits of the
//! hash. Faster kernels for particular processors go beside this one and are tested against it.

use sha2::block_api::compress256;

use crate::primitives::{BlockHash, BlockHeader, HEADER_LEN, Target};

/// The bytes of a block of SHA-256.
const BLOCK_LEN: usize = 64;
/// Where the nonce is in the second block.
const NONCE_AT: usize = 76 - BLOCK_LEN;
/// The initial state of SHA-256 (FIPS 180-4, 5.3.3).
const INITIAL: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// A range of nonces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SearchRange {
    /// The first.
    pub first: u32,
    /// How many there are; those beyond the last nonce, 2^32 − 1, are left out.
    pub count: u32,
}

/// A header that is ready to be searched.
#[derive(Debug, Clone)]
pub struct Search {
    midstate: [u32; 8],
    /// The rest of the header and the padding of the inner hash, with nonce 0.
    tail: [u8; BLOCK_LEN],
    target: Target,
    /// The top 32 bits of the target.
    top: u32,
}

impl Search {
    /// Prepares the search for a hash of `header` that meets `target`. The header's own nonce does not matter.
    pub fn new(header: &BlockHeader, target: &Target) -> Self {
        let bytes = BlockHeader {
            nonce: 0,
            ..*header
        }
        .to_array();
        let (first, rest) = bytes.split_at(BLOCK_LEN);
        let mut block = [0; BLOCK_LEN];
        block.copy_from_slice(first);
        let mut midstate = INITIAL;
        compress256(&mut midstate, &[block]);
        let [a, b, c, d, ..] = target.to_be_bytes();
        Self {
            midstate,
            tail: padded(rest, HEADER_LEN),
            target: *target,
            top: u32::from_be_bytes([a, b, c, d]),
        }
    }

    /// The first nonce of the range whose hash meets the target.
    pub fn run(&self, range: SearchRange) -> Option<u32> {
        let end = u64::from(range.first) + u64::from(range.count);
        let last = u32::try_from(end.checked_sub(1)?).unwrap_or(u32::MAX);
        if range.count == 0 {
            return None;
        }
        let mut inner = self.tail;
        let mut outer = padded(&[0; 32], 32);
        (range.first..=last).find(|nonce| {
            inner[NONCE_AT..NONCE_AT + 4].copy_from_slice(&nonce.to_le_bytes());
            let mut state = self.midstate;
            compress256(&mut state, &[inner]);
            write_state(&state, &mut outer);
            let mut state = INITIAL;
            compress256(&mut state, &[outer]);
            // The hash is a little-endian number, the state words are big-endian: the last word holds the top 32 bits.
            state[7].swap_bytes() <= self.top && self.is_met(&state)
        })
    }

    #[cold]
    fn is_met(&self, state: &[u32; 8]) -> bool {
        let mut bytes = [0; 32];
        write_state(state, &mut bytes);
        self.target.is_met_by(&BlockHash::from_bytes(bytes))
    }
}

/// Writes a state as the bytes of a hash to the front of `out`.
fn write_state(state: &[u32; 8], out: &mut [u8]) {
    for (word, bytes) in state.iter().zip(out.chunks_exact_mut(4)) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
}

/// The last block of a message of `len` bytes whose rest is `rest` (FIPS 180-4, 5.1.1).
fn padded(rest: &[u8], len: usize) -> [u8; BLOCK_LEN] {
    let mut block = [0; BLOCK_LEN];
    block[..rest.len()].copy_from_slice(rest);
    block[rest.len()] = 0x80;
    block[BLOCK_LEN - 8..].copy_from_slice(&(8 * len as u64).to_be_bytes());
    block
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consensus::ChainSpec;
    use crate::primitives::{CompactTarget, Decode, MerkleRoot};
    use proptest::prelude::*;

    fn search(header: &BlockHeader) -> Search {
        Search::new(header, &header.bits.to_target().unwrap())
    }

    fn around(nonce: u32, before: u32, count: u32) -> SearchRange {
        SearchRange {
            first: nonce - before,
            count,
        }
    }

    // Bitcoin's blocks 0 and 1: Bitcoin Core, `kernel/chainparams.cpp` (`CreateGenesisBlock`), and block 1 as `getblockheader
    // 00000000839a8e6886ab5951d76f411475428afc90947ee320161bbf18eb6048 false` shows it.
    #[test]
    fn bitcoins_first_blocks_are_found() {
        let merkle = "4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b";
        let genesis = BlockHeader {
            version: 1,
            prev_block: BlockHash::ZERO,
            merkle_root: merkle.parse::<MerkleRoot>().unwrap(),
            time: 1_231_006_505,
            bits: CompactTarget(0x1d00_ffff),
            nonce: 0,
        };
        assert_eq!(
            search(&genesis).run(around(2_083_236_893, 5000, 10_000)),
            Some(2_083_236_893)
        );
        let first = concat!(
            "010000006fe28c0ab6f1b372c1a6a246ae63f74f931e8365e15a089c68d6190000000000982051fd1e4ba744bbbe680e1fee14677ba1a3c3540bf7b1cdb606e857233e0e",
            "61bc6649ffff001d01e36299",
        );
        let first = BlockHeader::from_bytes(&hex::decode(first).unwrap()).unwrap();
        assert_eq!(
            first.hash().to_string(),
            "00000000839a8e6886ab5951d76f411475428afc90947ee320161bbf18eb6048"
        );
        assert_eq!(first.nonce, 2_573_394_689);
        assert_eq!(
            search(&first).run(around(first.nonce, 5000, 10_000)),
            Some(first.nonce)
        );
    }

    #[test]
    fn our_own_first_blocks_are_found() {
        let regtest = ChainSpec::regtest().genesis_block().header;
        assert_eq!(search(&regtest).run(around(2, 0, 1)), Some(2));
        let dev = ChainSpec::dev().genesis_block().header;
        assert_eq!(
            search(&dev).run(around(dev.nonce, 100, 200)),
            Some(dev.nonce)
        );
    }

    #[test]
    fn ranges_have_exact_edges() {
        let header = ChainSpec::dev().genesis_block().header;
        let (search, nonce) = (search(&header), header.nonce);
        assert_eq!(search.run(around(nonce, 0, 1)), Some(nonce));
        assert_eq!(search.run(around(nonce, 10, 11)), Some(nonce));
        assert_eq!(search.run(around(nonce, 10, 10)), None);
        assert_eq!(search.run(around(nonce, 0, 0)), None);
        assert_eq!(
            search.run(SearchRange {
                first: nonce + 1,
                count: 100
            }),
            None
        );
        assert_eq!(search.run(SearchRange { first: 0, count: 0 }), None);
        assert_eq!(
            search.run(SearchRange {
                first: u32::MAX,
                count: u32::MAX
            }),
            None,
            "does not wrap around"
        );
        let any = Search::new(&header, &Target::from_be_bytes([0xff; 32]));
        assert_eq!(
            any.run(SearchRange {
                first: u32::MAX,
                count: 1
            }),
            Some(u32::MAX)
        );
    }

    proptest! {
        #[test]
        fn searching_is_hashing(bytes: [u8; HEADER_LEN], zeros in 0_u8..12, first: u32, count in 0_u32..300) {
            let header = BlockHeader::from_bytes(&bytes).unwrap();
            let mut target = [0xff; 32];
            target[0] = 0xff_u8.checked_shr(zeros.into()).unwrap_or(0);
            target[1] = 0xff_u8 >> zeros.saturating_sub(8).min(7);
            let target = Target::from_be_bytes(target);
            let last = u64::from(first) + u64::from(count);
            let expected = (u64::from(first)..last).find_map(|nonce| {
                let nonce = u32::try_from(nonce).ok()?;
                target.is_met_by(&BlockHeader { nonce, ..header }.hash()).then_some(nonce)
            });
            prop_assert_eq!(Search::new(&header, &target).run(SearchRange { first, count }), expected);
        }

        // The early look at the top bits must not decide where they are equal.
        #[test]
        fn the_target_is_met_to_the_last_bit(bytes: [u8; HEADER_LEN], below: bool) {
            let header = BlockHeader::from_bytes(&bytes).unwrap();
            let mut exact = header.hash().to_bytes();
            exact.reverse();
            prop_assume!(exact[31] > 0);
            exact[31] -= u8::from(below);
            let range = SearchRange { first: header.nonce, count: 1 };
            let found = Search::new(&header, &Target::from_be_bytes(exact)).run(range);
            prop_assert_eq!(found, (!below).then_some(header.nonce));
        }
    }
}
