//! Bad blocks that are on record elsewhere, row by row, judged by engine, kernel and model alike.

use quarry::consensus::height_push;
use quarry::primitives::{Block, BlockHash, Decode, Encode, OutPoint, Script};
use quarry_oracle::forge::{FINAL, Payment};
use quarry_oracle::generator::{Generator, Shape};
use quarry_oracle::mutations::{self, Core, subsidy};
use quarry_oracle::trial::Verdict;
use quarry_oracle::view::{MATURITY, Owned};

fn accepted(chain: &mut Generator, raw: &[u8]) {
    let verdict = chain
        .submit(raw)
        .unwrap_or_else(|divergence| panic!("{divergence}"));
    assert_eq!(verdict, Verdict::Accepted);
}

fn refused(chain: &mut Generator, raw: &[u8], rule: &str) {
    let verdict = chain
        .submit(raw)
        .unwrap_or_else(|divergence| panic!("{divergence}"));
    assert_eq!(verdict.rule(), Some(rule), "{verdict:?}");
}

/// Tries every fault of these rules.
fn faults(chain: &mut Generator, rules: &[&str]) {
    for fault in mutations::all()
        .into_iter()
        .filter(|fault| rules.contains(&fault.rule))
    {
        fault
            .try_on(chain)
            .unwrap_or_else(|divergence| panic!("{divergence}"));
        if fault.core == Core::Takes {
            chain.grow(2).expect("two blocks lead the kernel back");
        }
    }
}

#[test]
fn b01_a_doubled_tail_says_nothing_against_the_honest_block() {
    let mut chain = Generator::ready(101);
    let honest = chain.block_with(|draft, bench| {
        let coin = bench.left.pop().expect("a coin");
        let third = bench.forge.pay(&Payment::plain(&[coin], 1, 0)).0;
        draft.block.transactions.push(third);
    });
    let mut doubled = Block::from_bytes(&honest).expect("a block");
    let last = doubled.transactions[2].clone();
    doubled.transactions.push(last);
    refused(&mut chain, &doubled.to_bytes(), "MerkleTreeMutated");
    let mut cut = Block::from_bytes(&honest).expect("a block");
    cut.transactions.pop();
    refused(&mut chain, &cut.to_bytes(), "MerkleRootMismatch");
    accepted(&mut chain, &honest);
}

// CVE-2018-17144 had two cases: the coin is older, or of the same block.
#[test]
fn b02_one_coin_twice_in_a_transaction() {
    let mut chain = Generator::ready(102);
    faults(&mut chain, &["DuplicateInput"]);
    let fresh = chain.block_with(|draft, bench| {
        let (parent, made) = payment_and_coin(bench, 1);
        let twice = Payment {
            inputs: vec![(made, FINAL), (made, FINAL)],
            ..Payment::plain(&[made], 1, 0)
        };
        let child = bench.forge.pay(&twice).0;
        draft.block.transactions.extend([parent, child]);
    });
    refused(&mut chain, &fresh, "DuplicateInput");
}

/// A payment of another coin, and the coin that it makes.
fn payment_and_coin(
    bench: &mut mutations::Bench<'_>,
    key: usize,
) -> (quarry::primitives::Transaction, Owned) {
    let coin = bench.left.pop().expect("a coin");
    let (tx, _) = bench.forge.pay(&Payment::plain(&[coin], key, 0));
    let made = Owned {
        outpoint: OutPoint {
            txid: tx.txid(),
            vout: 0,
        },
        key,
        height: bench.height(),
        coinbase: false,
        ..coin
    };
    (tx, made)
}

#[test]
fn b03_outputs_above_the_supply() {
    faults(&mut Generator::ready(103), &["OutputValue", "OutputSum"]);
}

#[test]
fn b04_a_coinbase_takes_subsidy_and_fees_and_no_more() {
    let mut chain = Generator::ready(104);
    for (extra, taken) in [(1_i64, false), (0, true), (-1, true), (-5000, true)] {
        let raw = chain.block_with(|draft, bench| {
            bench.repay(draft, |payment| payment.outputs[0].1 -= 700);
            let claim = (subsidy(bench.height()) + 700)
                .checked_add_signed(extra)
                .expect("small");
            draft.block.transactions[0].outputs[0].value.0 = claim;
        });
        if taken {
            accepted(&mut chain, &raw);
        } else {
            refused(&mut chain, &raw, "CoinbaseAmount");
        }
    }
}

