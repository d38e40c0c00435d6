//! The kernel for AVX2: eight nonces at once.
//!
//! AVX2 has no rotation: each is two shifts, put together.

use std::arch::x86_64::{
    __m256i, _mm256_add_epi32, _mm256_and_si256, _mm256_castsi256_ps, _mm256_cmpeq_epi32,
    _mm256_min_epu32, _mm256_movemask_ps, _mm256_or_si256, _mm256_set1_epi32, _mm256_setr_epi32,
    _mm256_shuffle_epi8, _mm256_slli_epi32, _mm256_srli_epi32, _mm256_xor_si256,
};

use super::prepared::{self as scalar, HASH_BITS, HEADER_BITS, INITIAL, K, PAD, Prepared};
use super::prepared::{K_FROM_16, K_FROM_32, K_FROM_48};
use super::rounds::{define_top_words, run_rounds};

type V = __m256i;

/// Nonces at once.
const LANES: u32 = 8;

/// Defines functions on vectors with the features of this kernel.
macro_rules! vector_functions {
    ($($name:ident($($operand:ident),*) = $value:expr;)*) => {$(
        #[target_feature(enable = "avx2")]
        #[inline]
        fn $name($($operand: V),*) -> V {
            $value
        }
    )*};
}

vector_functions! {
    add(a, b) = _mm256_add_epi32(a, b);
    xor(a, b) = _mm256_xor_si256(a, b);
    big0(x) = xor(xor(rotate::<2, 30>(x), rotate::<13, 19>(x)), rotate::<22, 10>(x));
    big1(x) = xor(xor(rotate::<6, 26>(x), rotate::<11, 21>(x)), rotate::<25, 7>(x));
    small0(x) = xor(xor(rotate::<7, 25>(x), rotate::<18, 14>(x)), _mm256_srli_epi32::<3>(x));
    small1(x) = xor(xor(rotate::<17, 15>(x), rotate::<19, 13>(x)), _mm256_srli_epi32::<10>(x));
    ch(e, f, g) = xor(g, _mm256_and_si256(e, xor(f, g)));
    maj(a, b, c) = xor(b, _mm256_and_si256(xor(a, b), xor(b, c)));
}

/// Rotates right by `R`, which is left by `L`.
#[target_feature(enable = "avx2")]
#[inline]
fn rotate<const R: i32, const L: i32>(x: V) -> V {
    const { assert!(R + L == 32) };
    _mm256_or_si256(_mm256_srli_epi32::<R>(x), _mm256_slli_epi32::<L>(x))
}

#[target_feature(enable = "avx2")]
#[inline]
fn splat(word: u32) -> V {
    _mm256_set1_epi32(word.cast_signed())
}

/// Reverses the bytes of each word.
#[target_feature(enable = "avx2")]
#[inline]
fn swap_bytes(words: V) -> V {
    let half = [0x0001_0203, 0x0405_0607, 0x0809_0a0b, 0x0c0d_0e0f];
    let [a, b, c, d] = half;
    _mm256_shuffle_epi8(words, _mm256_setr_epi32(a, b, c, d, a, b, c, d))
}

define_top_words!(#[target_feature(enable = "avx2")]);

/// Whether this processor has what the kernel needs.
pub(super) fn is_available() -> bool {
    is_x86_feature_detected!("avx2")
}

/// As [`Scan`](super::kernel::Scan) says.
///
/// # Panics
/// Where [`is_available`] is false.
#[expect(unsafe_code, reason = "calls a function of a processor's feature")]
pub(super) fn scan(prepared: &Prepared, first: u32, count: u32) -> Option<u32> {
    assert!(is_available(), "the processor has AVX2");
    // SAFETY: the feature that the function is compiled for was found just now; it has no other condition.
    unsafe { scan_batches(prepared, first, count) }
}

#[target_feature(enable = "avx2")]
#[inline(never)]
fn scan_batches(prepared: &Prepared, first: u32, count: u32) -> Option<u32> {
    let mut nonces = add(splat(first), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    let top = splat(prepared.top);
    for batch in 0..count.div_ceil(LANES) {
        let words = swap_bytes(top_words(prepared, swap_bytes(nonces)));
        let is_low = _mm256_cmpeq_epi32(_mm256_min_epu32(words, top), words);
        let hits = _mm256_movemask_ps(_mm256_castsi256_ps(is_low));
        if hits != 0 {
            // The last batch may reach beyond the range.
            return Some(batch * LANES + hits.trailing_zeros()).filter(|done| *done < count);
        }
        nonces = add(nonces, splat(LANES));
    }
    None
}
