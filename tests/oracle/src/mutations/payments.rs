//! Faults of a payment: its form, its money, its locks, the coins that it spends.

use quarry::primitives::{OutPoint, Script, Txid};

use super::{Bench, Core, Draft, Mutation, connected, received};
use crate::forge::{FINAL, Payment};
use crate::view::MATURITY;

/// All the money there can be.
const MAX_MONEY: u64 = 2_100_000_000_000_000;

/// All of them.
pub const ALL: &[Mutation] = &[
    received(
        "version 3",
        "TransactionVersion",
        Core::Takes,
        |draft, bench| version(draft, bench, 3),
    ),
    received(
        "version 0",
        "TransactionVersion",
        Core::Takes,
        |draft, bench| version(draft, bench, 0),
    ),
    received(
        "version -1",
        "TransactionVersion",
        Core::Takes,
        |draft, bench| version(draft, bench, -1),
    ),
    received("no outputs", "NoOutputs", Core::Same, |draft, bench| {
        bench.repay(draft, |payment| payment.outputs.clear());
        true
    }),
    received(
        "an output above the supply",
        "OutputValue",
        Core::Same,
        |draft, bench| {
            bench.repay(draft, |payment| payment.outputs[0].1 = MAX_MONEY + 1);
            true
        },
    ),
    received(
        "a negative output",
        "OutputValue",
        Core::Refuses("bad-txns-vout-negative"),
        |draft, bench| {
            bench.repay(draft, |payment| payment.outputs[0].1 = u64::MAX);
            true
        },
    ),
    received(
        "outputs that add up to more than the supply",
        "OutputSum",
        Core::Same,
        |draft, bench| {
            bench.repay(draft, |payment| {
                payment.outputs = vec![(0, MAX_MONEY), (1, 1)]
            });
            true
        },
    ),
    received(
        "an output to a script hash",
        "OutputScript",
        Core::Takes,
        |draft, bench| {
            let script = [&[0xa9, 20][..], &[5; 20], &[0x87]].concat();
            output_script(draft, bench, script)
        },
    ),
    received(
        "an output to a bare key",
        "OutputScript",
        Core::Takes,
        |draft, bench| {
            let key = bench.forge.keys[1].public.serialize();
            output_script(draft, bench, [&[33][..], &key, &[0xac]].concat())
        },
    ),
    received(
        "an output that carries data",
        "OutputScript",
        Core::Takes,
        |draft, bench| output_script(draft, bench, vec![0x6a, 3, 1, 2, 3]),
    ),
    received(
        "one coin twice",
        "DuplicateInput",
        Core::Same,
        |draft, bench| {
            let coin = bench.spent[0];
            bench.repay(draft, |payment| payment.inputs.push((coin, FINAL)));
            true
        },
    ),
    received(
        "a null reference among the inputs",
        "NullInput",
        Core::Same,
        |draft, bench| {
            let mut null = bench.spent[0];
            null.outpoint = OutPoint::NULL;
            bench.repay(draft, |payment| payment.inputs.push((null, FINAL)));
            true
        },
    ),
    received(
        "the lock height is the block's",
        "NotFinal",
        Core::Same,
        |draft, bench| {
            let height = bench.height();
            bench.repay_locked(draft, height, 0xffff_fffe);
            true
        },
    ),
    received(
        "the lock time is the median",
        "NotFinal",
        Core::Same,
        |draft, bench| {
            let median = bench.view.median();
            bench.repay_locked(draft, median, 0xffff_fffe);
            true
        },
    ),
    received(
        "the coinbase is not final",
        "NotFinal",
        Core::Same,
        |draft, bench| {
            draft.block.transactions[0].lock_time = bench.height();
            draft.block.transactions[0].inputs[0].sequence = 0;
            true
        },
    ),
    connected(
        "a relative lock of one block too many",
        "SequenceLock",
        Core::Refuses("bad-txns-nonfinal"),
        |draft, bench| {
            let lock = bench.height() - bench.spent[0].height + 1;
            bench.repay_locked(draft, 0, lock);
            true
        },
    ),
    connected(
        "a relative lock of one unit of time too many",
        "SequenceLock",
        Core::Refuses("bad-txns-nonfinal"),
        |draft, bench| {
            let lock = (bench.view.median() - bench.spent[0].median_before) / 512 + 1;
            if lock > 0xffff {
                return false;
            }
            bench.repay_locked(draft, 0, lock | 1 << 22);
            true
        },
    ),
    connected(
        "a coin that never was",
        "MissingCoin",
        Core::Same,
        |draft, bench| {
            bench.spent[0].outpoint.txid = Txid::from_bytes([9; 32]);
            bench.repay(draft, |_| {});
            true
        },
    ),
    connected(
        "an output that the transaction does not have",
        "MissingCoin",
        Core::Same,
        |draft, bench| {
            bench.spent[0].outpoint.vout += 1000;
            bench.repay(draft, |_| {});
            true
        },
    ),
    connected(
        "a coin spent twice in the block",
        "MissingCoin",
        Core::Same,
        |draft, bench| {
            let again = Payment::plain(&bench.spent, 2, 7);
            let again = bench.forge.pay(&again).0;
            draft.block.transactions.push(again);
            true
        },
    ),
    connected(
        "a coin of a later transaction",
        "MissingCoin",
        Core::Same,
        |draft, bench| {
            let Some(coin) = bench.left.pop() else {
                return false;
            };
            let (parent, _) = bench.forge.pay(&Payment::plain(&[coin], 1, 0));
            let mut made = coin;
            made.outpoint = OutPoint {
                txid: parent.txid(),
                vout: 0,
            };
            made.key = 1;
            let (child, _) = bench.forge.pay(&Payment::plain(&[made], 2, 0));
            draft.block.transactions.extend([child, parent]);
            true
        },
    ),
    connected(
        "a coinbase one block too young",
        "ImmatureCoinbase",
        Core::Same,
        |draft, bench| {
            let young = bench.view.height + 2 - MATURITY;
            let mut coins = bench.view.coins.iter();
            let Some(coin) = coins.find(|coin| coin.coinbase && coin.height == young) else {
                return false;
            };
            bench.spent = vec![*coin];
            bench.repay(draft, |_| {});
            true
        },
    ),
    connected(
        "more out than in",
        "InputsBelowOutputs",
        Core::Same,
        |draft, bench| {
            bench.repay(draft, |payment| payment.outputs[0].1 += 1);
            true
        },
    ),
];

fn version(draft: &mut Draft, bench: &mut Bench<'_>, version: i32) -> bool {
    bench.repay(draft, |payment| payment.version = version);
    true
}

fn output_script(draft: &mut Draft, bench: &mut Bench<'_>, script: Vec<u8>) -> bool {
    let tx = &mut draft.block.transactions[1];
    tx.outputs[0].script_pubkey = Script::from(script);
    bench.forge.sign(tx, &bench.spent);
    true
}
