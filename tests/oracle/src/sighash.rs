//! The legacy signature hash of every hash type (Bitcoin Core, `script/interpreter.cpp`, `SignatureHash`).

use quarry::primitives::{Encode, Script, Transaction, sha256d};

/// All outputs are signed.
pub const ALL: u8 = 1;
/// No output is signed.
pub const NONE: u8 = 2;
/// Only the output of the input's own place is signed.
pub const SINGLE: u8 = 3;
/// Only this input is signed; added to one of the others.
pub const ANYONE_CAN_PAY: u8 = 0x80;

/// What input `index` signs with a hash type, spending an output guarded by `code`.
pub fn signature_hash(tx: &Transaction, index: usize, code: &Script, hash_type: u8) -> [u8; 32] {
    let mut copy = tx.clone();
    for input in &mut copy.inputs {
        input.script_sig = Script::default();
    }
    copy.inputs[index].script_sig = code.clone();
    let base = hash_type & 0x1f;
    if base == SINGLE && index >= copy.outputs.len() {
        // The famous flaw: such a signature signs the number 1.
        let mut one = [0; 32];
        one[0] = 1;
        return one;
    }
    if base == NONE {
        copy.outputs.clear();
    }
    if base == SINGLE {
        copy.outputs.truncate(index + 1);
        for output in &mut copy.outputs[..index] {
            output.value.0 = u64::MAX;
            output.script_pubkey = Script::default();
        }
    }
    if base == NONE || base == SINGLE {
        for (place, input) in copy.inputs.iter_mut().enumerate() {
            if place != index {
                input.sequence = 0;
            }
        }
    }
    if hash_type & ANYONE_CAN_PAY != 0 {
        copy.inputs = vec![copy.inputs.swap_remove(index)];
    }
    let mut bytes = copy.to_bytes();
    bytes.extend_from_slice(&u32::from(hash_type).to_le_bytes());
    sha256d(&bytes)
}
