//! A number of blocks at once, found on the caller's own thread: `generatetoaddress`, and sending without a running node.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::pace::{Chunk, Cursor};
use super::search::Search;
use super::template::{Template, TemplateError, build_template_blocking};
use crate::chain::{BlockAccepted, ChainHandle, ChainReader, Clock, ProposalError, SubmitError};
use crate::mempool::{MempoolHandle, TemplateTx};
use crate::primitives::{Amount, Block, BlockHash, Encode, PubkeyHash, Transaction};

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
    /// The chosen transactions make no valid block.
    #[error("the block would be refused: {reason}, {message}")]
    Proposal {
        /// The name of the reason.
        reason: &'static str,
        /// What is wrong.
        message: String,
    },
    /// The chain refused a block.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// The system gave no random number.
    #[error("the system gives no random numbers: {0}")]
    Random(String),
}

/// Makes `count` blocks, one on the other, that pay `payout` and hold what waits in the mempool; returns their hashes.
///
/// `cancel` ends it within a millisecond. Where another block becomes the tip meanwhile, the search goes on from there. All blocks
/// are on the disk when it returns; only the last one waits for that.
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
    let mut finder = Finder::new(clock, cancel)?;
    let mut found = Vec::new();
    while found.len() < count as usize {
        let template = build_template_blocking(reader, mempool, payout, clock())?;
        let block = match finder.find(reader, template)? {
            Outcome::Found(block) => block,
            Outcome::TipChanged => continue,
            Outcome::Cancelled => return Err(GenerateError::Cancelled { found }),
        };
        let hash = block.hash();
        let is_last = found.len() + 1 == count as usize;
        let accepted = if is_last {
            chain.submit_block_blocking(block)?
        } else {
            chain.submit_followed_block_blocking(block)?
        };
        match accepted {
            BlockAccepted::NewTip { .. } => found.push(hash),
            // Another block came first.
            BlockAccepted::SideBranch { .. } | BlockAccepted::AlreadyKnown => {}
        }
    }
    Ok(found)
}

/// Makes a block on the tip that holds these transactions and no others, in this order, and pays the subsidy to `payout`, without
/// the fees. It is handed to nobody.
///
/// `cancel` ends it within a millisecond. Where another block becomes the tip meanwhile, it starts again from there.
///
/// # Errors
/// [`GenerateError::Proposal`] where the transactions are not valid there, and the others.
///
/// # Panics
/// On a thread of an async executor.
pub fn generate_block_blocking(
    chain: &ChainHandle,
    transactions: Vec<Arc<Transaction>>,
    payout: PubkeyHash,
    clock: &Clock,
    cancel: &AtomicBool,
) -> Result<Block, GenerateError> {
    let reader = chain.reader();
    let mut finder = Finder::new(clock, cancel)?;
    let transactions: Vec<_> = transactions.into_iter().map(chosen).collect();
    loop {
        let parent = reader.parent_context();
        let transactions = transactions.clone();
        let template = Template::assemble(reader.spec(), parent, transactions, payout, clock())?;
        // The nonce alone is missing.
        match reader.check_proposal(template.block(0, 0), clock()) {
            Ok(()) => {}
            Err(ProposalError::NotOnTip) => continue,
            Err(error) => {
                return Err(GenerateError::Proposal {
                    reason: error.reject_reason(),
                    message: error.to_string(),
                });
            }
        }
        match finder.find(reader, template)? {
            Outcome::Found(block) => return Ok(block),
            Outcome::TipChanged => {}
            Outcome::Cancelled => return Err(GenerateError::Cancelled { found: Vec::new() }),
        }
    }
}

/// A transaction that its caller chose; nobody asks what it pays.
fn chosen(tx: Arc<Transaction>) -> TemplateTx {
    TemplateTx {
        txid: tx.txid(),
        fee: Amount::ZERO,
        sigops: tx.outputs.len() as u64,
        size: tx.encoded_len() as u64,
        tx,
    }
}

enum Outcome {
    Found(Block),
    TipChanged,
    Cancelled,
}

/// Finds nonces on the caller's thread.
struct Finder<'a> {
    cursor: Cursor,
    chunk: Chunk,
    clock: &'a Clock,
    cancel: &'a AtomicBool,
}

impl<'a> Finder<'a> {
    fn new(clock: &'a Clock, cancel: &'a AtomicBool) -> Result<Self, GenerateError> {
        let salt = getrandom::u32().map_err(|error| GenerateError::Random(error.to_string()))?;
        Ok(Self {
            cursor: Cursor::new(salt, 0),
            chunk: Chunk::new(),
            clock,
            cancel,
        })
    }

    fn find(
        &mut self,
        reader: &ChainReader,
        mut template: Template,
    ) -> Result<Outcome, TemplateError> {
        loop {
            let extra_nonce = self.cursor.next_header();
            let search = Search::new(&template.header(extra_nonce), template.target());
            while let Some(range) = self.cursor.take(self.chunk.count()) {
                if self.cancel.load(Ordering::Relaxed) {
                    return Ok(Outcome::Cancelled);
                }
                let begin = Instant::now();
                if let Some(nonce) = search.run(range) {
                    return Ok(Outcome::Found(template.block(extra_nonce, nonce)));
                }
                self.chunk.learn(begin.elapsed());
                if reader.tip().hash != template.parent() {
                    return Ok(Outcome::TipChanged);
                }
                let now = (self.clock)();
                if now > u64::from(template.time()) {
                    template = template.at_time(reader.spec(), now)?;
                    break;
                }
            }
        }
    }
}
