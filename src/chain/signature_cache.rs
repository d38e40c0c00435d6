//! Which transactions had their scripts verified, so that no signature is checked twice between mempool and block.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use crate::primitives::Txid;

/// Remembered transactions at most: about 12 MB. Beyond, the memory is cleared and signatures are simply checked again.
const MAX_ENTRIES: usize = 200_000;

/// A set of transaction ids. An id commits to the scripts and to the coins they spend, so it alone is the key.
#[derive(Debug, Default)]
pub struct SignatureCache {
    verified: Mutex<HashSet<Txid>>,
}

impl SignatureCache {
    /// Whether the scripts of this transaction were verified.
    pub fn contains(&self, txid: &Txid) -> bool {
        self.lock().contains(txid)
    }

    /// Remembers that the scripts of this transaction were verified.
    pub fn insert(&self, txid: Txid) {
        self.extend(std::iter::once(txid));
    }

    /// The same for many.
    pub fn extend(&self, txids: impl Iterator<Item = Txid>) {
        let mut verified = self.lock();
        for txid in txids {
            if verified.len() >= MAX_ENTRIES {
                verified.clear();
            }
            verified.insert(txid);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<Txid>> {
        // A set of ids is whole after any panic: the insertion is its only change.
        self.verified.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
