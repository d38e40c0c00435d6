//! `print-blockchain`.

use std::io::{self, BufWriter, Write};

use super::super::access::{Access, Missing};
use super::super::args::PrintArgs;
use super::super::block_json;
use super::super::context::Context;
use super::super::error::CliResult;
use super::super::output::JsonArray;

/// Prints the best chain from its end to the first block.
pub(super) fn run(context: &Context, args: &PrintArgs) -> CliResult {
    let access = Access::find(context, Missing::Refuse)?;
    let out = BufWriter::new(io::stdout().lock());
    match (args.full, context.out.is_json()) {
        (true, _) => full(&access, out)?,
        (false, true) => {
            let mut array = JsonArray::begin(out)?;
            hashes(&access, |hash| Ok(array.push(&hash)?))?;
            array.end()?;
        }
        (false, false) => {
            let mut out = out;
            hashes(&access, |hash| Ok(writeln!(out, "{hash}")?))?;
            out.flush()?;
        }
    }
    access.close()
}

fn hashes(access: &Access, mut print: impl FnMut(String) -> CliResult) -> CliResult {
    let (height, tip) = access.tip()?;
    print(tip.to_string())?;
    for height in (0..height).rev() {
        print(access.hash_at(height)?.to_string())?;
    }
    Ok(())
}

/// Goes from block to parent, so that the blocks are one chain even if the best chain changes meanwhile.
fn full(access: &Access, out: impl Write) -> CliResult {
    let mut array = JsonArray::begin(out)?;
    let (top, mut hash) = access.tip()?;
    for height in (0..=top).rev() {
        let block = access.block(&hash)?;
        array.push(&block_json::Block::new(&block, height))?;
        hash = block.header.prev_block;
    }
    Ok(array.end()?)
}
