//! The rounds of both hashes of a header, once for all kernels.
//!
//! A kernel defines a type `V` of one or more words and the functions `add`, `big0`, `big1`, `small0`, `small1`, `ch`, `maj` and
//! `splat` on it; [`define_top_words`] adds `top_words`, which hashes as many nonces as `V` has words. Left out is what no nonce
//! changes (rounds 0 to 3 of the inner hash, round 0 of the outer, sums with words that are padding), and what the top word of
//! the hash does not need: it is `e` after round 60 of the outer hash plus a constant, and from round 57 on no `a` reaches it.
//!
//! State and schedule are arrays with constant indices, so the compiler keeps them in registers. The sixteen rounds that occur
//! four times are a function of their own: one straight line would not fit into what processors keep of their instructions,
//! which costs more than the padding saves in rounds 16 to 31 of the outer hash.

/// Runs the listed rounds on state `s`: with the next words of schedule `w` and constants `k`, with words that are 0, or with what
/// a function makes of the schedule.
macro_rules! run_rounds {
    ($s:ident, $w:ident, $k:ident: $($i:literal)*) => {
        $(
            extend::<$i>($w);
            round::<$i>($s, add($w[$i], splat($k[$i])));
        )*
    };
    ($s:ident: $($i:literal)*) => {
        $(round::<$i>(&mut $s, splat(K[$i]));)*
    };
    ($s:ident: $($i:literal)*, $kw:ident($w:ident)) => {
        $(
            let kw = $kw::<$i>(&mut $w);
            round::<$i>(&mut $s, kw);
        )*
    };
}

