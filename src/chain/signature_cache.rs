//! Which transactions had their scripts verified, so that no signature is checked twice between mempool and block.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use crate::primitives::Txid;

/// Transactions of a generation at most: about 12 MB, and there are two. A mempool of 300 MB fits. What is forgotten is simply
/// checked again. Tests see both come and go.
const GENERATION: usize = if cfg!(test) { 8 } else { 200_000 };

/// A set of transaction ids. An id commits to the scripts and to the coins they spend, so it alone is the key.
#[derive(Debug, Default)]
pub struct SignatureCache {
    verified: Mutex<Generations>,
}

#[derive(Debug, Default)]
struct Generations {
    young: HashSet<Txid>,
    old: HashSet<Txid>,
}

impl SignatureCache {
    /// Whether the scripts of this transaction were verified.
    pub fn contains(&self, txid: &Txid) -> bool {
        let verified = self.lock();
        verified.young.contains(txid) || verified.old.contains(txid)
    }

    /// Remembers that the scripts of this transaction were verified.
    pub fn insert(&self, txid: Txid) {
        self.extend(std::iter::once(txid));
    }

    /// The same for many.
    pub fn extend(&self, txids: impl Iterator<Item = Txid>) {
        let mut verified = self.lock();
        for txid in txids {
            if verified.young.len() >= GENERATION {
                verified.old = std::mem::take(&mut verified.young);
            }
            verified.young.insert(txid);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Generations> {
        // Sets of ids are whole after any panic: an insertion, or that a generation grows old, are their only changes.
        self.verified.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_remembered_and_not_more_than_two_generations() {
        let cache = SignatureCache::default();
        let txid = |number: usize| Txid::from_bytes([u8::try_from(number).unwrap(); 32]);
        for number in 0..10 * GENERATION {
            cache.insert(txid(number));
            let first = number.saturating_sub(GENERATION - 1);
            assert!((first..=number).all(|number| cache.contains(&txid(number))));
            let count = (0..=number).filter(|number| cache.contains(&txid(*number)));
            assert!(count.count() <= 2 * GENERATION);
        }
    }
}
