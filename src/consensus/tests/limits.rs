//! Rows B17, B23, B24, B25 and H9: sums, sizes, costs and the ends of number ranges.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;

use super::*;
use crate::consensus::{
    CheckedBlock, ConnectContext, ParentContext, RuleError, Verdict, check_block_in_isolation,
    check_block_in_parent_context, check_header_in_parent_context, connect_block, height_push,
    is_final, required_bits,
};
use crate::primitives::{Decode, Encode, UncheckedAmount, UtxoView, Work};

/// Coins that count how often they are asked for.
#[derive(Default)]
struct CountingView {
    coins: HashMap<OutPoint, Coin>,
    asked: Cell<usize>,
}

impl UtxoView for CountingView {
    fn coin(&self, outpoint: &OutPoint) -> Option<Coin> {
        self.asked.set(self.asked.get() + 1);
        self.coins.get(outpoint).copied()
    }
}

const CONTEXT: ConnectContext<'_> = ConnectContext {
    height: 1,
    median_time_past: 0,
    median_time_at: &|_| 0,
};

fn connect(view: &CountingView, block: Block) -> Result<usize, RuleError> {
    let spec = ChainSpec::regtest();
    let hash = block.hash();
    let block = CheckedBlock::trusted(Arc::new(block), hash);
    let effect = connect_block(&spec, &block, &CONTEXT, view, &|_| false)?;
    Ok(effect.script_checks.len())
}

fn view(coins: &[(OutPoint, Amount)]) -> CountingView {
    CountingView {
        coins: coins
            .iter()
            .map(|(at, value)| (*at, coin(*value)))
            .collect(),
        asked: Cell::default(),
    }
}

/// BIP30: no two heights have pushes of which one begins with the other, so coinbases of two heights never are equal, and then no
/// two transactions of one chain are.
#[test]
fn b17_no_height_begins_like_another() {
    let heights = (0..70_000).chain([
        8_388_607,
        8_388_608,
        16_777_216,
        i32::MAX.unsigned_abs(),
        u32::MAX,
    ]);
    let mut pushes: Vec<Vec<u8>> = heights.map(height_push).collect();
    pushes.sort();
    for pair in pushes.windows(2) {
        assert!(!pair[1].starts_with(&pair[0]), "{pair:?}");
    }
}

/// B3: coins worth more than can exist cannot come to be, and would be noticed.
#[test]
fn b03_inputs_and_fees_stay_in_the_range_of_money() {
    let (one, two) = (outpoint(1), outpoint(2));
    let rich = view(&[(one, Amount::MAX), (two, Amount::MAX)]);
    let together = block(vec![payment(&[one, two], &[1])]);
    assert_eq!(connect(&rich, together), Err(RuleError::InputSum));
    let in_turn = block(vec![payment(&[one], &[1]), payment(&[two], &[1])]);
    assert_eq!(connect(&rich, in_turn), Err(RuleError::FeeSum));
    let with_subsidy = block(vec![payment(&[one], &[0])]);
    assert_eq!(connect(&rich, with_subsidy), Err(RuleError::FeeSum));
    let enough = 50 * crate::primitives::COIN;
    let within = block(vec![payment(&[one], &[enough])]);
    assert_eq!(connect(&rich, within), Ok(1));
}

/// B23: each input asks for its coin once, and each payment is one check: twice the payments cost twice as much.
#[test]
fn b23_the_work_of_a_block_is_linear_in_its_inputs() {
    let count = |payments: u8, inputs: u8| {
        let coins: Vec<OutPoint> = (0..payments * inputs).map(outpoint).collect();
        let ten = Amount::from_units(10).unwrap();
        let priced: Vec<_> = coins.iter().map(|at| (*at, ten)).collect();
        let payments: Vec<Transaction> = coins
            .chunks(usize::from(inputs))
            .map(|coins| payment(coins, &[10]))
            .collect();
        let small = view(&priced);
        let checks = connect(&small, block(payments)).unwrap();
        (small.asked.get(), checks)
    };
    for (payments, inputs) in [(10, 1), (20, 1), (40, 1), (1, 40), (2, 40), (4, 40)] {
        let expected = usize::from(payments) * usize::from(inputs);
        assert_eq!(count(payments, inputs), (expected, usize::from(payments)));
    }
    // In a chain of payments only the first coin is below the block.
    for len in [20, 40, 80] {
        let mut at = outpoint(1);
        let family: Vec<Transaction> = (0..len)
            .map(|_| {
                let tx = payment(&[at], &[10]);
                at = OutPoint {
                    txid: tx.txid(),
                    vout: 0,
                };
                tx
            })
            .collect();
        let view = view(&[(outpoint(1), Amount::from_units(10).unwrap())]);
        assert_eq!(connect(&view, block(family)), Ok(len));
        assert_eq!(view.asked.get(), 1);
    }
}