#[test]
fn b05_the_subsidy_halves_where_it_must() {
    let mut chain = Generator::new(
        105,
        1,
        Shape {
            steps: 0,
            payments: 1,
            depth: 1,
        },
    );
    chain.grow(148).expect("the judges agree");
    for height in [149, 150, 299, 300] {
        let view = chain.current();
        chain
            .grow(height - 1 - view.height as usize)
            .expect("the judges agree");
        let claim = |more: u64| {
            move |draft: &mut mutations::Draft, bench: &mut mutations::Bench<'_>| {
                assert_eq!(bench.height() as usize, height);
                let halved = [5_000_000_000, 2_500_000_000, 1_250_000_000][height / 150];
                draft.block.transactions[0].outputs[0].value.0 = halved + more;
            }
        };
        let (greedy, honest) = (chain.block_with(claim(1)), chain.block_with(claim(0)));
        refused(&mut chain, &greedy, "CoinbaseAmount");
        accepted(&mut chain, &honest);
    }
}

#[test]
fn b06_one_coinbase_and_it_is_first() {
    faults(
        &mut Generator::ready(106),
        &["CoinbaseMissing", "CoinbaseNotFirst"],
    );
}

#[test]
fn b07_coinbase_scripts_have_2_to_100_bytes() {
    let mut chain = Generator::ready(107);
    faults(&mut chain, &["CoinbaseScriptLength"]);
    for length in [2, 100] {
        let raw = chain.block_with(|draft, bench| {
            let mut script = height_push(bench.height());
            assert!(script.len() <= 2, "below height 128 the push has 2 bytes");
            script.resize(length, 0);
            draft.block.transactions[0].inputs[0].script_sig = Script::from(script);
        });
        accepted(&mut chain, &raw);
    }
}

#[test]
fn b08_the_coinbase_begins_with_the_height() {
    faults(&mut Generator::ready(108), &["CoinbaseHeight"]);
}

#[test]
fn b09_a_coinbase_is_spent_after_100_blocks() {
    let mut chain = Generator::ready(109);
    faults(&mut chain, &["ImmatureCoinbase"]);
    let oldest_young = chain.current().height + 1 - MATURITY;
    let view = chain.current();
    let coin = view
        .coins
        .iter()
        .find(|coin| coin.coinbase && coin.height == oldest_young)
        .copied();
    let raw = chain.block_with(|draft, bench| {
        bench.spent = vec![coin.expect("the newest mature coinbase is unspent")];
        bench.repay(draft, |_| {});
    });
    accepted(&mut chain, &raw);
}

#[test]
fn b10_only_coins_that_exist_are_spent() {
    let mut chain = Generator::ready(110);
    faults(&mut chain, &["MissingCoin", "NullInput"]);
    let mut spent = None;
    let first = chain.block_with(|_, bench| spent = Some(bench.spent[0]));
    accepted(&mut chain, &first);
    let again = chain.block_with(|draft, bench| {
        bench.spent = vec![spent.expect("just spent")];
        bench.repay(draft, |payment| payment.outputs[0].1 -= 3);
    });
    refused(&mut chain, &again, "MissingCoin");
}

#[test]
fn b11_a_chain_inside_a_block_is_fine_in_order() {
    let mut chain = Generator::ready(111);
    let raw = chain.block_with(|draft, bench| {
        let (parent, mut coin) = payment_and_coin(bench, 1);
        draft.block.transactions.push(parent);
        for _ in 0..50 {
            let (child, _) = bench.forge.pay(&Payment::plain(&[coin], 2, 1));
            coin.outpoint.txid = child.txid();
            (coin.key, coin.value) = (2, coin.value - 1);
            draft.block.transactions.push(child);
        }
        let fees = 50;
        draft.block.transactions[0].outputs[0].value.0 = subsidy(bench.height()) + fees;
    });
    accepted(&mut chain, &raw);
    chain.trial.compare_all().expect("the judges agree");
}

