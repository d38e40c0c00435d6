//! The kernel of the `sha2` crate: two whole compressions a nonce, on whatever the crate knows about the processor.
//!
//! What the others are checked against and measured by, and the one for processors whose SHA instructions have no kernel here.

use sha2::block_api::compress256;

use super::prepared::{HASH_BITS, HEADER_BITS, INITIAL, PAD, Prepared};

/// As [`Scan`](super::kernel::Scan) says.
pub(super) fn scan(prepared: &Prepared, first: u32, count: u32) -> Option<u32> {
    let mut inner = [0; 64];
    let [a, b, c] = prepared.tail;
    write(&[a, b, c, 0, PAD], &mut inner);
    write(&[HEADER_BITS], &mut inner[60..]);
    let mut outer = [0; 64];
    write(&[PAD], &mut outer[32..]);
    write(&[HASH_BITS], &mut outer[60..]);
    (0..count).find(|done| {
        inner[12..16].copy_from_slice(&(first + done).to_le_bytes());
        let mut state = prepared.midstate;
        compress256(&mut state, &[inner]);
        write(&state, &mut outer);
        let mut state = INITIAL;
        compress256(&mut state, &[outer]);
        state[7].swap_bytes() <= prepared.top
    })
}

/// Writes words as bytes to the front of `out`.
fn write(words: &[u32], out: &mut [u8]) {
    for (word, bytes) in words.iter().zip(out.chunks_exact_mut(4)) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
}