/// B24: one block has one encoding.
#[test]
fn b24_other_encodings_of_a_block_do_not_decode() {
    let bytes = block(vec![payment(&[outpoint(1)], &[5, 6])]).to_bytes();
    let decoded = Block::from_bytes(&bytes).unwrap();
    assert_eq!(decoded.to_bytes(), bytes);
    for len in 0..bytes.len() {
        assert!(Block::from_bytes(&bytes[..len]).is_err(), "cut at {len}");
    }
    for tail in [&[0][..], &[1, 2, 3], &bytes] {
        assert!(Block::from_bytes(&[&bytes, tail].concat()).is_err());
    }
    // The number of transactions, 2, in its three longer forms; as in every other count and length.
    for count in [
        &[0xfd, 2, 0][..],
        &[0xfe, 2, 0, 0, 0],
        &[0xff, 2, 0, 0, 0, 0, 0, 0, 0],
    ] {
        let longer = [&bytes[..80], count, &bytes[81..]].concat();
        assert!(Block::from_bytes(&longer).is_err(), "{count:?}");
    }
    // The marker of a transaction with witnesses (BIP144) is a list of no inputs here, and what follows does not fit.
    let with_marker = [&bytes[..85], &[0, 1], &bytes[85..]].concat();
    assert!(Block::from_bytes(&with_marker).is_err());
}

/// B25: a transaction that could be two nodes of the merkle tree; nothing is remembered against the header.
#[test]
fn b25_a_transaction_of_64_bytes_is_refused() {
    let mut short = payment(&[outpoint(1)], &[5]);
    short.inputs[0].script_sig = vec![0; 2].into();
    short.outputs[0].script_pubkey = vec![0; 2].into();
    assert_eq!(short.encoded_len(), 64);
    let checked = check_block_in_isolation(&ChainSpec::regtest(), Arc::new(block(vec![short])));
    let error = checked.unwrap_err();
    assert_eq!(error, RuleError::SixtyFourByteTransaction { index: 1 });
    assert_eq!(error.verdict(), Verdict::Mutated);
}

/// T1: a transaction as large as no block may be.
#[test]
fn t01_a_transaction_larger_than_a_block_is_refused() {
    let mut tx = payment(&[outpoint(1)], &[5]);
    tx.inputs[0].script_sig = vec![0; 1_000_000].into();
    let refused = crate::consensus::check_transaction_in_isolation(&ChainSpec::regtest(), &tx);
    assert!(matches!(
        refused,
        Err(RuleError::TransactionTooLarge {
            limit: 1_000_000,
            ..
        })
    ));
    tx.outputs[0].value = UncheckedAmount(u64::MAX);
    tx.inputs[0].script_sig = Script::default();
    let refused = crate::consensus::check_transaction_in_isolation(&ChainSpec::regtest(), &tx);
    assert!(matches!(
        refused,
        Err(RuleError::OutputValue { index: 0, .. })
    ));
}

/// H9: the ends of every range, in every rule that computes with them: a verdict, never an overflow.
#[test]
fn h09_the_ends_of_the_number_ranges() {
    let (dev, regtest) = (ChainSpec::dev(), ChainSpec::regtest());
    let ends = [0, 1, u32::MAX - 1, u32::MAX];
    for spec in [&dev, &regtest] {
        for latest in ends {
            for before in ends.into_iter().filter(|before| *before <= latest) {
                for time in ends {
                    let parent = ParentContext {
                        hash: crate::primitives::BlockHash::ZERO,
                        height: u32::MAX - 1,
                        latest_time: latest,
                        base: spec.pow_limit,
                        latest_time_before: Some(before),
                        median_time_past: latest,
                    };
                    let target = required_bits(spec, &parent, time).bits.to_target();
                    assert!(target.unwrap() <= spec.pow_limit_target());
                    let mut header = spec.genesis_block().header;
                    header.time = time;
                    for now in [0, u64::from(u32::MAX), u64::MAX] {
                        let verdict = check_header_in_parent_context(spec, &header, &parent, now);
                        assert!(verdict.is_err(), "its version is 1");
                    }
                }
            }
        }
        for height in ends {
            spec.subsidy_at(height);
            let mut tx = payment(&[outpoint(1)], &[5]);
            for lock_time in [0, 1, 499_999_999, 500_000_000, u32::MAX] {
                (tx.lock_time, tx.inputs[0].sequence) = (lock_time, 0);
                is_final(&tx, height, u32::MAX);
            }
            let body = block(Vec::new());
            let hash = body.hash();
            let body = CheckedBlock::trusted(Arc::new(body), hash);
            let verdict = check_block_in_parent_context(&body, height, u32::MAX);
            assert_eq!(verdict.is_ok(), height == 1);
        }
    }
    let most = Work::from_be_bytes([0xff; 32]);
    let least = regtest.pow_limit_target().work();
    assert_eq!(most.checked_add(least), None);
    assert_eq!(least.saturating_sub(most), Work::ZERO);
}
