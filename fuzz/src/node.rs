//! A chain for the targets: a running engine on a network with trivial work and small limits, and blocks made to order.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bitcoin::script::Builder;
use quarry::chain::{ChainHandle, ChainOptions, ChainReader, ChainWriter, open};
use quarry::consensus::{BLOCK_VERSION, ChainSpec};
use quarry::keys::{SecretKey, sign_input};
use quarry::primitives::{
    Amount, Block, BlockHash, BlockHeader, MerkleRoot, OutPoint, PubkeyHash, SEQUENCE_FINAL,
    Script, Transaction, TxIn, TxOut, UncheckedAmount,
};
use tempfile::TempDir;

/// The engine's clock: a day after the first block. It stands still, and blocks are so old that the engine takes them as it does
/// while catching up.
pub const NOW: u32 = 1_296_688_602 + 86_400;
/// Blocks on which everything else is built; the first of them are mature.
pub const BASE: u32 = 5;
/// How many keys there are; their numbers count from 1.
pub const KEYS: u8 = 3;

/// Regtest with limits that small inputs reach.
pub fn spec() -> ChainSpec {
    ChainSpec {
        name: "fuzz".to_owned(),
        coinbase_maturity: 3,
        halving_interval: 6,
        max_block_size: 1_500,
        max_block_sigops: 22,
        ..ChainSpec::regtest()
    }
}

/// A running engine in a temporary folder.
pub struct Node {
    running: Option<(ChainHandle, ChainWriter)>,
    folder: TempDir,
    spec: ChainSpec,
}

impl Node {
    /// Opens a new chain of the network.
    pub fn new(spec: ChainSpec) -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let mut node = Self {
            running: None,
            folder,
            spec,
        };
        node.start();
        node
    }

    fn start(&mut self) {
        let options = ChainOptions {
            sync_writes: false,
            clock: Arc::new(|| u64::from(NOW)),
        };
        let running = open(self.folder.path(), self.spec.clone(), options);
        self.running = Some(running.expect("the chain opens"));
    }

    fn stop(&mut self) {
        if let Some((handle, writer)) = self.running.take() {
            handle.stop_blocking();
            drop(handle);
            writer.join().expect("the chain ends without an error");
        }
    }

    /// Stops the engine and opens its folder again.
    pub fn restart(&mut self) {
        self.stop();
        self.start();
    }

    /// Ends the engine and removes its folder. Dropping it at the end of a thread leaves it to end by itself.
    pub fn close(mut self) {
        self.stop();
    }

    /// The engine.
    pub fn handle(&self) -> &ChainHandle {
        &self
            .running
            .as_ref()
            .expect("it runs until it is dropped")
            .0
    }

    /// What it knows.
    pub fn reader(&self) -> &ChainReader {
        self.handle().reader()
    }
}

/// The secret key of a number from 1.
pub fn key(number: u8) -> SecretKey {
    SecretKey::from_bytes(&[number; 32]).expect("small numbers are keys")
}

/// What pays to it.
pub fn key_hash(number: u8) -> PubkeyHash {
    key(number).public_key().pubkey_hash()
}

/// The key that a hash belongs to.
pub fn key_of(hash: &PubkeyHash) -> Option<SecretKey> {
    (1..=KEYS)
        .find(|number| key_hash(*number) == *hash)
        .map(key)
}

/// The push of a height that begins a coinbase, as rust-bitcoin writes it.
pub fn height_script(height: u32) -> Vec<u8> {
    Builder::new()
        .push_int(i64::from(height))
        .into_script()
        .into_bytes()
}

/// A coinbase that takes `units` for a key; `salt` makes it unlike others.
pub fn coinbase(height: u32, to: u8, units: u64, salt: u32) -> Transaction {
    let mut script = height_script(height);
    script.push(4);
    script.extend_from_slice(&salt.to_le_bytes());
    Transaction {
        version: 1,
        inputs: vec![TxIn {
            previous_output: OutPoint::NULL,
            script_sig: Script::from(script),
            sequence: SEQUENCE_FINAL,
        }],
        outputs: vec![output(to, units)],
        lock_time: 0,
    }
}

/// An output to a key.
pub fn output(to: u8, units: u64) -> TxOut {
    TxOut {
        value: UncheckedAmount(units),
        script_pubkey: Script::p2pkh(&key_hash(to)),
    }
}

