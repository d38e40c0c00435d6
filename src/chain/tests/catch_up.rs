//! Blocks that are written many at once leave what they leave one by one, and nothing else.

use super::*;
use crate::primitives::{OutPoint, Transaction};

/// How blocks are handed to a chain.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    /// New blocks: each is written by itself.
    New,
    /// Old blocks, each answered before the next.
    OneByOne,
    /// Old blocks, all under way at once.
    Many,
    /// The same, after their headers.
    HeadersFirst,
}

const WAYS: [Way; 4] = [Way::New, Way::OneByOne, Way::Many, Way::HeadersFirst];

/// What the chain says of each block.
fn feed(chain: &TestChain, blocks: &[Block], way: Way) -> Vec<Result<BlockAccepted, SubmitError>> {
    if way == Way::New {
        let time = blocks.last().unwrap().header.time;
        chain.clock.store(u64::from(time), Ordering::Relaxed);
    }
    if way == Way::HeadersFirst {
        let headers = blocks.iter().map(|block| block.header).collect();
        chain.handle().submit_headers_blocking(headers).unwrap();
    }
    match way {
        Way::New | Way::OneByOne => blocks.iter().map(|block| chain.submit(block)).collect(),
        Way::Many | Way::HeadersFirst => {
            let spec = chain.reader().spec();
            let send = |block: &Block| {
                let block = PreparedBlock::decode(spec, block.to_bytes()).unwrap();
                chain.handle().send_block_blocking(block).unwrap()
            };
            let answers: Vec<_> = blocks.iter().map(send).collect();
            answers
                .into_iter()
                .map(BlockAnswer::wait_blocking)
                .collect()
        }
    }
}

/// Twelve blocks; each spends what the one before made, some of it twice over within a block.
fn spending_blocks() -> Vec<Block> {
    let source = TestChain::new();
    let mut blocks = source.extend(2);
    let mut coin = coinbase_coin(&blocks[0]);
    let mut units = 50 * COIN;
    for _ in 0..10 {
        let first = pay(1, &[coin], &[(2, 10), (1, units - 10)]);
        let change = OutPoint {
            txid: first.txid(),
            vout: 1,
        };
        let second = pay(1, &[change], &[(1, units - 20), (3, 10)]);
        coin = OutPoint {
            txid: second.txid(),
            vout: 0,
        };
        units -= 20;
        let block = source.block_on(tip(&source), vec![first, second], 0);
        source.submit(&block).unwrap();
        blocks.push(block);
    }
    blocks
}

fn everything(chain: &TestChain) -> Vec<(&'static str, Vec<u8>, Vec<u8>)> {
    chain.reader().store().dump()
}

/// The law: every row of every column, byte for byte, and every answer.
#[test]
fn the_state_does_not_depend_on_how_blocks_are_grouped() {
    let blocks = spending_blocks();
    let mut states = Vec::new();
    for way in WAYS {
        let mut chain = TestChain::new();
        let answers = feed(&chain, &blocks, way);
        for (height, answer) in (1..).zip(answers) {
            assert_eq!(answer, Ok(BlockAccepted::NewTip { height }));
        }
        assert_sound(&chain);
        let state = everything(&chain);
        chain.restart();
        assert_eq!(everything(&chain), state);
        states.push(state);
    }
    for state in &states {
        assert_eq!(state, &states[0]);
    }
}

