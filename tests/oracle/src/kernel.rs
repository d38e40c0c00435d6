//! The second judge: Bitcoin Core's validation kernel on regtest.
//!
//! `process_block` calls a block new that fails when it is connected; what it thinks of it is told by the callback
//! `block_checked`, and why by the log alone.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, Once};

use bitcoinkernel::prelude::*;
use bitcoinkernel::{
    Block, BlockHash, BlockHeader, BlockValidationResult, BlockValidationStateRef, ChainType,
    ChainstateManager, Context, ContextBuilder, Log, Logger, ProcessBlockHeaderResult,
    ValidationMode,
};
use tempfile::TempDir;

use crate::model::Coin;
use crate::model::bytes::Hash;

/// A block that was checked: its hash, whether it is valid, and the class of the fault.
pub type Checked = (Hash, bool, BlockValidationResult);

/// What the kernel said.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// Whether the bytes were a block.
    pub decoded: bool,
    /// Whether it was stored or known.
    pub stored: bool,
    /// What was checked, in order.
    pub checked: Vec<Checked>,
    /// The reason of the last refusal, as the log has it.
    pub reason: Option<String>,
}

thread_local! {
    /// Why this thread's last block was refused. The kernel logs on the thread that works.
    static REASON: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Listens to the kernel's log for reasons.
struct Reasons;

impl Log for Reasons {
    fn log(&self, message: &str) {
        let reason = match (
            message.split_once("AcceptBlock FAILED ("),
            message.split_once(" failed, "),
        ) {
            (Some((_, rest)), _) => rest.trim_end().strip_suffix(')').unwrap_or(rest),
            (None, Some((head, rest))) if head.contains("ConnectBlock") => rest.trim_end(),
            _ => return,
        };
        REASON.with_borrow_mut(|last| *last = Some(reason.to_owned()));
    }
}

fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // It listens until the process ends.
        std::mem::forget(Logger::new(Reasons).expect("the kernel takes a logger"));
    });
}

/// The running kernel. Fields are dropped in this order.
pub struct Kernel {
    chain: Option<ChainstateManager>,
    context: Context,
    checked: Arc<Mutex<Vec<Checked>>>,
    on_disk: bool,
    dir: TempDir,
}

impl Kernel {
    /// A new regtest chain, with its databases on disk (so that it can be opened again) or in memory.
    pub fn new(on_disk: bool) -> Self {
        listen();
        let checked: Arc<Mutex<Vec<Checked>>> = Arc::default();
        let heard = Arc::clone(&checked);
        let context = ContextBuilder::new()
            .chain_type(ChainType::Regtest)
            .with_block_checked_validation(
                move |block: Block, state: BlockValidationStateRef<'_>| {
                    let valid = state.mode() == ValidationMode::Valid;
                    let entry = (block.hash().to_bytes(), valid, state.result());
                    heard.lock().expect("nobody panics with it").push(entry);
                },
            )
            .build()
            .expect("the kernel starts");
        let dir = crate::scratch();
        let mut kernel = Self {
            chain: None,
            context,
            checked,
            on_disk,
            dir,
        };
        kernel.start();
        kernel
    }

    fn start(&mut self) {
        let path = |name: &str| self.dir.path().join(name).display().to_string();
        let chain = ChainstateManager::builder(&self.context, &path("data"), &path("blocks"))
            .expect("the kernel takes the folder")
            .chainstate_db_in_memory(!self.on_disk)
            .block_tree_db_in_memory(!self.on_disk)
            .worker_threads(0)
            .build()
            .expect("the kernel opens the folder");
        chain.import_blocks().expect("the kernel starts");
        self.chain = Some(chain);
    }

    /// Closes the folder and opens it again, if it can be.
    pub fn reopen(&mut self) {
        if self.on_disk {
            self.chain = None;
            self.start();
        }
    }

    fn chain(&self) -> &ChainstateManager {
        self.chain.as_ref().expect("the kernel runs between calls")
    }

    /// Takes the bytes of a block.
    pub fn block(&self, raw: &[u8]) -> Answer {
        let Ok(block) = Block::new(raw) else {
            return Answer::default();
        };
        self.listen_anew();
        let result = self.chain().process_block(&block);
        Answer {
            decoded: true,
            stored: !result.is_rejected(),
            ..self.heard()
        }
    }

    /// Takes the bytes of a header.
    pub fn header(&self, raw: &[u8]) -> Answer {
        let Ok(header) = BlockHeader::new(raw) else {
            return Answer::default();
        };
        self.listen_anew();
        let result = self.chain().process_block_header(&header);
        Answer {
            decoded: true,
            stored: matches!(result, Ok(ProcessBlockHeaderResult::Valid)),
            ..self.heard()
        }
    }

    fn listen_anew(&self) {
        REASON.set(None);
        self.checked.lock().expect("nobody panics with it").clear();
    }

    fn heard(&self) -> Answer {
        Answer {
            checked: self.checked.lock().expect("nobody panics with it").clone(),
            reason: REASON.take(),
            ..Answer::default()
        }
    }

    /// The end of the active chain.
    pub fn tip(&self) -> Hash {
        self.chain().active_chain().tip().block_hash().to_bytes()
    }

    /// The height of the active chain.
    pub fn height(&self) -> usize {
        usize::try_from(self.chain().active_chain().height()).expect("heights are positive")
    }

    /// The hash of the active block at a height.
    pub fn hash_at(&self, height: usize) -> Option<Hash> {
        let entry = self.chain().active_chain().at_height(height)?;
        Some(entry.block_hash().to_bytes())
    }

    /// The bytes of a known block and what it spent.
    ///
    /// # Panics
    /// Where the kernel has lost it.
    pub fn block_and_spent(&self, hash: &Hash) -> (Vec<u8>, Vec<Coin>) {
        let entry = self
            .chain()
            .get_block_tree_entry(&BlockHash::from(*hash))
            .expect("a known block");
        let block = self
            .chain()
            .read_block_data(&entry)
            .expect("a stored block");
        let undo = self
            .chain()
            .read_spent_outputs(&entry)
            .expect("stored undo data");
        let mut spent = Vec::new();
        for tx in undo.iter() {
            for coin in tx.coins() {
                let output = coin.output();
                spent.push(Coin {
                    value: output.value().cast_unsigned(),
                    script: output.script_pubkey().to_bytes(),
                    height: coin.confirmation_height(),
                    coinbase: coin.is_coinbase(),
                });
            }
        }
        (
            block.consensus_encode().expect("a block can be encoded"),
            spent,
        )
    }
}
