//! The kernel for AVX-512 (F and BW): 32 nonces at once, in pairs of vectors.
//!
//! The two of a pair take turns, so that one can go on while the other waits for a result. Each rotation is one instruction (`vprord`), and so is each function of three operands, bit by bit (`vpternlogd`).

use std::arch::x86_64::{
    __m512i, _mm512_add_epi32, _mm512_cmple_epu32_mask, _mm512_ror_epi32, _mm512_set1_epi32,
    _mm512_set4_epi32, _mm512_setr_epi32, _mm512_shuffle_epi8, _mm512_srli_epi32,
    _mm512_ternarylogic_epi32,
};

use super::prepared::{self as scalar, HASH_BITS, HEADER_BITS, INITIAL, K, PAD, Prepared};
use super::prepared::{K_FROM_16, K_FROM_32, K_FROM_48};
use super::rounds::{define_top_words, run_rounds};

/// Sixteen words, and sixteen more.
#[derive(Clone, Copy)]
struct V(__m512i, __m512i);

/// Nonces at once.
const LANES: u32 = 32;

/// Defines functions on single vectors with the features of this kernel, and those of the same names on pairs.
macro_rules! vector_functions {
    ($($name:ident($($operand:ident),*) = $value:expr;)*) => {
        mod single {
            use super::*;
            $(
                #[target_feature(enable = "avx512f,avx512bw")]
                #[inline]
                pub(super) fn $name($($operand: __m512i),*) -> __m512i {
                    $value
                }
            )*
        }
        $(
            #[target_feature(enable = "avx512f,avx512bw")]
            #[inline]
            fn $name($($operand: V),*) -> V {
                V(single::$name($($operand.0),*), single::$name($($operand.1),*))
            }
        )*
    };
}

// The constants of the three-operand functions are their truth tables: bit 4a + 2b + c is the value for a, b, c.
vector_functions! {
    add(a, b) = _mm512_add_epi32(a, b);
    ch(e, f, g) = _mm512_ternarylogic_epi32::<0b1100_1010>(e, f, g);
    maj(a, b, c) = _mm512_ternarylogic_epi32::<0b1110_1000>(a, b, c);
    big0(x) = xor(_mm512_ror_epi32::<2>(x), _mm512_ror_epi32::<13>(x), _mm512_ror_epi32::<22>(x));
    big1(x) = xor(_mm512_ror_epi32::<6>(x), _mm512_ror_epi32::<11>(x), _mm512_ror_epi32::<25>(x));
    small0(x) = xor(_mm512_ror_epi32::<7>(x), _mm512_ror_epi32::<18>(x), _mm512_srli_epi32::<3>(x));
    small1(x) = xor(_mm512_ror_epi32::<17>(x), _mm512_ror_epi32::<19>(x), _mm512_srli_epi32::<10>(x));
    // From the last byte to the first, in each word.
    swap_bytes(x) = _mm512_shuffle_epi8(x, _mm512_set4_epi32(0x0c0d_0e0f, 0x0809_0a0b, 0x0405_0607, 0x0001_0203));
}

#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn xor(a: __m512i, b: __m512i, c: __m512i) -> __m512i {
    _mm512_ternarylogic_epi32::<0b1001_0110>(a, b, c)
}

#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn splat(word: u32) -> V {
    let vector = _mm512_set1_epi32(word.cast_signed());
    V(vector, vector)
}

define_top_words!(#[target_feature(enable = "avx512f,avx512bw")]);

/// Whether this processor has what the kernel needs.
pub(super) fn is_available() -> bool {
    is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw")
}

/// As [`Scan`](super::kernel::Scan) says.
///
/// # Panics
/// Where [`is_available`] is false.
#[expect(unsafe_code, reason = "calls a function of a processor's features")]
pub(super) fn scan(prepared: &Prepared, first: u32, count: u32) -> Option<u32> {
    assert!(is_available(), "the processor has AVX-512 F and BW");
    // SAFETY: the features that the function is compiled for were found just now; it has no other condition.
    unsafe { scan_batches(prepared, first, count) }
}

#[target_feature(enable = "avx512f,avx512bw")]
#[inline(never)]
fn scan_batches(prepared: &Prepared, first: u32, count: u32) -> Option<u32> {
    let lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    let lanes = V(lanes, _mm512_add_epi32(lanes, _mm512_set1_epi32(16)));
    let mut nonces = add(splat(first), lanes);
    let top = splat(prepared.top);
    for batch in 0..count.div_ceil(LANES) {
        let words = swap_bytes(top_words(prepared, swap_bytes(nonces)));
        let low = _mm512_cmple_epu32_mask(words.0, top.0);
        let high = _mm512_cmple_epu32_mask(words.1, top.1);
        let hits = u32::from(high) << 16 | u32::from(low);
        if hits != 0 {
            // The last batch may reach beyond the range.
            return Some(batch * LANES + hits.trailing_zeros()).filter(|done| *done < count);
        }
        nonces = add(nonces, splat(LANES));
    }
    None
}