/// A bad signature is found after later blocks were collected on top of it.
/// ```text
/// 0 ── 1 ── … ── 6 ── 7 (a bad signature) ── 8 ── …
/// ```
#[test]
fn a_bad_block_among_many_is_refused_as_if_it_had_come_alone() {
    let mut blocks = spending_blocks();
    {
        let source = TestChain::new();
        for block in &blocks[..6] {
            source.submit(block).unwrap();
        }
        let bad = source.block_with(
            tip(&source),
            blocks[6].transactions[1..].to_vec(),
            0,
            |block| {
                // The amounts still fit, the signature does not.
                block.transactions[1].outputs[0].value = UncheckedAmount(9);
            },
        );
        let bad = rebuilt(&source, bad);
        blocks[6] = bad.clone();
        source
            .handle()
            .submit_headers_blocking(vec![bad.header])
            .unwrap();
        let mut parent = bad.hash();
        for block in &mut blocks[7..] {
            *block = source.block_on(parent, Vec::new(), 0);
            let header = block.header;
            source
                .handle()
                .submit_headers_blocking(vec![header])
                .unwrap();
            parent = block.hash();
        }
    }
    let mut outcomes = Vec::new();
    for way in WAYS {
        let chain = TestChain::new();
        let answers = feed(&chain, &blocks, way);
        assert!(answers[..6].iter().all(Result::is_ok));
        assert!(
            matches!(
                answers[6],
                Err(SubmitError::Invalid(RuleError::BadSignature { .. }))
            ),
            "{:?}",
            answers[6]
        );
        assert!(answers[7..].iter().all(Result::is_err), "{answers:?}");
        assert_eq!(tip(&chain), blocks[5].hash());
        assert_sound(&chain);
        outcomes.push(active_state(&chain));
        // What is left is a chain that goes on.
        chain.extend(2);
        assert_sound(&chain);
    }
    for outcome in &outcomes {
        assert_eq!(outcome, &outcomes[0]);
    }
}

/// The second payment of a block spends the first one's change, whose id has changed.
fn rebuilt(source: &TestChain, block: Block) -> Block {
    let first: Transaction = block.transactions[1].clone();
    let parent = block.header.prev_block;
    source.block_on(parent, vec![first], 0)
}

/// What is on the disk at any moment is a chain of the first blocks, at least those that were answered.
#[test]
fn d01_a_kill_leaves_the_first_blocks() {
    let blocks = spending_blocks();
    let chain = TestChain::new();
    let spec = chain.reader().spec().clone();
    let answers: Vec<_> = blocks
        .iter()
        .map(|block| {
            let block = PreparedBlock::decode(&spec, block.to_bytes()).unwrap();
            chain.handle().send_block_blocking(block).unwrap()
        })
        .collect();
    for (answered, answer) in (1..).zip(answers) {
        answer.wait_blocking().unwrap();
        let copy = tempfile::TempDir::new().unwrap();
        for file in std::fs::read_dir(chain.dir.path()).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
        }
        let (handle, writer) = open(copy.path(), (*spec).clone(), ChainOptions::default()).unwrap();
        let tip = handle.reader().tip();
        assert!(tip.height >= answered, "{} of {answered}", tip.height);
        assert_eq!(tip.hash, blocks[tip.height as usize - 1].hash());
        assert!(handle.reader().audit(&mut |_| {}).unwrap().is_sound());
        handle.stop_blocking();
        drop(handle);
        writer.join().unwrap();
    }
}

/// A reorg and a mark by hand between collected blocks see and leave what they see and leave without them.
/// ```text
/// 0 ── 1 ── … ── 12
///       └── b2 ── … ── b13
/// ```
#[test]
fn a_reorg_among_many_blocks_ends_in_the_same_state() {
    let blocks = spending_blocks();
    let source = TestChain::new();
    for block in &blocks {
        source.submit(block).unwrap();
    }
    let mut all = blocks.clone();
    all.extend(branch(&source, blocks[0].hash(), 12, 5));
    let mut states = Vec::new();
    for way in [Way::New, Way::OneByOne, Way::Many] {
        let chain = TestChain::new();
        let answers = feed(&chain, &all, way);
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
        assert_eq!(tip(&chain), all.last().unwrap().hash());
        assert_sound(&chain);
        chain
            .handle()
            .invalidate_block_blocking(all[12].hash())
            .unwrap();
        assert_eq!(tip(&chain), blocks[11].hash());
        assert_sound(&chain);
        states.push(everything(&chain));
    }
    for state in &states {
        assert_eq!(state, &states[0]);
    }
}
