//! A chain in a temporary folder with trivial proof of work, and blocks made to order; for the tests of every module.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tempfile::TempDir;

use super::{
    BlockAccepted, ChainHandle, ChainOptions, ChainReader, ChainWriter, SubmitError, open,
};
use crate::consensus::{BLOCK_VERSION, ChainSpec, height_push, required_bits};
use crate::keys::{SecretKey, sign_input};
use crate::primitives::{
    Amount, Block, BlockHash, BlockHeader, OutPoint, PubkeyHash, SEQUENCE_FINAL, Script,
    Transaction, TxIn, TxOut,
};

/// The time that test chains begin at: a day after regtest's first block.
const START: u64 = 1_296_688_602 + 86_400;

/// A running chain. Its thread ends and its folder goes when it is dropped.
pub(crate) struct TestChain {
    running: Option<(ChainHandle, ChainWriter)>,
    pub clock: Arc<AtomicU64>,
    pub dir: TempDir,
    spec: ChainSpec,
}

impl TestChain {
    /// Regtest with spendable coinbases after one block.
    pub fn new() -> Self {
        Self::with_spec(ChainSpec {
            name: "unit".into(),
            coinbase_maturity: 1,
            ..ChainSpec::regtest()
        })
    }

    pub fn with_spec(spec: ChainSpec) -> Self {
        let dir = TempDir::new().unwrap();
        let clock = Arc::new(AtomicU64::new(START));
        let mut chain = Self {
            running: None,
            clock,
            dir,
            spec,
        };
        chain.start();
        chain
    }

    fn start(&mut self) {
        let clock = Arc::clone(&self.clock);
        let options = ChainOptions {
            sync_writes: false,
            clock: Arc::new(move || clock.load(Ordering::Relaxed)),
        };
        self.running = Some(open(self.dir.path(), self.spec.clone(), options).unwrap());
    }

    fn stop(&mut self) {
        if let Some((handle, writer)) = self.running.take() {
            handle.stop_blocking();
            drop(handle);
            writer.join().unwrap();
        }
    }

    /// The failure of the disk that ended the thread.
    pub fn failure(mut self) -> String {
        let (handle, writer) = self.running.take().unwrap();
        handle.stop_blocking();
        drop(handle);
        writer.join().unwrap_err().to_string()
    }

    /// Stops the thread and opens the folder again. Clones of the old handle must be gone.
    pub fn restart(&mut self) {
        self.stop();
        self.start();
    }

    pub fn handle(&self) -> &ChainHandle {
        &self.running.as_ref().unwrap().0
    }

    pub fn reader(&self) -> &ChainReader {
        self.handle().reader()
    }

    pub fn submit(&self, block: &Block) -> Result<BlockAccepted, SubmitError> {
        self.handle().submit_block_blocking(block.clone())
    }

    /// Mines `count` empty blocks on the tip.
    pub fn extend(&self, count: u32) -> Vec<Block> {
        (0..count)
            .map(|_| {
                let block = self.block_on(self.reader().tip().hash, Vec::new(), 0);
                self.submit(&block).unwrap();
                block
            })
            .collect()
    }

    /// A block on `parent` (whose header is known) that pays the subsidy to [`key`]`(1)`; `salt` makes blocks differ.
    pub fn block_on(&self, parent: BlockHash, transactions: Vec<Transaction>, salt: u32) -> Block {
        self.block_with(parent, transactions, salt, |_| {})
    }

    /// The same with `change` applied before merkle root and proof of work are made.
    pub fn block_with(
        &self,
        parent: BlockHash,
        transactions: Vec<Transaction>,
        salt: u32,
        change: impl FnOnce(&mut Block),
    ) -> Block {
        let info = self.reader().header_info(&parent).unwrap();
        let mut block = child_of(&self.spec, &info, transactions, salt);
        change(&mut block);
        block.header.merkle_root = block.compute_merkle_root().0;
        solve(&mut block.header);
        block
    }
}

impl Drop for TestChain {
    fn drop(&mut self) {
        self.stop();
    }
}

fn child_of(
    spec: &ChainSpec,
    parent: &super::HeaderInfo,
    transactions: Vec<Transaction>,
    salt: u32,
) -> Block {
    let height = parent.height + 1;
    let time = parent
        .header
        .time
        .max(parent.median_time_past)
        .saturating_add(1);
    let mut script = height_push(height);
    script.push(4);
    script.extend_from_slice(&salt.to_le_bytes());
    let coinbase = Transaction {
        version: 1,
        inputs: vec![TxIn {
            previous_output: OutPoint::NULL,
            script_sig: Script::from(script),
            sequence: SEQUENCE_FINAL,
        }],
        outputs: vec![TxOut {
            value: spec.subsidy_at(height).into(),
            script_pubkey: Script::p2pkh(&key_hash(1)),
        }],
        lock_time: 0,
    };
    // Test chains do not retarget, so the parent's base is all that the rule reads.
    let context = crate::consensus::ParentContext {
        hash: parent.hash,
        height: parent.height,
        latest_time: parent.header.time,
        base: parent.header.bits,
        latest_time_before: None,
        median_time_past: parent.median_time_past,
    };
    Block {
        header: BlockHeader {
            version: BLOCK_VERSION,
            prev_block: parent.hash,
            merkle_root: crate::primitives::MerkleRoot::ZERO,
            time,
            bits: required_bits(spec, &context, time).bits,
            nonce: 0,
        },
        transactions: [vec![coinbase], transactions].concat(),
    }
}

/// Finds a nonce; about two hashes on regtest.
pub(crate) fn solve(header: &mut BlockHeader) {
    let target = header.bits.to_target().unwrap();
    while !target.is_met_by(&header.hash()) {
        header.nonce += 1;
    }
}

/// The secret key of a small number.
pub(crate) fn key(number: u8) -> SecretKey {
    SecretKey::from_bytes(&[number; 32]).unwrap()
}

/// Its hash.
pub(crate) fn key_hash(number: u8) -> PubkeyHash {
    key(number).public_key().pubkey_hash()
}

/// The coin that a block's coinbase makes.
pub(crate) fn coinbase_coin(block: &Block) -> OutPoint {
    OutPoint {
        txid: block.transactions[0].txid(),
        vout: 0,
    }
}

/// A signed payment of coins of [`key`]`(from)`.
pub(crate) fn pay(from: u8, coins: &[OutPoint], outputs: &[(u8, u64)]) -> Transaction {
    let input = |coin: &OutPoint| TxIn {
        previous_output: *coin,
        script_sig: Script::default(),
        sequence: SEQUENCE_FINAL,
    };
    let output = |(to, units): &(u8, u64)| TxOut {
        value: Amount::from_units(*units).unwrap().into(),
        script_pubkey: Script::p2pkh(&key_hash(*to)),
    };
    let mut tx = Transaction {
        version: 1,
        inputs: coins.iter().map(input).collect(),
        outputs: outputs.iter().map(output).collect(),
        lock_time: 0,
    };
    for index in 0..coins.len() {
        sign_input(&mut tx, index, &key(from));
    }
    tx
}
