//! A number of blocks at once, found on the caller's own thread: `generatetoaddress`, and sending without a running node.

use std::sync::atomic::{AtomicBool, Ordering};

use super::search::{Search, SearchRange};
use super::template::{Template, TemplateError, build_template_blocking};
use super::workers::{CHUNK, first_extra_nonce};
use crate::chain::{BlockAccepted, ChainHandle, ChainReader, Clock, SubmitError};
use crate::mempool::MempoolHandle;
use crate::primitives::{Block, BlockHash, PubkeyHash};

/// Why not all the blocks were made. Those that were stay in the chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GenerateError {
    /// The caller said so.
    #[error("cancelled after {} blocks", .found.len())]
    Cancelled {
        /// The blocks that were made.
        found: Vec<BlockHash>,
    },
    /// No block could be built.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The chain refused a block.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// The system gave no random number.
    #[error("the system gives no random numbers: {0}")]
    Random(String),
}

/// Makes `count` blocks, one on the other, that pay `payout` and hold what waits in the mempool; returns their hashes.
///
/// `cancel` ends it within milliseconds. Where another block becomes the tip meanwhile, the search goes on from there.
///
/// # Errors
/// [`GenerateError`].
///
/// # Panics
/// On a thread of an async executor.
pub fn generate_blocking(
    chain: &ChainHandle,
    mempool: Option<&MempoolHandle>,
    payout: PubkeyHash,
    count: u32,
    clock: &Clock,
    cancel: &AtomicBool,
) -> Result<Vec<BlockHash>, GenerateError> {
    let reader = chain.reader();
    let salt = getrandom::u32().map_err(|error| GenerateError::Random(error.to_string()))?;
    let mut extra_nonce = first_extra_nonce(salt, 0);
    let mut found = Vec::new();
    while found.len() < count as usize {
        let template = build_template_blocking(reader, mempool, payout, clock())?;
        let block = match search(reader, template, &mut extra_nonce, clock, cancel)? {
            Outcome::Found(block) => block,
            Outcome::TipChanged => continue,
            Outcome::Cancelled => return Err(GenerateError::Cancelled { found }),
        };
        let hash = block.hash();
        match chain.submit_block_blocking(block)? {
            BlockAccepted::NewTip { .. } => found.push(hash),
            // Another block came first.
            BlockAccepted::SideBranch { .. } | BlockAccepted::AlreadyKnown => {}
        }
    }
    Ok(found)
}

enum Outcome {
    Found(Block),
    TipChanged,
    Cancelled,
}

fn search(
    reader: &ChainReader,
    mut template: Template,
    extra_nonce: &mut u64,
    clock: &Clock,
    cancel: &AtomicBool,
) -> Result<Outcome, TemplateError> {
    loop {
        *extra_nonce = extra_nonce.wrapping_add(1);
        let search = Search::new(&template.header(*extra_nonce), template.target());
        for first in (0..=u32::MAX).step_by(CHUNK as usize) {
            if cancel.load(Ordering::Relaxed) {
                return Ok(Outcome::Cancelled);
            }
            if let Some(nonce) = search.run(SearchRange {
                first,
                count: CHUNK,
            }) {
                return Ok(Outcome::Found(template.block(*extra_nonce, nonce)));
            }
            if reader.tip().hash != template.parent() {
                return Ok(Outcome::TipChanged);
            }
            let now = clock();
            if now > u64::from(template.time()) {
                template = template.at_time(reader.spec(), now)?;
                break;
            }
        }
    }
}
