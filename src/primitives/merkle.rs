//! Bitcoin's merkle tree over transaction ids.

use super::hash::{MerkleRoot, Txid, sha256d};

/// The root of the tree over `txids`, and whether the list is mutated.
///
/// A level with an odd number of nodes repeats its last one. So a list whose tail repeats has the same root as the list without
/// the repetition: a peer could send a block so altered, and a node that remembers its hash as invalid would refuse the honest
/// block for ever. Two equal nodes side by side at an even position show it (CVE-2012-2459; Bitcoin Core,
/// `consensus/merkle.cpp`).
pub fn merkle_root(txids: &[Txid]) -> (MerkleRoot, bool) {
    let mut level: Vec<[u8; 32]> = txids.iter().map(|txid| txid.to_bytes()).collect();
    let mut mutated = false;
    while level.len() > 1 {
        mutated |= level.chunks_exact(2).any(|pair| pair[0] == pair[1]);
        level = level
            .chunks(2)
            .map(|pair| {
                let mut both = [0; 64];
                both[..32].copy_from_slice(&pair[0]);
                both[32..].copy_from_slice(pair.last().unwrap_or(&pair[0]));
                sha256d(&both)
            })
            .collect();
    }
    let root = level.first().copied().unwrap_or_default();
    (MerkleRoot::from_bytes(root), mutated)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(count: u8) -> Vec<Txid> {
        (1..=count).map(|n| Txid::from_bytes([n; 32])).collect()
    }

    #[test]
    fn a_repeated_tail_keeps_the_root_and_is_seen() {
        for (count, repeat) in [(3, 1), (5, 1), (6, 2), (7, 1), (12, 4)] {
            let honest = ids(count);
            let mut altered = honest.clone();
            altered.extend_from_slice(&honest[honest.len() - repeat..]);
            let (root, mutated) = merkle_root(&honest);
            assert!(!mutated);
            assert_eq!(merkle_root(&altered), (root, true), "{count} + {repeat}");
        }
    }
}
