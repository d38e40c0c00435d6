//! One block on the base: the engine's verdict is that of the rules written a second time.
//!
//! The input is a byte of switches and a block. What the switches do not leave alone is made right, so that the work does not
//! hide what comes after it: parent, bits, references to coins, signatures, root and nonce.

use quarry::chain::PreparedBlock;
use quarry::primitives::{Block, Decode, Encode, OutPoint, PubkeyHash, Txid};

use crate::model::{Bench, Verdict};
use crate::node;

/// Switches: what is left as it came.
const KEEP_ROOT: u8 = 1;
const KEEP_PARENT: u8 = 2;
const KEEP_BITS: u8 = 4;
const KEEP_TIME: u8 = 8;
const KEEP_NONCE: u8 = 16;
/// The header comes before the block.
const HEADER_FIRST: u8 = 32;
/// The block comes as bytes that were decoded and checked beforehand, as in an import.
const PREPARED: u8 = 64;

/// A txid that begins so refers to an earlier transaction of the block by its last byte.
const IN_BLOCK: [u8; 31] = [0xfe; 31];
/// A txid that begins so refers to the coinbase of a base block by its last byte.
const IN_BASE: [u8; 31] = [0xfd; 31];

/// Runs one input.
pub fn run(data: &[u8]) {
    let Some((switches, bytes)) = data.split_first() else {
        return;
    };
    let Ok(mut block) = Block::from_bytes(bytes) else {
        return;
    };
    Bench::run(|node, model| {
        let spec = node::spec();
        let keeps = |switch: u8| switches & switch != 0;
        if !keeps(KEEP_PARENT) {
            block.header.prev_block = model.hash(model.tip());
        }
        if !keeps(KEEP_BITS) {
            block.header.bits = spec.pow_limit;
        }
        if !keeps(KEEP_TIME) {
            block.header.time = node::time_at(node::BASE + 1);
        }
        complete(&mut block);
        if !keeps(KEEP_ROOT) {
            block.header.merkle_root = block.compute_merkle_root().0;
        }
        if !keeps(KEEP_NONCE) {
            node::solve(&mut block.header);
        }
        if node.reader().header_info(&block.hash()).is_some() {
            // Possible where the nonce is kept: an earlier input brought the same block, which the model does not know.
            return;
        }
        let handle = node.handle();
        if keeps(HEADER_FIRST) {
            let checked = Verdict::of(handle.check_header(&block.header));
            let ours = Verdict::of(handle.submit_headers_blocking(vec![block.header]));
            let expected = model.submit_header(&block.header).err();
            assert_eq!(ours, expected.unwrap_or(Verdict::Done), "the header");
            assert_eq!(checked, ours, "relaying and taking disagree on a header");
        }
        for turn in ["first", "second"] {
            let answer = if keeps(PREPARED) {
                let prepared = PreparedBlock::decode(&spec, block.to_bytes());
                let prepared = prepared.expect("what we encode decodes");
                let sent = handle
                    .send_block_blocking(prepared)
                    .expect("the engine runs");
                sent.wait_blocking()
            } else {
                handle.submit_block_blocking(block.clone())
            };
            let ours = Verdict::of_block(answer);
            let expected = model.submit(&block);
            assert_eq!(ours, expected, "the {turn} time: {block:?}");
        }
        model.compare(node);
    });
}

