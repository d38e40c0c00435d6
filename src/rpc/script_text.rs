//! Scripts as text, as far as this chain has them: pushes, the five opcodes of P2PKH, and numbers for the rest.

use std::fmt::Write;

use crate::keys::SIGHASH_ALL;

/// `OP_PUSHDATA1`: one byte of length follows.
const PUSHDATA1: u8 = 0x4c;

/// The script's words. In input scripts, the hash type of a signature is shown as `[ALL]` (Bitcoin Core, `ScriptToAsmStr`).
pub(super) fn asm(script: &[u8], is_input: bool) -> String {
    let mut words = Vec::new();
    let mut rest = script;
    while let Some((&opcode, after)) = rest.split_first() {
        let (length, after) = match (opcode, after.split_first()) {
            (1..PUSHDATA1, _) => (usize::from(opcode), after),
            (PUSHDATA1, Some((&length, after))) => (usize::from(length), after),
            (PUSHDATA1, None) => {
                words.push("[error]".to_owned());
                break;
            }
            (_, _) => {
                words.push(word(opcode));
                rest = after;
                continue;
            }
        };
        let Some((data, after)) = after.split_at_checked(length) else {
            words.push("[error]".to_owned());
            break;
        };
        words.push(push(data, is_input));
        rest = after;
    }
    words.join(" ")
}

fn push(data: &[u8], is_input: bool) -> String {
    match data.split_last() {
        // Short pushes are numbers: little-endian, the top bit is the sign.
        Some((&top, low)) if data.len() <= 4 => {
            let magnitude = low.iter().rev().fold(i64::from(top & 0x7f), |sum, byte| {
                sum << 8 | i64::from(*byte)
            });
            let number = if top & 0x80 == 0 {
                magnitude
            } else {
                -magnitude
            };
            number.to_string()
        }
        Some((&SIGHASH_ALL, signature)) if is_input && signature.first() == Some(&0x30) => {
            format!("{}[ALL]", hex::encode(signature))
        }
        Some(_) | None => hex::encode(data),
    }
}

fn word(opcode: u8) -> String {
    let name = match opcode {
        0 => "0",
        0x76 => "OP_DUP",
        0x87 => "OP_EQUAL",
        0x88 => "OP_EQUALVERIFY",
        0xa9 => "OP_HASH160",
        0xac => "OP_CHECKSIG",
        0x51..=0x60 => return (opcode - 0x50).to_string(),
        _ => {
            let mut text = "OP_".to_owned();
            // Writing to a string cannot fail.
            let _ = write!(text, "{opcode:#04x}");
            return text;
        }
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primitives::{PubkeyHash, Script};

    #[test]
    fn scripts_of_this_chain_read_as_core_shows_them() {
        let output = Script::p2pkh(&PubkeyHash::from_bytes([0xab; 20]));
        let expected = format!(
            "OP_DUP OP_HASH160 {} OP_EQUALVERIFY OP_CHECKSIG",
            "ab".repeat(20)
        );
        assert_eq!(asm(output.as_bytes(), false), expected);
        assert_eq!(asm(&[4, 0xff, 0xff, 0x00, 0x1d, 1, 4], true), "486604799 4");
        assert_eq!(asm(&[5, 0x30, 1, 2, 3, 1], true), "30010203[ALL]");
        for broken in [&[0x4c][..], &[0x4c, 5, 1], &[75], &[0x4d, 1, 0]] {
            assert!(!asm(broken, true).is_empty());
        }
    }
}