// base ── a (makes a coin) ── tip
//    └─── b ── c (spends the coin of a): c never connects
#[test]
fn b12_a_coin_of_another_branch_does_not_exist() {
    let mut chain = Generator::ready(112);
    let base = chain.current();
    let mut made = None;
    let a = chain.block_with(|draft, bench| {
        let (tx, coin) = payment_and_coin(bench, 3);
        draft.block.transactions.push(tx);
        made = Some(coin);
    });
    accepted(&mut chain, &a);
    let b = chain.block_after(&base, |_, _| {});
    accepted(&mut chain, &b);
    let beside = chain.view_at(Block::from_bytes(&b).expect("a block").hash());
    let c = chain.block_after(&beside, |draft, bench| {
        bench.spent = vec![made.expect("just made")];
        bench.repay(draft, |_| {});
    });
    refused(&mut chain, &c, "MissingCoin");
    assert_eq!(
        chain.trial.model.tip(),
        Block::from_bytes(&a).expect("a block").hash().to_bytes()
    );
}

// All signatures are real: with one byte less the block is valid.
#[test]
fn b13_a_block_has_at_most_1000000_bytes() {
    let mut chain = Generator::ready(113);
    let coins = many_coins(&mut chain, 2_400);
    let too_large = chain.block_with(|draft, bench| fill(draft, bench, &coins, 1_000_001));
    assert_eq!(too_large.len(), 1_000_001);
    refused(&mut chain, &too_large, "BlockTooLarge");
    let full = chain.block_with(|draft, bench| fill(draft, bench, &coins, 1_000_000));
    assert_eq!(full.len(), 1_000_000);
    accepted(&mut chain, &full);
    chain.trial.compare_all().expect("the judges agree");
}

/// That many coins of key 0, made in one block.
fn many_coins(chain: &mut Generator, count: u32) -> Vec<Owned> {
    let mut coins = Vec::new();
    let raw = chain.block_with(|draft, bench| {
        let largest = bench
            .left
            .iter()
            .chain(&bench.spent)
            .max_by_key(|coin| coin.value)
            .copied();
        bench.spent = largest.into_iter().collect();
        let each = bench.spent[0].value / u64::from(count);
        bench.repay(draft, |payment| {
            payment.outputs = vec![(0, each); count as usize]
        });
        let txid = draft.block.transactions[1].txid();
        coins = (0..count)
            .map(|vout| Owned {
                outpoint: OutPoint { txid, vout },
                value: each,
                key: 0,
                height: bench.height(),
                coinbase: false,
                median_before: bench.view.median(),
            })
            .collect();
    });
    accepted(chain, &raw);
    coins
}

/// Fills a block to the byte: payments of 100 inputs, outputs in the first, and a coinbase script that makes up the rest.
fn fill(
    draft: &mut mutations::Draft,
    bench: &mut mutations::Bench<'_>,
    coins: &[Owned],
    size: usize,
) {
    for part in coins.chunks(100) {
        // 34 bytes an output, about 148 an input; the outputs stay below the limit of signature operations.
        let outputs = vec![(1, 1); 780];
        let inputs = part.iter().map(|coin| (*coin, FINAL)).collect();
        let payment = Payment {
            version: 2,
            lock_time: 0,
            inputs,
            outputs,
        };
        let (tx, _) = bench.forge.pay(&payment);
        if draft.block.encoded_len() + tx.encoded_len() > size - 200 {
            break;
        }
        draft.block.transactions.push(tx);
    }
    while size - draft.block.encoded_len() > 60 {
        let output = bench.forge.output(4, 0);
        let room = (size - draft.block.encoded_len() - 26) / 34;
        draft.block.transactions[0]
            .outputs
            .extend(vec![output; room.max(1)]);
    }
    let rest = size - draft.block.encoded_len();
    let coinbase = &mut draft.block.transactions[0].inputs[0].script_sig;
    let script = [coinbase.as_bytes(), &vec![0; rest]].concat();
    *coinbase = Script::from(script);
    assert_eq!(draft.block.encoded_len(), size);
}

