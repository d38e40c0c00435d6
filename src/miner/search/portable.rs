//! The kernel for any processor: one nonce after the other.

use super::prepared::{self as scalar, HASH_BITS, HEADER_BITS, INITIAL, K, PAD, Prepared};
use super::prepared::{K_FROM_16, K_FROM_32, K_FROM_48};
use super::prepared::{big0, big1, ch, maj, small0, small1};
use super::rounds::{define_top_words, run_rounds};

type V = u32;

#[inline]
fn add(a: V, b: V) -> V {
    a.wrapping_add(b)
}

#[inline]
fn splat(word: u32) -> V {
    word
}

define_top_words!();

/// As [`Scan`](super::kernel::Scan) says.
pub(super) fn scan(prepared: &Prepared, first: u32, count: u32) -> Option<u32> {
    // The nonce is little-endian, the words are big-endian.
    (0..count).find(|done| {
        let nonce = (first + done).swap_bytes();
        top_words(prepared, nonce).swap_bytes() <= prepared.top
    })
}
