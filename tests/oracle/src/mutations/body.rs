//! Faults of the body as a whole: what it commits to, its size, its coinbase.

use quarry::consensus::height_push;
use quarry::primitives::{OutPoint, Script, Transaction, TxIn, TxOut, UncheckedAmount};

use super::{Bench, Core, Draft, Mutation, connected, heavy, received, subsidy};
use crate::forge::{FINAL, Payment};

/// All of them.
pub const ALL: &[Mutation] = &[
    received(
        "the merkle root is another",
        "MerkleRootMismatch",
        Core::Same,
        |draft, _| {
            draft.commit = false;
            true
        },
    ),
    received(
        "the last transaction is doubled",
        "MerkleTreeMutated",
        Core::Same,
        doubled_tail,
    ),
    received(
        "a coinbase of 64 bytes",
        "SixtyFourByteTransaction",
        Core::Takes,
        sixty_four_bytes,
    ),
    received("no coinbase", "CoinbaseMissing", Core::Same, |draft, _| {
        draft.block.transactions.remove(0);
        true
    }),
    received(
        "no transactions",
        "CoinbaseMissing",
        Core::Refuses("bad-blk-length"),
        |draft, _| {
            draft.block.transactions.clear();
            true
        },
    ),
    received(
        "the coinbase is second",
        "CoinbaseMissing",
        Core::Same,
        |draft, _| {
            draft.block.transactions.swap(0, 1);
            true
        },
    ),
    received(
        "two coinbases",
        "CoinbaseNotFirst",
        Core::Same,
        |draft, bench| {
            let second = bench.forge.coinbase(bench.height(), &[(2, 0)]);
            draft.block.transactions.push(second);
            true
        },
    ),
    received(
        "the height is one too high",
        "CoinbaseHeight",
        Core::Same,
        |draft, bench| {
            let push = [height_push(bench.height() + 1), vec![1, 2, 3, 4]].concat();
            coinbase_script(draft, push)
        },
    ),
    received(
        "the height is not pushed in the shortest form",
        "CoinbaseHeight",
        Core::Same,
        |draft, bench| {
            let [low, high, ..] = bench.height().to_le_bytes();
            coinbase_script(draft, vec![3, low, high, 0, 9, 9])
        },
    ),
    received(
        "the coinbase script has 1 byte",
        "CoinbaseScriptLength",
        Core::Same,
        |draft, _| coinbase_script(draft, vec![0x51]),
    ),
    received(
        "the coinbase script has 101 bytes",
        "CoinbaseScriptLength",
        Core::Same,
        |draft, bench| {
            let mut script = height_push(bench.height());
            script.resize(101, 0);
            coinbase_script(draft, script)
        },
    ),
    connected(
        "the coinbase takes one unit too much",
        "CoinbaseAmount",
        Core::Same,
        |draft, bench| {
            draft.block.transactions[0].outputs[0].value.0 = subsidy(bench.height()) + 1;
            true
        },
    ),
    heavy(
        "20,001 signature operations",
        "TooManySigops",
        too_many_sigops,
    ),
    heavy("1,000,001 bytes", "BlockTooLarge", one_byte_too_large),
];

fn coinbase_script(draft: &mut Draft, script: Vec<u8>) -> bool {
    draft.block.transactions[0].inputs[0].script_sig = Script::from(script);
    true
}

/// CVE-2012-2459: three transactions commit to the same root as four, the last one doubled.
fn doubled_tail(draft: &mut Draft, bench: &mut Bench<'_>) -> bool {
    let Some(coin) = bench.left.pop() else {
        return false;
    };
    let third = bench.forge.pay(&Payment::plain(&[coin], 1, 0)).0;
    draft.block.transactions.push(third.clone());
    draft.block.transactions.push(third);
    true
}

/// A script of 4 bytes and an output that anybody may spend: 60 bytes are the frame.
fn sixty_four_bytes(draft: &mut Draft, bench: &mut Bench<'_>) -> bool {
    let mut script = height_push(bench.height());
    script.resize(4, 7);
    draft.block.transactions[0].outputs = vec![TxOut {
        value: UncheckedAmount(0),
        script_pubkey: Script::default(),
    }];
    coinbase_script(draft, script)
}

fn too_many_sigops(draft: &mut Draft, bench: &mut Bench<'_>) -> bool {
    let others = draft.block.transactions[1].outputs.len();
    let output = bench.forge.output(3, 0);
    draft.block.transactions[0].outputs = vec![output; 20_001 - others];
    true
}

/// Inputs that spend nothing fill the block: its size is looked at first. (A block of that size in which all else is right is a
/// test of its own.)
fn one_byte_too_large(draft: &mut Draft, _: &mut Bench<'_>) -> bool {
    use quarry::primitives::{Encode, Txid};
    let input = |index: u32, script_len: usize| TxIn {
        previous_output: OutPoint {
            txid: Txid::from_bytes([7; 32]),
            vout: index,
        },
        script_sig: Script::from(vec![0; script_len]),
        sequence: FINAL,
    };
    let mut filler: Transaction = draft.block.transactions[1].clone();
    filler.inputs = (0..10).map(|index| input(index, 99_000)).collect();
    draft.block.transactions.push(filler);
    let missing = 1_000_001 - draft.block.encoded_len();
    let last = draft.block.transactions.last_mut().expect("just pushed");
    // All these lengths take a CompactSize of the same width.
    last.inputs[9].script_sig = Script::from(vec![0; 99_000 + missing]);
    draft.block.encoded_len() == 1_000_001
}