#[test]
fn b14_a_block_has_at_most_20000_signature_operations() {
    let mut chain = Generator::ready(114);
    faults(&mut chain, &["TooManySigops"]);
    let full = chain.block_with(|draft, bench| {
        let output = bench.forge.output(3, 0);
        draft.block.transactions[0].outputs = vec![output; 20_000 - 1];
    });
    accepted(&mut chain, &full);
}

// BIP113: a lock between the median time and the block's own time has not passed.
#[test]
fn b15_lock_times_are_compared_with_the_median() {
    let mut chain = Generator::ready(115);
    faults(&mut chain, &["NotFinal"]);
    let lock = |after: i64| {
        move |draft: &mut mutations::Draft, bench: &mut mutations::Bench<'_>| {
            let median = i64::from(bench.view.median());
            let time = u32::try_from(median + after).expect("a time");
            draft.block.header.time = bench.view.median() + 600;
            bench.repay_locked(draft, time, FINAL - 1);
        }
    };
    let (early, exact) = (chain.block_with(lock(300)), chain.block_with(lock(0)));
    refused(&mut chain, &early, "NotFinal");
    refused(&mut chain, &exact, "NotFinal");
    let passed = chain.block_with(lock(-1));
    accepted(&mut chain, &passed);
}

#[test]
fn b16_relative_locks_bind_version_2_and_not_version_1() {
    let mut chain = Generator::ready(116);
    faults(&mut chain, &["SequenceLock"]);
    let locked = |version: i32| {
        move |draft: &mut mutations::Draft, bench: &mut mutations::Bench<'_>| {
            let lock = bench.height() - bench.spent[0].height + 1;
            bench.repay(draft, |payment| {
                payment.version = version;
                payment.inputs[0].1 = lock;
            });
        }
    };
    // Read without a sign, -1 is the highest version: Bitcoin Core sees the lock, we refuse the version.
    let highest = chain.block_with(locked(-1));
    refused(&mut chain, &highest, "TransactionVersion");
    let one = chain.block_with(locked(1));
    accepted(&mut chain, &one);
}

// base ── a ── b            the active chain
//    └─── c ── d ── e       d, then e, is invalid: the old tip comes back
#[test]
fn b19_a_heavier_branch_with_an_invalid_block_leaves_the_old_tip() {
    for bad in [1, 2] {
        let mut chain = Generator::ready(119);
        let base = chain.current();
        chain.grow(2).expect("the judges agree");
        let (tip, stats) = (chain.trial.model.tip(), digest(&chain));
        let mut parent = base;
        for place in 0..3 {
            let raw = chain.block_after(&parent, |draft, bench| {
                if place == bad {
                    draft.block.transactions[0].outputs[0].value.0 = subsidy(bench.height()) + 1;
                }
            });
            parent = chain.view_at(Block::from_bytes(&raw).expect("a block").hash());
            let verdict = chain
                .submit(&raw)
                .unwrap_or_else(|divergence| panic!("{divergence}"));
            assert_eq!(verdict == Verdict::Accepted, place < 2, "{verdict:?}");
        }
        assert_eq!(chain.trial.model.tip(), tip);
        assert_eq!(digest(&chain), stats);
        chain
            .trial
            .compare_all()
            .expect("the old chain is back whole");
    }
}

/// The stats of the engine's coins.
fn digest(chain: &Generator) -> quarry::primitives::CoinStats {
    let reader = chain.trial.engine.reader();
    reader.coin_stats().expect("the disk works")
}

#[test]
fn b20_an_invalid_block_and_its_children_stay_out() {
    let mut chain = Generator::ready(120);
    let bad = chain.block_with(|draft, bench| {
        draft.block.transactions[0].outputs[0].value.0 = subsidy(bench.height()) + 1;
    });
    refused(&mut chain, &bad, "CoinbaseAmount");
    refused(&mut chain, &bad, "KnownInvalid");
    let view = chain.view_at(Block::from_bytes(&bad).expect("a block").hash());
    let child = chain.block_after(&view, |_, _| {});
    refused(&mut chain, &child, "InvalidParent");
}

