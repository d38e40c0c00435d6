//! The chain of a data folder without a node: what commands use when none is running.
//!
//! It holds the database, so that no node can start meanwhile. [`OfflineChain::close`] waits for the disk; without it
//! nothing is lost either, since every change is one synced batch.

use std::sync::atomic::AtomicBool;

use super::folder::NetworkFolder;
use super::mending::{self, MendError};
use super::opening::{self, OpenError};
use crate::chain::{
    Audit, BlockAccepted, BlockAnswer, ChainError, ChainHandle, ChainOptions, ChainReader,
    ChainWriter, PreparedBlock, Revalidation, SubmitError, Tip, WriterFailure, system_clock,
};
use crate::consensus::ChainSpec;
use crate::mempool::{self, Policy, RejectError, TxSource};
use crate::miner::{self, GenerateError};
use crate::primitives::{Block, BlockHash, Coin, OutPoint, PubkeyHash, Transaction};
use crate::storage::StorageError;

/// The open chain. When it is dropped, its thread is stopped and waited for: a process must not end under an open database.
pub struct OfflineChain {
    /// Present until it is closed.
    open: Option<(ChainHandle, ChainWriter)>,
}

/// What became of a submitted block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Submitted {
    /// It was taken, on the best chain or on a branch.
    New,
    /// It was known.
    Known,
    /// Its parent is not known.
    NoParent,
}

/// Why a payment could not be mined.
#[derive(Debug, thiserror::Error)]
pub enum MineError {
    /// The transaction is not valid here.
    #[error("the transaction was refused: {0}")]
    Refused(RejectError),
    /// No block could be made.
    #[error("no block could be mined: {0}")]
    Mining(GenerateError),
    /// Something that must run does not.
    #[error("{0}")]
    Internal(String),
}

/// Why blocks could not be validated again.
#[derive(Debug, thiserror::Error)]
pub enum RevalidateError {
    /// The chain's disk.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The scratch folder.
    #[error(transparent)]
    Scratch(#[from] MendError),
}

/// A block that was sent.
#[derive(Debug)]
pub struct UnderWay(BlockAnswer);

impl UnderWay {
    /// Waits until it was taken.
    ///
    /// # Errors
    /// Why it was refused, unless only for its parent.
    pub fn wait(self) -> Result<Submitted, SubmitError> {
        match self.0.wait_blocking() {
            Ok(BlockAccepted::NewTip { .. } | BlockAccepted::SideBranch { .. }) => {
                Ok(Submitted::New)
            }
            Ok(BlockAccepted::AlreadyKnown) => Ok(Submitted::Known),
            Err(SubmitError::UnknownParent(_)) => Ok(Submitted::NoParent),
            Err(error) => Err(error),
        }
    }
}

impl OfflineChain {
    /// Opens the chain in `folder`, or makes it.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(folder: &NetworkFolder, spec: &ChainSpec) -> Result<Self, OpenError> {
        let open = opening::open(folder, spec, ChainOptions::default())?;
        Ok(Self { open: Some(open) })
    }

    fn chain(&self) -> &ChainHandle {
        let (chain, _) = self.open.as_ref().expect("only close and drop take it");
        chain
    }

    fn reader(&self) -> &ChainReader {
        self.chain().reader()
    }

    /// The end of the best chain.
    pub fn tip(&self) -> Tip {
        self.reader().tip()
    }

    /// The hash of the best chain's block at `height`.
    pub fn hash_at(&self, height: u32) -> Option<BlockHash> {
        self.reader().hash_at(height)
    }

    /// A block.
    ///
    /// # Errors
    /// The disk's.
    pub fn block(&self, hash: &BlockHash) -> Result<Option<Block>, StorageError> {
        self.reader().block(hash)
    }

    /// The encoded form of a block.
    ///
    /// # Errors
    /// The disk's.
    pub fn raw_block(&self, hash: &BlockHash) -> Result<Option<Vec<u8>>, StorageError> {
        self.reader().raw_block(hash)
    }

