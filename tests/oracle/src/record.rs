//! A sequence of steps as a text file, so that a divergence can be replayed without its generator.
//!
//! One step a line: `block HEX`, `restricted HEX`, `header HEX`, `reopen`; before them `signed TXID` for each transaction whose
//! scripts are good.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::Path;

use quarry::primitives::Txid;

/// One thing that is done to all judges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The bytes of a block.
    Block(Vec<u8>),
    /// The same, where only the kernel may take it.
    Restricted(Vec<u8>),
    /// The bytes of a header.
    Header(Vec<u8>),
    /// Closing and opening again.
    Reopen,
}

/// Writes a sequence.
///
/// # Errors
/// A failure of the disk.
pub fn save(path: &Path, steps: &[Step], signed: &HashSet<Txid>) -> io::Result<()> {
    let mut text = String::new();
    for txid in signed {
        text += &format!("signed {txid}\n");
    }
    for step in steps {
        text += &match step {
            Step::Block(raw) => format!("block {}\n", hex::encode(raw)),
            Step::Restricted(raw) => format!("restricted {}\n", hex::encode(raw)),
            Step::Header(raw) => format!("header {}\n", hex::encode(raw)),
            Step::Reopen => "reopen\n".into(),
        };
    }
    fs::write(path, text)
}

/// Reads one.
///
/// # Errors
/// A failure of the disk, or a line that is no step.
pub fn load(path: &Path) -> io::Result<(Vec<Step>, HashSet<Txid>)> {
    let (mut steps, mut signed) = (Vec::new(), HashSet::new());
    for (number, line) in (1..).zip(fs::read_to_string(path)?.lines()) {
        let bad = || io::Error::other(format!("line {number} is not a step"));
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let raw = || hex::decode(rest).map_err(|_| bad());
        match word {
            "signed" => {
                signed.insert(rest.parse().map_err(|_| bad())?);
            }
            "block" => steps.push(Step::Block(raw()?)),
            "restricted" => steps.push(Step::Restricted(raw()?)),
            "header" => steps.push(Step::Header(raw()?)),
            "reopen" => steps.push(Step::Reopen),
            _ => return Err(bad()),
        }
    }
    Ok((steps, signed))
}