/// Replaces references by the ids that they mean, and signs inputs whose script is empty and whose owner is known.
fn complete(block: &mut Block) {
    let base = node::base_blocks(&node::spec());
    let mut made: Vec<(OutPoint, Option<PubkeyHash>)> = Vec::new();
    let mut ids: Vec<Txid> = Vec::new();
    let outputs_of = |tx: &quarry::primitives::Transaction, txid: Txid| {
        let outputs = (0_u32..).zip(&tx.outputs);
        outputs
            .map(|(vout, output)| (OutPoint { txid, vout }, output.script_pubkey.as_p2pkh()))
            .collect::<Vec<_>>()
    };
    for block in &base {
        let coinbase = &block.transactions[0];
        made.extend(outputs_of(coinbase, coinbase.txid()));
    }
    for tx in &mut block.transactions {
        for input in &mut tx.inputs {
            let (head, last) = input.previous_output.txid.as_bytes().split_at(31);
            let at = usize::from(last[0]);
            let meant = if head == IN_BLOCK {
                ids.get(at).copied()
            } else if head == IN_BASE {
                base.get(at).map(|block| block.transactions[0].txid())
            } else {
                None
            };
            if let Some(txid) = meant {
                input.previous_output.txid = txid;
            }
        }
        let unsigned: Vec<usize> = (0..tx.inputs.len())
            .filter(|index| tx.inputs[*index].script_sig.is_empty())
            .take(8)
            .collect();
        for index in unsigned {
            let spent = tx.inputs[index].previous_output;
            let owner = made.iter().find(|(outpoint, _)| *outpoint == spent);
            if let Some(key) = owner.and_then(|(_, owner)| node::key_of(&(*owner)?)) {
                quarry::keys::sign_input(tx, index, &key);
            }
        }
        let txid = tx.txid();
        ids.push(txid);
        made.extend(outputs_of(tx, txid));
    }
}

fn reference(kind: [u8; 31], number: u8, vout: u32) -> OutPoint {
    let mut bytes = [number; 32];
    bytes[..31].copy_from_slice(&kind);
    OutPoint {
        txid: Txid::from_bytes(bytes),
        vout,
    }
}

