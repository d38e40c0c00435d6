//! What an empty block costs at growing heights, in one process: the engine itself, without start and stop.

use std::time::Instant;

use quarry::chain::{ChainOptions, open};
use quarry::consensus::{BLOCK_VERSION, ChainSpec, height_push};
use quarry::primitives::{
    Block, BlockHeader, MerkleRoot, OutPoint, PubkeyHash, SEQUENCE_FINAL, Script, Transaction,
    TxIn, TxOut,
};
use tempfile::TempDir;

/// Where the cost is taken.
const HEIGHTS: [u32; 3] = [1_000, 50_000, 200_000];
/// Over how many blocks.
const SPAN: u32 = 1_000;

pub fn measure() {
    println!("\nempty blocks, one after the other is answered, at growing heights");
    let datadir = TempDir::new().expect("a folder");
    let spec = ChainSpec::regtest();
    let (chain, writer) = open(datadir.path(), spec.clone(), ChainOptions::default())
        .expect("a new chain can be made");
    let mut parent = spec.genesis_block().hash();
    let mut blocks = (1..).map(|height| {
        let block = empty_block(&spec, parent, height);
        parent = block.hash();
        block
    });
    let mut height = 0;
    let mut first = None;
    for start in HEIGHTS {
        while height + SPAN < start {
            let batch: Vec<Block> = blocks.by_ref().take(SPAN as usize).collect();
            height += SPAN;
            submit(&chain, batch);
        }
        let batch: Vec<Block> = blocks.by_ref().take(SPAN as usize).collect();
        height += SPAN;
        let begin = Instant::now();
        submit(&chain, batch);
        let each = begin.elapsed().as_secs_f64() * 1e6 / f64::from(SPAN);
        let ratio = each / *first.get_or_insert(each);
        println!("  at {height:>7}: {each:7.1} µs a block ({ratio:.2} of the first)");
    }
    chain.stop_blocking();
    writer.join().expect("the chain closes");
}

fn submit(chain: &quarry::chain::ChainHandle, blocks: Vec<Block>) {
    for block in blocks {
        chain.submit_block_blocking(block).expect("a valid block");
    }
}

fn empty_block(spec: &ChainSpec, parent: quarry::primitives::BlockHash, height: u32) -> Block {
    let mut script = height_push(height);
    script.push(0);
    let coinbase = Transaction {
        version: 1,
        inputs: vec![TxIn {
            previous_output: OutPoint::NULL,
            script_sig: Script::from(script),
            sequence: SEQUENCE_FINAL,
        }],
        outputs: vec![TxOut {
            value: spec.subsidy_at(height).into(),
            script_pubkey: Script::p2pkh(&PubkeyHash::ZERO),
        }],
        lock_time: 0,
    };
    let mut block = Block {
        header: BlockHeader {
            version: BLOCK_VERSION,
            prev_block: parent,
            merkle_root: MerkleRoot::ZERO,
            time: spec.genesis.time + height,
            bits: spec.pow_limit,
            nonce: 0,
        },
        transactions: vec![coinbase],
    };
    block.header.merkle_root = block.compute_merkle_root().0;
    let target = block.header.bits.to_target().expect("a target");
    while !target.is_met_by(&block.header.hash()) {
        block.header.nonce += 1;
    }
    block
}
