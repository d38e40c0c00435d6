//! The kernel for Intel's SHA extensions.
//!
//! A state is two vectors, from the lowest word: F E B A and H G D C. The instruction for two rounds makes the first of two rounds
//! later from both; the first is then the second.

use std::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_alignr_epi8, _mm_blend_epi16, _mm_cvtsi128_si32, _mm_setr_epi32,
    _mm_setzero_si128, _mm_sha256msg1_epu32, _mm_sha256msg2_epu32, _mm_sha256rnds2_epu32,
    _mm_shuffle_epi32,
};

use super::groups::{LANES, constants, define_scan_batches, rounds_28_to_59};
use super::prepared::{HASH_BITS, HEADER_BITS, INITIAL, PAD, Prepared, small0};

/// One vector a nonce.
type Side = [__m128i; LANES];

#[target_feature(enable = "sha,sse4.1,ssse3")]
#[inline]
fn vector([a, b, c, d]: [u32; 4]) -> __m128i {
    _mm_setr_epi32(
        a.cast_signed(),
        b.cast_signed(),
        c.cast_signed(),
        d.cast_signed(),
    )
}

/// The two vectors of a state.
#[target_feature(enable = "sha,sse4.1,ssse3")]
#[inline]
fn packed([a, b, c, d, e, f, g, h]: [u32; 8]) -> (__m128i, __m128i) {
    (vector([f, e, b, a]), vector([h, g, d, c]))
}

/// Four rounds with the words `words` and the constants from `I` on.
#[target_feature(enable = "sha,sse4.1,ssse3")]
#[inline]
fn rounds<const I: usize>(x: &mut Side, y: &mut Side, words: &Side) {
    for lane in 0..LANES {
        let kw = _mm_add_epi32(words[lane], vector(constants(I, [0; 4])));
        y[lane] = _mm_sha256rnds2_epu32(y[lane], x[lane], kw);
        x[lane] = _mm_sha256rnds2_epu32(x[lane], y[lane], _mm_shuffle_epi32::<0b0000_1110>(kw));
    }
}

/// Four rounds whose words are the same for all nonces.
#[target_feature(enable = "sha,sse4.1,ssse3")]
#[inline]
fn constant_rounds<const I: usize>(x: &mut Side, y: &mut Side, words: [u32; 4]) {
    let low = vector(constants(I, words));
    let high = _mm_shuffle_epi32::<0b0000_1110>(low);
    for lane in 0..LANES {
        y[lane] = _mm_sha256rnds2_epu32(y[lane], x[lane], low);
        x[lane] = _mm_sha256rnds2_epu32(x[lane], y[lane], high);
    }
}

/// Makes of four groups, the oldest first, the one that follows; it takes the place of the oldest.
#[target_feature(enable = "sha,sse4.1,ssse3")]
#[inline]
fn next(a: &mut Side, b: &Side, c: &Side, d: &Side) {
    for lane in 0..LANES {
        let old = _mm_sha256msg1_epu32(a[lane], b[lane]);
        a[lane] = finish(old, c[lane], d[lane]);
    }
}

/// Of the group that `old`, the sum of its two oldest parts, begins, and of the two groups before it, makes the group.
#[target_feature(enable = "sha,sse4.1,ssse3")]
#[inline]
fn finish(old: __m128i, c: __m128i, d: __m128i) -> __m128i {
    _mm_sha256msg2_epu32(_mm_add_epi32(old, _mm_alignr_epi8::<4>(d, c)), d)
}

/// Whether this processor has what the kernel needs.
pub(super) fn is_available() -> bool {
    is_x86_feature_detected!("sha")
        && is_x86_feature_detected!("sse4.1")
        && is_x86_feature_detected!("ssse3")
}

/// As [`Scan`](super::kernel::Scan) says.
///
/// # Panics
/// Where [`is_available`] is false.
#[expect(unsafe_code, reason = "calls a function of a processor's features")]
pub(super) fn scan(prepared: &Prepared, first: u32, count: u32) -> Option<u32> {
    assert!(is_available(), "the processor has SHA, SSE4.1 and SSSE3");
    // SAFETY: the features that the function is compiled for were found just now; it has no other condition.
    unsafe { scan_batches(prepared, first, count) }
}

