//! The checksum of descriptors: eight characters behind `#` (BIP380).

/// Characters of descriptors in groups of 32, those that are likely to be mistaken for each other apart.
const INPUT: &[u8] = b"0123456789()[],'/*abcdefgh@:$%{}\
IJKLMNOPQRSTUVWXYZ&+-.;<=>?!^_|~\
ijklmnopqrstuvwxyzABCDEFGH`#\"\\ ";
/// Characters of checksums: those of Bech32.
const OUTPUT: &[u8] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
/// What the top five bits of the state add back.
const GENERATORS: [u64; 5] = [
    0xf5_dee5_1989,
    0xa9_fdca_3312,
    0x1b_ab10_e32d,
    0x37_06b1_677a,
    0x64_4d62_6ffd,
];
/// Characters of a checksum.
pub(super) const LEN: usize = 8;

/// One step of the code over GF(32).
fn step(state: u64, value: u64) -> u64 {
    let top = state >> 35;
    let mut next = ((state & 0x07_ffff_ffff) << 5) ^ value;
    for (bit, generator) in GENERATORS.iter().enumerate() {
        if (top >> bit) & 1 == 1 {
            next ^= generator;
        }
    }
    next
}

/// The checksum of a descriptor; `None` if a character stands in none.
pub(super) fn of(text: &str) -> Option<String> {
    let mut state = 1;
    let (mut class, mut count) = (0, 0);
    for byte in text.bytes() {
        let place = INPUT.iter().position(|known| *known == byte)?;
        let place = u64::try_from(place).ok()?;
        state = step(state, place & 31);
        class = class * 3 + (place >> 5);
        count += 1;
        if count == 3 {
            state = step(state, class);
            (class, count) = (0, 0);
        }
    }
    if count > 0 {
        state = step(state, class);
    }
    for _ in 0..LEN {
        state = step(state, 0);
    }
    state ^= 1;
    let character = |place: usize| {
        let value = (state >> (5 * (LEN - 1 - place))) & 31;
        usize::try_from(value)
            .ok()
            .and_then(|value| OUTPUT.get(value))
            .map(|byte| char::from(*byte))
    };
    (0..LEN).map(character).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// BIP380, "Test Vectors".
    #[test]
    fn vectors_of_bip380() {
        assert_eq!(of("raw(deadbeef)").as_deref(), Some("89f8spxm"));
        for wrong in ["raw(deedbeef)", "raw(deadbeef)#", "RAW(deadbeef)"] {
            assert_ne!(of(wrong).as_deref(), Some("89f8spxm"), "{wrong}");
        }
        assert_eq!(of("raw(Ü)"), None);
    }
}