/// Valid blocks, and blocks that break one rule each.
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    use node::{coinbase, output, payment};
    let spec = node::spec();
    let height = node::BASE + 1;
    let subsidy = spec.subsidy_at(height).units();
    let coin = spec.subsidy_at(1).units();
    let parent = node::base_blocks(&spec)[4].hash();
    let make = |transactions| node::block(&spec, parent, node::time_at(height), transactions);
    let base = |number| reference(IN_BASE, number, 0);
    let start = || coinbase(height, 1, subsidy, 0);
    let pay = |inputs: &[OutPoint], units: &[u64]| {
        payment(
            inputs,
            units.iter().map(|units| output(2, *units)).collect(),
        )
    };
    let simple = || pay(&[base(0)], &[coin - 1_000]);
    let mut seeds = Vec::new();
    let mut add = |name: &str, switches: u8, block: &Block| {
        seeds.push((
            name.to_owned(),
            [&[switches][..], &block.to_bytes()].concat(),
        ));
    };
    let empty = make(vec![start()]);
    add("empty", 0, &empty);
    add("header-first", HEADER_FIRST, &empty);
    add("prepared", PREPARED, &make(vec![start(), simple()]));
    add(
        "prepared-fault",
        PREPARED,
        &make(vec![coinbase(height, 1, subsidy + 1, 0)]),
    );
    add("kept-root", KEEP_ROOT, &empty);
    add("kept-nonce", KEEP_NONCE, &empty);
    let mut changed = empty.clone();
    changed.header.time += 7_200 * 100;
    add("future", KEEP_TIME | HEADER_FIRST, &changed);
    changed.header.time = 1_296_688_602;
    add("early", KEEP_TIME, &changed);
    changed.header.version = 3;
    add("old-version", 0, &changed);
    changed = empty.clone();
    changed.header.bits.0 -= 1;
    add("bits", KEEP_BITS, &changed);
    changed.header.bits.0 = 0x2100_ffff;
    add("bits-above-limit", KEEP_BITS, &changed);
    changed.header.prev_block = quarry::primitives::BlockHash::from_bytes([9; 32]);
    add("orphan", KEEP_PARENT, &changed);
    changed.header.prev_block = spec.genesis_block().hash();
    add("on-genesis", KEEP_PARENT, &changed);
    add("payment", 0, &make(vec![start(), simple()]));
    let child = pay(&[reference(IN_BLOCK, 1, 0)], &[1_000]);
    add("chain", 0, &make(vec![start(), simple(), child.clone()]));
    add("child-first", 0, &make(vec![start(), child, simple()]));
    add(
        "two-inputs",
        0,
        &make(vec![start(), pay(&[base(0), base(1)], &[coin, coin])]),
    );
    add(
        "two-outputs",
        0,
        &make(vec![start(), pay(&[base(1)], &[1, 2, 3])]),
    );
    add("immature", 0, &make(vec![start(), pay(&[base(4)], &[1])]));
    add(
        "missing",
        0,
        &make(vec![start(), pay(&[reference(IN_BASE, 0, 1)], &[1])]),
    );
    add(
        "twice-in-block",
        0,
        &make(vec![start(), simple(), pay(&[base(0)], &[7])]),
    );
    add(
        "twice-in-payment",
        0,
        &make(vec![start(), pay(&[base(0), base(0)], &[7])]),
    );
    add(
        "from-nothing",
        0,
        &make(vec![start(), pay(&[base(0)], &[coin + 1])]),
    );
    add(
        "fee-taken",
        0,
        &make(vec![coinbase(height, 1, subsidy + 1_000, 0), simple()]),
    );
    add(
        "fee-exceeded",
        0,
        &make(vec![coinbase(height, 1, subsidy + 1_001, 0), simple()]),
    );
    add(
        "wrong-height",
        0,
        &make(vec![coinbase(height + 1, 1, 1, 0)]),
    );
    add(
        "two-coinbases",
        0,
        &make(vec![start(), coinbase(height, 1, 1, 1)]),
    );
    add("no-coinbase", 0, &make(vec![simple()]));
    add("no-transactions", 0, &make(vec![]));
    add(
        "too-much",
        0,
        &make(vec![
            start(),
            pay(&[base(0)], &[quarry::primitives::MAX_MONEY, 1]),
        ]),
    );
    let mut tx = simple();
    tx.outputs[0].script_pubkey = vec![0x6a].into();
    add("not-p2pkh", 0, &make(vec![start(), tx]));
    let mut tx = simple();
    (tx.lock_time, tx.inputs[0].sequence) = (height, 0);
    add("not-final", 0, &make(vec![start(), tx.clone()]));
    tx.lock_time -= 1;
    add("final", 0, &make(vec![start(), tx.clone()]));
    tx.lock_time = node::time_at(2);
    add("lock-time", 0, &make(vec![start(), tx]));
    for (name, sequence) in [
        ("unmet", 6),
        ("met", 5),
        ("time", 1 << 22 | 3),
        ("off", 1 << 31 | 9),
    ] {
        let mut tx = simple();
        tx.inputs[0].sequence = sequence;
        add(&format!("relative-{name}"), 0, &make(vec![start(), tx]));
    }
    let mut tx = simple();
    tx.version = 3;
    add("version-3", 0, &make(vec![start(), tx]));
    let mut tx = simple();
    tx.inputs[0].previous_output.txid = node::base_blocks(&spec)[0].transactions[0].txid();
    quarry::keys::sign_input(&mut tx, 0, &node::key(2));
    add("wrong-key", 0, &make(vec![start(), tx.clone()]));
    quarry::keys::sign_input(&mut tx, 0, &node::key(1));
    tx.outputs[0].value.0 -= 1;
    add("bad-signature", 0, &make(vec![start(), tx]));
    add(
        "many-outputs",
        0,
        &make(vec![start(), pay(&[base(0)], &[1; 22])]),
    );
    add(
        "large",
        0,
        &make(vec![
            start(),
            pay(&[base(0)], &[1; 15]),
            pay(&[base(1)], &[1; 40]),
        ]),
    );
    let mut repeated = make(vec![start(), simple()]);
    repeated.transactions.push(simple());
    repeated.transactions.push(simple());
    add("repeated", 0, &repeated);
    let mut tx = start();
    tx.inputs[0].script_sig = [&node::height_script(height)[..], &[0xae, 0xac]]
        .concat()
        .into();
    add("coinbase-sigops", 0, &make(vec![tx]));
    seeds
}