/// An unsigned payment of coins.
pub fn payment(coins: &[OutPoint], outputs: Vec<TxOut>) -> Transaction {
    let inputs = coins.iter().map(|coin| TxIn {
        previous_output: *coin,
        script_sig: Script::default(),
        sequence: SEQUENCE_FINAL,
    });
    Transaction {
        version: 2,
        inputs: inputs.collect(),
        outputs,
        lock_time: 0,
    }
}

/// Signs each input with the key of the coin it spends, given in the same order.
pub fn sign(tx: &mut Transaction, owners: &[PubkeyHash]) {
    for (index, owner) in owners.iter().enumerate() {
        if let Some(key) = key_of(owner) {
            sign_input(tx, index, &key);
        }
    }
}

/// A block with these transactions; its root and work are still missing.
pub fn block(
    spec: &ChainSpec,
    parent: BlockHash,
    time: u32,
    transactions: Vec<Transaction>,
) -> Block {
    Block {
        header: BlockHeader {
            version: BLOCK_VERSION,
            prev_block: parent,
            merkle_root: MerkleRoot::ZERO,
            time,
            bits: spec.pow_limit,
            nonce: 0,
        },
        transactions,
    }
}

/// Another number at each call. It goes into what is hashed, so that one content makes a new block whenever it is used: an engine
/// that lives through many inputs meets each as if it were the first.
pub fn turn() -> u32 {
    static TURN: AtomicU32 = AtomicU32::new(0);
    TURN.fetch_add(1, Ordering::Relaxed)
}

/// Finds a nonce; about two hashes. Each call begins elsewhere, see [`turn`].
pub fn solve(header: &mut BlockHeader) {
    header.nonce = turn().wrapping_mul(1 << 8);
    solve_from(header);
}

/// Finds the next nonce that meets the target, if the target is one that a few hashes meet.
pub fn solve_from(header: &mut BlockHeader) {
    if let Ok(target) = header.bits.to_target() {
        for _ in 0..1 << 14 {
            if target.is_met_by(&header.hash()) {
                return;
            }
            header.nonce = header.nonce.wrapping_add(1);
        }
    }
}

/// Puts the root of its transactions into a block and finds its nonce.
pub fn finish(block: &mut Block) {
    block.header.merkle_root = block.compute_merkle_root().0;
    solve(&mut block.header);
}

/// The blocks that everything is built on: one coinbase each, for key 1, 2, 3, 1, …
pub fn base_blocks(spec: &ChainSpec) -> Vec<Block> {
    let genesis = spec.genesis_block();
    let mut parent = genesis.hash();
    (1..=BASE)
        .map(|height| {
            let to = u8::try_from((height - 1) % u32::from(KEYS)).expect("small") + 1;
            let units = spec.subsidy_at(height).units();
            let time = genesis.header.time + 600 * height;
            let mut block = block(spec, parent, time, vec![coinbase(height, to, units, 0)]);
            block.header.merkle_root = block.compute_merkle_root().0;
            solve_from(&mut block.header);
            parent = block.hash();
            block
        })
        .collect()
}

/// The time of a block after the base at a height.
pub fn time_at(height: u32) -> u32 {
    1_296_688_602 + 600 * height
}

/// Some valid blocks with payments, for seeds: always the same.
pub fn sample_blocks() -> Vec<Block> {
    let spec = spec();
    let base = base_blocks(&spec);
    let owner = base[0].transactions[0].outputs[0].script_pubkey.as_p2pkh();
    let owner = owner.expect("base blocks pay to keys");
    let coin = OutPoint {
        txid: base[0].transactions[0].txid(),
        vout: 0,
    };
    let half = Amount::from_units(25 * 100_000_000)
        .expect("below the supply")
        .units();
    let mut first = payment(&[coin], vec![output(2, half), output(3, half - 500)]);
    sign(&mut first, &[owner]);
    let next = OutPoint {
        txid: first.txid(),
        vout: 0,
    };
    let mut second = payment(&[next], vec![output(1, half - 1_000)]);
    second.inputs[0].sequence = 0;
    sign(&mut second, &[key_hash(2)]);
    let height = BASE + 1;
    let units = spec.subsidy_at(height).units();
    let parent = base[base.len() - 1].hash();
    let transactions = [vec![], vec![first.clone()], vec![first, second]];
    transactions
        .into_iter()
        .map(|payments| {
            let all = [vec![coinbase(height, 3, units, 7)], payments].concat();
            let mut block = block(&spec, parent, time_at(height), all);
            block.header.merkle_root = block.compute_merkle_root().0;
            solve_from(&mut block.header);
            block
        })
        .collect()
}