/// Defines `top_words` with the given attributes; see the module.
macro_rules! define_top_words {
    ($(#[$attribute:meta])*) => {
        /// Round `I`; `kw` is the sum of its constant and its word. Instead of the words their names move: `a` is at −`I`.
        $(#[$attribute])*
        #[inline]
        fn round<const I: usize>(s: &mut [V; 8], kw: V) {
            let at = |name: usize| (64 + name - I) % 8;
            let (a, b, c, d) = (at(0), at(1), at(2), at(3));
            let (e, f, g, h) = (at(4), at(5), at(6), at(7));
            let t = add(add(add(s[h], kw), ch(s[e], s[f], s[g])), big1(s[e]));
            s[d] = add(s[d], t);
            s[h] = add(add(t, maj(s[a], s[b], s[c])), big0(s[a]));
        }

        /// The part of a round that makes `e`.
        $(#[$attribute])*
        #[inline]
        fn round_of_e<const I: usize>(s: &mut [V; 8], kw: V) {
            let at = |name: usize| (64 + name - I) % 8;
            let (d, e, f, g, h) = (at(3), at(4), at(5), at(6), at(7));
            s[d] = add(s[d], add(add(add(s[h], kw), ch(s[e], s[f], s[g])), big1(s[e])));
        }

        /// Word `I` of the schedule with its constant.
        $(#[$attribute])*
        #[inline]
        fn word<const I: usize>(w: &[V; 16]) -> V {
            add(w[I % 16], splat(K[I]))
        }

        /// Makes word `I` of the schedule from the 16 before it (FIPS 180-4, 6.2.2, step 1); returns it with its constant.
        $(#[$attribute])*
        #[inline]
        fn next<const I: usize>(w: &mut [V; 16]) -> V {
            extend::<I>(w);
            word::<I>(w)
        }

        $(#[$attribute])*
        #[inline]
        fn extend<const I: usize>(w: &mut [V; 16]) {
            let old = add(w[I % 16], small0(w[(I + 1) % 16]));
            w[I % 16] = add(old, add(w[(I + 9) % 16], small1(w[(I + 14) % 16])));
        }

        /// Sixteen rounds, the first of them number 16, 32 or 48, with constants `k` and the words that follow `w`.
        $(#[$attribute])*
        #[inline(never)]
        fn sixteen_rounds(s: &mut [V; 8], w: &mut [V; 16], k: &[u32; 16]) {
            run_rounds!(s, w, k: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
        }

        /// The last words of the hashes of the header with the nonce words of `nonce`.
        $(#[$attribute])*
        #[inline]
        fn top_words(prepared: &Prepared, nonce: V) -> V {
            // The inner hash from round 4 on. Words 5 to 14 are 0.
            let [a, b, c, d, e, f, g, h] = prepared.after_round_3;
            let (a, e) = (add(splat(a), nonce), add(splat(e), nonce));
            // Before round 4 `a` is at 4.
            let mut s = [e, splat(f), splat(g), splat(h), a, splat(b), splat(c), splat(d)];
            round::<4>(&mut s, splat(K[4].wrapping_add(PAD)));
            run_rounds!(s: 5 6 7 8 9 10 11 12 13 14);
            round::<15>(&mut s, splat(K[15].wrapping_add(HEADER_BITS)));
            let [w16, w17, w18, w19] = prepared.schedule;
            round::<16>(&mut s, splat(K[16].wrapping_add(w16)));
            round::<17>(&mut s, splat(K[17].wrapping_add(w17)));
            let mut w = [splat(0); 16];
            w[2] = add(splat(w18), small0(nonce));
            w[3] = add(splat(w19), nonce);
            run_rounds!(s: 18 19, word(w));
            // Word 20 needs words 18, 13, 5 and 4, and so on: 0 but for the padding.
            w[4] = add(small1(w[2]), splat(PAD));
            w[5] = small1(w[3]);
            w[6] = add(small1(w[4]), splat(HEADER_BITS));
            w[7] = add(small1(w[5]), splat(w16));
            run_rounds!(s: 20 21 22 23, word(w));
            w[8] = add(small1(w[6]), splat(w17));
            w[9] = add(small1(w[7]), w[2]);
            w[10] = add(small1(w[8]), w[3]);
            w[11] = add(small1(w[9]), w[4]);
            run_rounds!(s: 24 25 26 27, word(w));
            w[12] = add(small1(w[10]), w[5]);
            w[13] = add(small1(w[11]), w[6]);
            w[14] = add(add(small1(w[12]), w[7]), splat(scalar::small0(HEADER_BITS)));
            w[15] = add(add(small1(w[13]), w[8]), splat(scalar::small0(w16).wrapping_add(HEADER_BITS)));
            run_rounds!(s: 28 29 30 31, word(w));
            w[0] = splat(w16);
            w[1] = splat(w17);
            sixteen_rounds(&mut s, &mut w, &K_FROM_32);
            sixteen_rounds(&mut s, &mut w, &K_FROM_48);

            // The outer hash from round 1 on. Words 0 to 7 are the inner one; 8 and 15 are padding, 9 to 14 are 0.
            let mut i = 0;
            while i < 8 {
                w[i] = add(s[i], splat(prepared.midstate[i]));
                i += 1;
            }
            const FIRST: [u32; 8] = scalar::round(INITIAL, K[0]);
            let [a, b, c, d, e, f, g, h] = FIRST;
            let (a, e) = (add(splat(a), w[0]), add(splat(e), w[0]));
            // Before round 1 `a` is at 7.
            let mut s = [splat(b), splat(c), splat(d), e, splat(f), splat(g), splat(h), a];
            run_rounds!(s: 1 2 3 4 5 6 7, word(w));
            round::<8>(&mut s, splat(K[8].wrapping_add(PAD)));
            run_rounds!(s: 9 10 11 12 13 14);
            round::<15>(&mut s, splat(K[15].wrapping_add(HASH_BITS)));
            w[8] = splat(PAD);
            w[9..15].fill(splat(0));
            w[15] = splat(HASH_BITS);
            sixteen_rounds(&mut s, &mut w, &K_FROM_16);
            sixteen_rounds(&mut s, &mut w, &K_FROM_32);
            run_rounds!(s: 48 49 50 51 52 53 54 55 56, next(w));
            let kw = next::<57>(&mut w);
            round_of_e::<57>(&mut s, kw);
            let kw = next::<58>(&mut w);
            round_of_e::<58>(&mut s, kw);
            let kw = next::<59>(&mut w);
            round_of_e::<59>(&mut s, kw);
            let kw = next::<60>(&mut w);
            round_of_e::<60>(&mut s, kw);
            // The `e` of round 60 is where its `d` was, and is the `h` of round 63.
            add(s[(64 + 3 - 60) % 8], splat(INITIAL[7]))
        }
    };
}

pub(super) use {define_top_words, run_rounds};
