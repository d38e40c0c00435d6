//! What the fuzz targets do, one module a target; the programs in `fuzz_targets` only hand it to libFuzzer.
//!
//! Every target is a function of bytes that panics where a law of the product does not hold. None keeps anything that decides
//! an outcome from one call to the next, so what was found is found again from its bytes alone.
//!
//! | target | what it holds to |
//! |---|---|
//! | `consensus_types` | encoding is the inverse of decoding; memory; rust-bitcoin decodes and hashes alike |
//! | `wire_messages` | the same for what peers send, under the limits |
//! | `text_forms` | addresses, amounts, hashes, keys, input scripts, parameters of a command line |
//! | `spec_file` | a spec that is taken is within all ranges and is written as it was read |
//! | `stratum_line` | a line of an external miner is a request or refused, at bounded memory |
//! | `wallet_file` | a wallet file is refused, or opened the same every time, at bounded cost |
//! | `block_file` | records come out as they went in, however the file is cut into reads |
//! | `header_chain` | headers: the tree of the engine against rules written a second time |
//! | `block_acceptance` | one block: the engine's verdict against rules written a second time |
//! | `chain_operations` | sequences of blocks, marks and restarts against a naive model |

#![forbid(unsafe_code)]

pub mod block_acceptance;
pub mod block_file;
pub mod chain_operations;
pub mod consensus_types;
pub mod header_chain;
mod memory;
mod model;
mod node;
mod rules;
pub mod spec_file;
pub mod stratum_line;
pub mod text_forms;
pub mod wallet_file;
pub mod wire_messages;

/// A target: its name, what it does with one input, and the seeds it starts from.
pub struct Target {
    /// The name of its program and of its folder of seeds.
    pub name: &'static str,
    /// Runs one input.
    pub run: fn(&[u8]),
    /// Makes the seeds, each with its file name; they differ only where the product's formats do.
    pub seeds: fn() -> Vec<(String, Vec<u8>)>,
}

macro_rules! targets {
    ($($name:ident),* $(,)?) => {
        /// All targets.
        pub const TARGETS: &[Target] = &[$(Target {
            name: stringify!($name),
            run: $name::run,
            seeds: $name::seeds,
        }),*];
    };
}
targets!(
    consensus_types,
    wire_messages,
    text_forms,
    spec_file,
    stratum_line,
    wallet_file,
    block_file,
    header_chain,
    block_acceptance,
    chain_operations,
);
