//! The kernel for the SHA-2 extension of ARMv8.
//!
//! A state is two vectors, from the lowest word: A B C D and E F G H. For each there is an instruction that makes of both what it
//! is four rounds later.

use std::arch::aarch64::{
    uint32x4_t, vaddq_u32, vcombine_u32, vcreate_u32, vgetq_lane_u32, vsha256h2q_u32,
    vsha256hq_u32, vsha256su0q_u32, vsha256su1q_u32,
};
use std::arch::is_aarch64_feature_detected;

use super::groups::{LANES, constants, define_scan_batches, rounds_28_to_59};
use super::prepared::{HASH_BITS, HEADER_BITS, INITIAL, PAD, Prepared, small0};

/// One vector a nonce.
type Side = [uint32x4_t; LANES];

#[target_feature(enable = "neon,sha2")]
#[inline]
fn vector([a, b, c, d]: [u32; 4]) -> uint32x4_t {
    let half = |low: u32, high: u32| vcreate_u32(u64::from(high) << 32 | u64::from(low));
    vcombine_u32(half(a, b), half(c, d))
}

/// The two vectors of a state.
#[target_feature(enable = "neon,sha2")]
#[inline]
fn packed([a, b, c, d, e, f, g, h]: [u32; 8]) -> (uint32x4_t, uint32x4_t) {
    (vector([a, b, c, d]), vector([e, f, g, h]))
}

/// Four rounds with the words `words` and the constants from `I` on.
#[target_feature(enable = "neon,sha2")]
#[inline]
fn rounds<const I: usize>(x: &mut Side, y: &mut Side, words: &Side) {
    for lane in 0..LANES {
        let kw = vaddq_u32(words[lane], vector(constants(I, [0; 4])));
        let abcd = x[lane];
        x[lane] = vsha256hq_u32(abcd, y[lane], kw);
        y[lane] = vsha256h2q_u32(y[lane], abcd, kw);
    }
}

/// Four rounds whose words are the same for all nonces.
#[target_feature(enable = "neon,sha2")]
#[inline]
fn constant_rounds<const I: usize>(x: &mut Side, y: &mut Side, words: [u32; 4]) {
    let kw = vector(constants(I, words));
    for lane in 0..LANES {
        let abcd = x[lane];
        x[lane] = vsha256hq_u32(abcd, y[lane], kw);
        y[lane] = vsha256h2q_u32(y[lane], abcd, kw);
    }
}

/// Makes of four groups, the oldest first, the one that follows; it takes the place of the oldest.
#[target_feature(enable = "neon,sha2")]
#[inline]
fn next(a: &mut Side, b: &Side, c: &Side, d: &Side) {
    for lane in 0..LANES {
        let old = vsha256su0q_u32(a[lane], b[lane]);
        a[lane] = vsha256su1q_u32(old, c[lane], d[lane]);
    }
}

/// Whether this processor has what the kernel needs.
pub(super) fn is_available() -> bool {
    is_aarch64_feature_detected!("neon") && is_aarch64_feature_detected!("sha2")
}

/// As [`Scan`](super::kernel::Scan) says.
///
/// # Panics
/// Where [`is_available`] is false.
#[expect(unsafe_code, reason = "calls a function of a processor's features")]
pub(super) fn scan(prepared: &Prepared, first: u32, count: u32) -> Option<u32> {
    assert!(is_available(), "the processor has NEON and SHA-2");
    // SAFETY: the features that the function is compiled for were found just now; it has no other condition.
    unsafe { scan_batches(prepared, first, count) }
}

define_scan_batches!(#[target_feature(enable = "neon,sha2")]);

/// The last words of the hashes of the header with the nonces from `first` on.
#[target_feature(enable = "neon,sha2")]
#[inline]
fn top_words(prepared: &Prepared, first: u32) -> [u32; LANES] {
    // The inner hash from round 4 on. `m` are the groups of the schedule: words 16 to 19, 20 to 23 and so on.
    let (abcd, efgh) = packed(prepared.after_round_3);
    let zero = [vector([0; 4]); LANES];
    let (mut x, mut y) = (zero, zero);
    let (mut m0, mut m1, mut m2, mut m3) = (zero, zero, zero, zero);
    let mut nonce = first;
    for lane in 0..LANES {
        let word = nonce.swap_bytes();
        x[lane] = vaddq_u32(abcd, vector([word, 0, 0, 0]));
        y[lane] = vaddq_u32(efgh, vector([word, 0, 0, 0]));
        m0[lane] = vaddq_u32(
            vector(prepared.schedule),
            vector([0, 0, small0(word), word]),
        );
        nonce = nonce.wrapping_add(1);
    }
    let w12 = [0, 0, 0, HEADER_BITS];
    constant_rounds::<4>(&mut x, &mut y, [PAD, 0, 0, 0]);
    constant_rounds::<8>(&mut x, &mut y, [0; 4]);
    constant_rounds::<12>(&mut x, &mut y, w12);
    rounds::<16>(&mut x, &mut y, &m0);
    // Words 4 to 15 are padding: what they give to the next groups is known.
    for lane in 0..LANES {
        m1[lane] = vsha256su1q_u32(vector([PAD, 0, 0, 0]), vector(w12), m0[lane]);
    }
    rounds::<20>(&mut x, &mut y, &m1);
    for lane in 0..LANES {
        m2[lane] = vsha256su1q_u32(vector([0; 4]), m0[lane], m1[lane]);
    }
    rounds::<24>(&mut x, &mut y, &m2);
    let w16 = prepared.schedule[0];
    let old28 = [
        0,
        0,
        small0(HEADER_BITS),
        HEADER_BITS.wrapping_add(small0(w16)),
    ];
    for lane in 0..LANES {
        m3[lane] = vsha256su1q_u32(vector(old28), m1[lane], m2[lane]);
    }
    rounds_28_to_59!(x y: m0 m1 m2 m3);
    rounds::<60>(&mut x, &mut y, &m3);

    // The outer hash. Words 0 to 7 are the inner one, in order.
    let (mid_x, mid_y) = packed(prepared.midstate);
    let (iv_x, iv_y) = packed(INITIAL);
    for lane in 0..LANES {
        m0[lane] = vaddq_u32(x[lane], mid_x);
        m1[lane] = vaddq_u32(y[lane], mid_y);
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
        m0[lane] = vsha256su1q_u32(vsha256su0q_u32(m0[lane], m1[lane]), w8, w12);
    }
    rounds::<16>(&mut x, &mut y, &m0);
    for lane in 0..LANES {
        m1[lane] = vsha256su1q_u32(vsha256su0q_u32(m1[lane], w8), w12, m0[lane]);
    }
    rounds::<20>(&mut x, &mut y, &m1);
    for lane in 0..LANES {
        // After the one word of `w8` come zeros alone.
        m2[lane] = vsha256su1q_u32(w8, m0[lane], m1[lane]);
    }
    rounds::<24>(&mut x, &mut y, &m2);
    for lane in 0..LANES {
        m3[lane] = vsha256su1q_u32(vsha256su0q_u32(w12, m0[lane]), m1[lane], m2[lane]);
    }
    rounds_28_to_59!(x y: m0 m1 m2 m3);
    // The `e` of round 60 is the `h` of round 63.
    let mut words = [0; LANES];
    for lane in 0..LANES {
        let kw = vaddq_u32(m3[lane], vector(constants(60, [0; 4])));
        let efgh = vsha256h2q_u32(y[lane], x[lane], kw);
        words[lane] = vgetq_lane_u32::<3>(efgh).wrapping_add(INITIAL[7]);
    }
    words
}