    /// The coins of an address.
    ///
    /// # Errors
    /// The disk's.
    pub fn address_coins(&self, hash: &PubkeyHash) -> Result<Vec<(OutPoint, Coin)>, StorageError> {
        self.reader().address_coins(hash)
    }

    /// Whether an address was ever paid.
    ///
    /// # Errors
    /// The disk's.
    pub fn is_used(&self, hash: &PubkeyHash) -> Result<bool, StorageError> {
        Ok(!self.reader().address_history(hash)?.is_empty())
    }

    /// Whether the header of a block is known.
    pub fn knows(&self, hash: &BlockHash) -> bool {
        self.reader().header_info(hash).is_some()
    }

    /// Sends a block, one of many in order; what became of it is asked for later.
    ///
    /// # Errors
    /// The chain has ended.
    pub fn send(&self, block: PreparedBlock) -> Result<UnderWay, SubmitError> {
        self.chain().send_block_blocking(block).map(UnderWay)
    }

    /// Compares everything stored with what follows from the blocks; `progress` is told the height after each.
    ///
    /// # Errors
    /// The disk's.
    pub fn audit(&self, progress: &mut dyn FnMut(u32)) -> Result<Audit, StorageError> {
        self.reader().audit(progress)
    }

    /// Applies every rule to every block of the active chain again, in a scratch database in `folder`, and compares; `progress` is
    /// told how many of how many blocks are done.
    ///
    /// # Errors
    /// The disk's.
    pub fn revalidate(
        &self,
        folder: &NetworkFolder,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Revalidation, RevalidateError> {
        let scratch = folder.scratch();
        // What an interrupted verification left.
        mending::remove_all(&scratch)?;
        let mut go_on = |done, total| {
            progress(done, total);
            true
        };
        let result = self.reader().revalidate(&scratch, &mut go_on);
        mending::remove_all(&scratch)?;
        Ok(result?.expect("it was told to go on to the end"))
    }

    /// Mines one block that holds `tx`, paid to `payout`.
    ///
    /// # Errors
    /// [`MineError`]; the chain is as it was.
    pub fn mine_payment(
        &self,
        tx: Transaction,
        payout: PubkeyHash,
    ) -> Result<BlockHash, MineError> {
        let internal = |error: &dyn std::fmt::Display| MineError::Internal(error.to_string());
        let clock = system_clock();
        let (mempool, task) =
            mempool::spawn(self.chain().clone(), Policy::default(), clock.clone())
                .map_err(|error| internal(&error))?;
        let mined = mempool
            .submit_blocking(tx, TxSource::Local)
            .map_err(MineError::Refused)
            .and_then(|_| {
                let never = AtomicBool::new(false);
                miner::generate_blocking(self.chain(), Some(&mempool), payout, 1, &clock, &never)
                    .map_err(MineError::Mining)
            });
        mempool.stop_blocking();
        task.join().map_err(|error| internal(&error))?;
        let hashes = mined?;
        hashes
            .last()
            .copied()
            .ok_or_else(|| MineError::Internal("the miner made no block".to_owned()))
    }

    /// Mines `count` blocks that hold nothing but their rewards, paid to `payout`; returns their hashes.
    ///
    /// # Errors
    /// [`MineError`].
    pub fn mine(&self, payout: PubkeyHash, count: u32) -> Result<Vec<BlockHash>, MineError> {
        let never = AtomicBool::new(false);
        let clock = system_clock();
        miner::generate_blocking(self.chain(), None, payout, count, &clock, &never)
            .map_err(MineError::Mining)
    }

    /// Closes the chain and waits until everything is on the disk.
    ///
    /// # Errors
    /// The disk's.
    pub fn close(mut self) -> Result<(), WriterFailure> {
        self.shut()
    }

    fn shut(&mut self) -> Result<(), WriterFailure> {
        let Some((chain, writer)) = self.open.take() else {
            return Ok(());
        };
        chain.stop_blocking();
        drop(chain);
        writer.join()
    }
}

impl Drop for OfflineChain {
    fn drop(&mut self) {
        // Whoever drops it without closing has an error to tell already.
        let _ = self.shut();
    }
}
