//! The search itself: double SHA-256 of a header over ranges of nonces.
//!
//! A header has 80 bytes and the nonce is its last four, so the first of the two blocks of the inner hash is the same for all nonces
//! and is compressed once (the *midstate*). Each nonce then costs two compressions, and nearly all fail on the top 32 bits of the
//! hash. A *kernel* finds the nonces that pass these 32 bits; whether they meet the whole target is then decided with the ordinary
//! hash function, so that a fault in a kernel could lose a block but never make a wrong one.
//!
//! | where | what |
//! |---|---|
//! | `kernel` | which kernels there are, and which one this machine takes |
//! | `prepared` | what all nonces of a header share |
//! | `rounds` | the rounds of both hashes, once for the kernels with vectors and the portable one |
//! | `groups` | what the kernels with SHA instructions share |
//! | `portable`, `avx2`, `avx512`, `sha_ni`, `armv8`, `crate_sha2` | the kernels |
//!
//! `docs/mining.md` says how fast they are and how far that is from what the instructions allow.

#[cfg(target_arch = "aarch64")]
mod armv8;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod crate_sha2;
#[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
mod groups;
mod kernel;
mod portable;
mod prepared;
mod rounds;
#[cfg(target_arch = "x86_64")]
mod sha_ni;
#[cfg(test)]
mod tests;

use sha2::block_api::compress256;

pub use kernel::{Kernel, KernelError};
use prepared::{INITIAL, Prepared};

use crate::primitives::{BlockHeader, Target};

/// The bytes of a block of SHA-256.
const BLOCK_LEN: usize = 64;

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
    header: BlockHeader,
    target: Target,
    prepared: Prepared,
    kernel: Kernel,
}

impl Search {
    /// Prepares the search for a hash of `header` that meets `target`, with the fastest kernel. The header's own nonce does not
    /// matter.
    pub fn new(header: &BlockHeader, target: &Target) -> Self {
        Self::with_kernel(header, target, Kernel::fastest())
    }

    /// The same with a kernel that the caller chooses.
    pub fn with_kernel(header: &BlockHeader, target: &Target, kernel: Kernel) -> Self {
        let bytes = header.to_array();
        let (first, rest) = bytes.split_at(BLOCK_LEN);
        let mut block = [0; BLOCK_LEN];
        block.copy_from_slice(first);
        let mut midstate = INITIAL;
        compress256(&mut midstate, &[block]);
        let word =
            |at: usize| u32::from_be_bytes([rest[at], rest[at + 1], rest[at + 2], rest[at + 3]]);
        let [a, b, c, d, ..] = target.to_be_bytes();
        let top = u32::from_be_bytes([a, b, c, d]);
        Self {
            header: *header,
            target: *target,
            prepared: Prepared::new(midstate, [word(0), word(4), word(8)], top),
            kernel,
        }
    }

    /// The first nonce of the range whose hash meets the target.
    pub fn run(&self, range: SearchRange) -> Option<u32> {
        let mut first = range.first;
        // From nonce 0 on no count reaches beyond the last.
        let mut left = range.count.min((u32::MAX - first).saturating_add(1));
        while left > 0 {
            let skipped = self.kernel.scan(&self.prepared, first, left)?;
            let nonce = first + skipped;
            if self.is_met_with(nonce) {
                return Some(nonce);
            }
            left -= skipped + 1;
            first = nonce.wrapping_add(1);
        }
        None
    }

    #[cold]
    fn is_met_with(&self, nonce: u32) -> bool {
        let header = BlockHeader {
            nonce,
            ..self.header
        };
        self.target.is_met_by(&header.hash())
    }
}