// Of two blocks with equal work the first wins whose body came first, also where both wait for their parent's.
#[test]
fn b22_of_equal_branches_the_first_received_wins() {
    for headers_first in [false, true] {
        for swapped in [false, true] {
            let mut chain = Generator::ready(122);
            let base = chain.current();
            let parent = chain.block_after(&base, |_, _| {});
            let view = chain.view_at(Block::from_bytes(&parent).expect("a block").hash());
            let mut twins = [
                chain.block_after(&view, |_, _| {}),
                chain.block_after(&view, |_, _| {}),
            ];
            if headers_first {
                for raw in [&parent, &twins[0], &twins[1]] {
                    chain
                        .trial
                        .header(raw[..80].to_vec())
                        .expect("the judges agree");
                }
            } else {
                accepted(&mut chain, &parent);
            }
            if swapped {
                twins.swap(0, 1);
            }
            accepted(&mut chain, &twins[0]);
            accepted(&mut chain, &twins[1]);
            if headers_first {
                accepted(&mut chain, &parent);
            }
            let first = Block::from_bytes(&twins[0]).expect("a block").hash();
            assert_eq!(BlockHash::from_bytes(chain.trial.model.tip()), first);
            chain.trial.reopen().expect("a restart changes nothing");
        }
    }
}

#[test]
fn b24_bytes_that_are_not_exactly_a_block() {
    let mut chain = Generator::ready(124);
    let raw = chain.block_with(|_, _| {});
    for length in 0..raw.len() {
        let verdict = chain
            .submit(&raw[..length])
            .unwrap_or_else(|error| panic!("{length}: {error}"));
        assert_eq!(verdict, Verdict::Undecodable, "{length} bytes");
    }
    // The count of transactions (2) in longer forms.
    for count in [
        &[0xfd, 2, 0][..],
        &[0xfe, 2, 0, 0, 0],
        &[0xff, 2, 0, 0, 0, 0, 0, 0, 0],
    ] {
        let long = [&raw[..80], count, &raw[81..]].concat();
        assert_eq!(
            chain.submit(&long).expect("the judges agree"),
            Verdict::Undecodable
        );
    }
    // The kernel's interface ignores what follows a block, so it is not asked; Core's peers and RPC refuse it as we do.
    let trailing = [&raw[..], &[0]].concat();
    assert!(matches!(
        chain.trial.engine.block(&trailing),
        quarry_oracle::engine::Answer::Undecodable(_)
    ));
    assert!(quarry_oracle::model::bytes::block(&trailing).is_none());
    accepted(&mut chain, &raw);
}

// H1 is in the faults of `TargetInvalid`, `TargetAboveLimit`, `HighHash` and `WrongBits`.
#[test]
fn h01_work_and_target() {
    faults(
        &mut Generator::ready(201),
        &["TargetInvalid", "TargetAboveLimit", "HighHash", "WrongBits"],
    );
}

#[test]
fn h02_a_block_is_later_than_the_median() {
    let mut chain = Generator::ready(202);
    faults(&mut chain, &["TimeTooOld"]);
    let next = chain.block_with(|draft, bench| draft.block.header.time = bench.view.median() + 1);
    accepted(&mut chain, &next);
}

// The clock of both is the computer's: a margin of a minute keeps the test from racing it.
#[test]
fn h03_a_block_is_at_most_two_hours_ahead() {
    let mut chain = Generator::ready(203);
    let now = u32::try_from(quarry::primitives::unix_now()).expect("before 2106");
    let at = |time: u32| {
        move |draft: &mut mutations::Draft, _: &mut mutations::Bench<'_>| {
            draft.block.header.time = time
        }
    };
    let (early, fine) = (
        chain.block_with(at(now + 7_260)),
        chain.block_with(at(now + 7_140)),
    );
    refused(&mut chain, &early, "TimeTooNew");
    // Refused for now and not for ever: asked again, the answer is the same and no other.
    refused(&mut chain, &early, "TimeTooNew");
    accepted(&mut chain, &fine);
}

#[test]
fn b18_a_high_s_is_our_restriction() {
    let fault = mutations::all()
        .into_iter()
        .find(|fault| fault.name == "a high S");
    let mut chain = Generator::ready(118);
    fault
        .expect("the table has it")
        .try_on(&mut chain)
        .expect("we refuse it, the kernel takes it");
    chain.grow(2).expect("two blocks lead the kernel back");
    let next = chain.block_with(|_, _| {});
    accepted(&mut chain, &next);
}
