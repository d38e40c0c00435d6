//! What all nonces of a header share, computed once: SHA-256 (FIPS 180-4) on single words.
//!
//! In the second block of the inner hash words 0 to 2 are the rest of the header, word 3 is the nonce, and the others are padding. So
//! rounds 0 to 2 are the same for all nonces, round 3 but for an addition, and of the message schedule words 16 and 17.

/// The initial state (5.3.3).
pub(super) const INITIAL: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// The constants of the rounds (4.2.2).
#[rustfmt::skip]
pub(super) const K: [u32; 64] = [
    0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5,
    0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174,
    0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da,
    0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7, 0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967,
    0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85,
    0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070,
    0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
    0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2,
];

const fn sixteen_from(first: usize) -> [u32; 16] {
    let mut constants = [0; 16];
    let mut i = 0;
    while i < 16 {
        constants[i] = K[first + i];
        i += 1;
    }
    constants
}

pub(super) const K_FROM_16: [u32; 16] = sixteen_from(16);
pub(super) const K_FROM_32: [u32; 16] = sixteen_from(32);
pub(super) const K_FROM_48: [u32; 16] = sixteen_from(48);

/// The first word of the padding (5.1.1): a single bit.
pub(super) const PAD: u32 = 0x8000_0000;
/// The last word of the padding of a header: its length in bits.
pub(super) const HEADER_BITS: u32 = 80 * 8;
/// The last word of the padding of a hash.
pub(super) const HASH_BITS: u32 = 32 * 8;

// The functions of 4.1.2.

pub(super) const fn big0(x: u32) -> u32 {
    x.rotate_right(2) ^ x.rotate_right(13) ^ x.rotate_right(22)
}

pub(super) const fn big1(x: u32) -> u32 {
    x.rotate_right(6) ^ x.rotate_right(11) ^ x.rotate_right(25)
}

pub(super) const fn small0(x: u32) -> u32 {
    x.rotate_right(7) ^ x.rotate_right(18) ^ (x >> 3)
}

pub(super) const fn small1(x: u32) -> u32 {
    x.rotate_right(17) ^ x.rotate_right(19) ^ (x >> 10)
}

pub(super) const fn ch(e: u32, f: u32, g: u32) -> u32 {
    g ^ (e & (f ^ g))
}

pub(super) const fn maj(a: u32, b: u32, c: u32) -> u32 {
    b ^ ((a ^ b) & (b ^ c))
}

/// One round (6.2.2, step 3); `kw` is the sum of its constant and its word.
pub(super) const fn round([a, b, c, d, e, f, g, h]: [u32; 8], kw: u32) -> [u32; 8] {
    let t1 = h
        .wrapping_add(big1(e))
        .wrapping_add(ch(e, f, g))
        .wrapping_add(kw);
    let t2 = big0(a).wrapping_add(maj(a, b, c));
    [t1.wrapping_add(t2), a, b, c, d.wrapping_add(t1), e, f, g]
}

/// What a kernel starts from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Prepared {
    /// The state after the first block.
    pub(super) midstate: [u32; 8],
    /// The rest of the header.
    pub(super) tail: [u32; 3],
    /// The state after round 3 for nonce word 0; the nonce word is yet to be added to its words 0 and 4.
    pub(super) after_round_3: [u32; 8],
    /// Words 16 to 19 for nonce word 0; `small0` of the nonce word is yet to be added to the third, the nonce word to the fourth.
    pub(super) schedule: [u32; 4],
    /// The top 32 bits of the target.
    pub(super) top: u32,
}

impl Prepared {
    pub(super) const fn new(midstate: [u32; 8], tail: [u32; 3], top: u32) -> Self {
        let [w0, w1, w2] = tail;
        let mut state = round(midstate, K[0].wrapping_add(w0));
        state = round(state, K[1].wrapping_add(w1));
        state = round(state, K[2].wrapping_add(w2));
        let w16 = w0.wrapping_add(small0(w1));
        let w17 = w1
            .wrapping_add(small0(w2))
            .wrapping_add(small1(HEADER_BITS));
        Self {
            midstate,
            tail,
            after_round_3: round(state, K[3]),
            schedule: [
                w16,
                w17,
                w2.wrapping_add(small1(w16)),
                small0(PAD).wrapping_add(small1(w17)),
            ],
            top,
        }
    }
}
