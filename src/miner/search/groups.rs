//! What the kernels with instructions for several rounds share: nonces side by side, and the schedule in groups of four words, the
//! first one lowest.
//!
//! Side by side because these instructions take longer to finish than until the next can begin. A kernel defines `rounds` (four of
//! them, with a group), `next` (of four groups, the oldest first, the one that follows, in place of the oldest) and `top_words`.

use super::prepared::K;

/// Nonces side by side.
pub(super) const LANES: usize = 4;

/// The constants of rounds `i` to `i` + 3, with words of the schedule.
#[inline]
pub(super) const fn constants(i: usize, words: [u32; 4]) -> [u32; 4] {
    [
        K[i].wrapping_add(words[0]),
        K[i + 1].wrapping_add(words[1]),
        K[i + 2].wrapping_add(words[2]),
        K[i + 3].wrapping_add(words[3]),
    ]
}

/// Rounds 28 to 59 on the state in `x` and `y`. Before them the groups are words 16 to 31, after them words 48 to 63.
macro_rules! rounds_28_to_59 {
    ($x:ident $y:ident: $m0:ident $m1:ident $m2:ident $m3:ident) => {
        rounds::<28>(&mut $x, &mut $y, &$m3);
        rounds_28_to_59!(@sixteen $x $y: $m0 $m1 $m2 $m3, 32 36 40);
        rounds::<44>(&mut $x, &mut $y, &$m3);
        rounds_28_to_59!(@sixteen $x $y: $m0 $m1 $m2 $m3, 48 52 56);
    };
    (@sixteen $x:ident $y:ident: $m0:ident $m1:ident $m2:ident $m3:ident, $a:literal $b:literal $c:literal) => {
        next(&mut $m0, &$m1, &$m2, &$m3);
        rounds::<$a>(&mut $x, &mut $y, &$m0);
        next(&mut $m1, &$m2, &$m3, &$m0);
        rounds::<$b>(&mut $x, &mut $y, &$m1);
        next(&mut $m2, &$m3, &$m0, &$m1);
        rounds::<$c>(&mut $x, &mut $y, &$m2);
        next(&mut $m3, &$m0, &$m1, &$m2);
    };
}

/// Defines `scan_batches` with the given attributes: [`Scan`](super::kernel::Scan) by `top_words`.
macro_rules! define_scan_batches {
    ($(#[$attribute:meta])*) => {
        $(#[$attribute])*
        #[inline(never)]
        fn scan_batches(prepared: &Prepared, first: u32, count: u32) -> Option<u32> {
            const STEP: u32 = LANES as u32;
            for batch in 0..count.div_ceil(STEP) {
                let done = batch * STEP;
                // Of the last batch some may be beyond the range, and beyond the last nonce.
                let words = top_words(prepared, first.wrapping_add(done));
                for (lane, word) in (0..STEP).zip(words) {
                    if word.swap_bytes() <= prepared.top && count - done > lane {
                        return Some(done + lane);
                    }
                }
            }
            None
        }
    };
}

pub(super) use {define_scan_batches, rounds_28_to_59};
