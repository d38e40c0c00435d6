//! Rules that no block's bytes can reach: the decoder or a rule before them refuses those. Other callers reach them (a payment
//! that is built or received alone), so they are asked by themselves.

use quarry::consensus::{ChainSpec, RuleError, check_transaction_in_isolation};
use quarry::primitives::{OutPoint, Script, Transaction, TxIn, Txid};

use super::{Core, How, Mutation};
use crate::forge::{FINAL, Forge};

/// Both.
pub const ALL: &[Mutation] = &[
    Mutation {
        name: "no inputs",
        rule: "NoInputs",
        core: Core::Same,
        // The bytes of such a transaction are the mark of a witness.
        how: How::Direct(|| check(Vec::new())),
    },
    Mutation {
        name: "a transaction larger than a block",
        rule: "TransactionTooLarge",
        core: Core::Same,
        // A block that holds it is too large itself.
        how: How::Direct(|| check(vec![input(1_000_000)])),
    },
];

fn input(script_len: usize) -> TxIn {
    TxIn {
        previous_output: OutPoint {
            txid: Txid::from_bytes([7; 32]),
            vout: 0,
        },
        script_sig: Script::from(vec![0; script_len]),
        sequence: FINAL,
    }
}

fn check(inputs: Vec<TxIn>) -> Result<(), RuleError> {
    let outputs = vec![Forge::new().output(0, 1)];
    let tx = Transaction {
        version: 2,
        inputs,
        outputs,
        lock_time: 0,
    };
    check_transaction_in_isolation(&ChainSpec::regtest(), &tx)
}