define_scan_batches!(#[target_feature(enable = "sha,sse4.1,ssse3")]);

/// The last words of the hashes of the header with the nonces from `first` on.
#[target_feature(enable = "sha,sse4.1,ssse3")]
#[inline]
fn top_words(prepared: &Prepared, first: u32) -> [u32; LANES] {
    // The inner hash from round 4 on. `m` are the groups of the schedule: words 16 to 19, 20 to 23 and so on.
    let (feba, hgdc) = packed(prepared.after_round_3);
    let zero = [_mm_setzero_si128(); LANES];
    let (mut x, mut y) = (zero, [hgdc; LANES]);
    let (mut m0, mut m1, mut m2, mut m3) = (zero, zero, zero, zero);
    let mut nonce = first;
    for lane in 0..LANES {
        let word = nonce.swap_bytes();
        x[lane] = _mm_add_epi32(feba, vector([0, word, 0, word]));
        m0[lane] = _mm_add_epi32(
            vector(prepared.schedule),
            vector([0, 0, small0(word), word]),
        );
        nonce = nonce.wrapping_add(1);
    }
    constant_rounds::<4>(&mut x, &mut y, [PAD, 0, 0, 0]);
    constant_rounds::<8>(&mut x, &mut y, [0; 4]);
    constant_rounds::<12>(&mut x, &mut y, [0, 0, 0, HEADER_BITS]);
    rounds::<16>(&mut x, &mut y, &m0);
    // Words 4 to 15 are padding: what they give to the next groups is known.
    let w16 = prepared.schedule[0];
    let old20 = vector([PAD, 0, HEADER_BITS, w16]);
    for lane in 0..LANES {
        m1[lane] = _mm_sha256msg2_epu32(old20, m0[lane]);
    }
    rounds::<20>(&mut x, &mut y, &m1);
    for lane in 0..LANES {
        m2[lane] = _mm_sha256msg2_epu32(_mm_alignr_epi8::<4>(m1[lane], m0[lane]), m1[lane]);
    }
    rounds::<24>(&mut x, &mut y, &m2);
    let old28 = [
        0,
        0,
        small0(HEADER_BITS),
        HEADER_BITS.wrapping_add(small0(w16)),
    ];
    for lane in 0..LANES {
        m3[lane] = finish(vector(old28), m1[lane], m2[lane]);
    }
    rounds_28_to_59!(x y: m0 m1 m2 m3);
    rounds::<60>(&mut x, &mut y, &m3);

    // The outer hash. Words 0 to 7 are the inner one, in order.
    let [a, b, c, d, e, f, g, h] = prepared.midstate;
    let (iv_x, iv_y) = packed(INITIAL);
    for lane in 0..LANES {
        let abef = _mm_shuffle_epi32::<0b0001_1011>(x[lane]);
        let ghcd = _mm_shuffle_epi32::<0b1011_0001>(y[lane]);
        m0[lane] = _mm_add_epi32(
            _mm_blend_epi16::<0b1111_0000>(abef, ghcd),
            vector([a, b, c, d]),
        );
        m1[lane] = _mm_add_epi32(_mm_alignr_epi8::<8>(ghcd, abef), vector([e, f, g, h]));
        x[lane] = iv_x;
        y[lane] = iv_y;
    }
    rounds::<0>(&mut x, &mut y, &m0);
    rounds::<4>(&mut x, &mut y, &m1);
    let w8 = [PAD, 0, 0, 0];
    let w12 = [0, 0, 0, HASH_BITS];
    constant_rounds::<8>(&mut x, &mut y, w8);
    constant_rounds::<12>(&mut x, &mut y, w12);
    let (w8, w12) = (vector(w8), vector(w12));
    for lane in 0..LANES {
        m0[lane] = _mm_sha256msg2_epu32(_mm_sha256msg1_epu32(m0[lane], m1[lane]), w12);
    }
    rounds::<16>(&mut x, &mut y, &m0);
    for lane in 0..LANES {
        m1[lane] = finish(_mm_sha256msg1_epu32(m1[lane], w8), w12, m0[lane]);
    }
    rounds::<20>(&mut x, &mut y, &m1);
    for lane in 0..LANES {
        m2[lane] = finish(w8, m0[lane], m1[lane]);
    }
    rounds::<24>(&mut x, &mut y, &m2);
    for lane in 0..LANES {
        m3[lane] = finish(_mm_sha256msg1_epu32(w12, m0[lane]), m1[lane], m2[lane]);
    }
    rounds_28_to_59!(x y: m0 m1 m2 m3);
    // Rounds 60 and 61. The `e` of round 60, by then `f`, is the `h` of round 63.
    let mut words = [0; LANES];
    for lane in 0..LANES {
        let kw = _mm_add_epi32(m3[lane], vector(constants(60, [0; 4])));
        let feba = _mm_sha256rnds2_epu32(y[lane], x[lane], kw);
        words[lane] = _mm_cvtsi128_si32(feba)
            .cast_unsigned()
            .wrapping_add(INITIAL[7]);
    }
    words
}
