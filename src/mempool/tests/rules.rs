//! Single cases of admission, eviction and selection, with the ids of the rows they cover.

use super::model::{COIN_VALUE, Model, NOW, first_coin, output, payment};
use crate::consensus::RuleError;
use crate::mempool::{Policy, RejectError};
use crate::primitives::{Amount, Coin, Encode, OutPoint, SEQUENCE_FINAL, Txid, UncheckedAmount};

fn model() -> Model {
    Model::new(Policy::default(), 40)
}

fn amount(units: u64) -> Amount {
    Amount::from_units(units).unwrap()
}

#[test]
fn t01_malformed_transactions_are_the_senders_fault() {
    let mut model = model();
    let no_inputs = payment(&[], &[1]);
    let no_outputs = payment(&[first_coin(0)], &[]);
    let mut negative = payment(&[first_coin(0)], &[1]);
    negative.outputs[0].value = UncheckedAmount(1 << 63);
    let too_much = payment(&[first_coin(0)], &[COIN_VALUE + 1]);
    let coinbase = payment(&[OutPoint::NULL], &[1]);
    for (tx, reason) in [
        (no_inputs, "bad-txns-vin-empty"),
        (no_outputs, "bad-txns-vout-empty"),
        (negative, "bad-txns-vout-toolarge"),
        (too_much, "bad-txns-in-belowout"),
        (coinbase, "bad-cb-length"),
    ] {
        let error = model.submit(&tx).unwrap_err();
        assert_eq!(error.reject_reason(), reason);
        assert!(error.is_senders_fault(), "{reason}");
    }
    model.check();
    assert!(model.pool.is_empty());
}

#[test]
fn t06_only_p2pkh_is_taken() {
    let mut model = model();
    let mut tx = payment(&[first_coin(0)], &[1]);
    tx.outputs[0].script_pubkey = vec![0x51].into();
    assert_eq!(
        model.submit(&tx),
        Err(RejectError::Rule(RuleError::OutputScript { index: 0 }))
    );
}

/// BIP125's rules 3 and 4, and that the rate must rise: the last version that paid enough stays.
#[test]
fn t07_a_replacement_pays_for_what_goes_and_for_itself() {
    let mut model = model();
    let paying = |fee: u64| payment(&[first_coin(0)], &[COIN_VALUE - fee]);
    let first = paying(1000);
    let size = first.encoded_len() as u64;
    model.submit(&first).unwrap();
    assert_eq!(model.submit(&first), Err(RejectError::AlreadyInMempool));
    for (fee, what) in [
        (0, "a lower fee"),
        (1001, "a higher rate, but less than the step"),
        (1000 + size - 1, "one unit below the step"),
    ] {
        let error = model.submit(&paying(fee)).unwrap_err();
        assert_eq!(error.reject_reason(), "insufficient fee", "{what}");
        assert!(!error.is_senders_fault());
        assert_eq!(model.ids(), [first.txid()].into());
    }
    let enough = paying(1000 + size);
    model.submit(&enough).unwrap();
    model.check();
    assert_eq!(model.ids(), [enough.txid()].into());
}

/// The new one pays more than its direct conflict by rate, but not more than all that would go.
///
/// ```text
/// a (1000) ── b (5000)
/// x (spends what a spends)
/// ```
#[test]
fn t07_the_fees_of_descendants_are_paid_for_too() {
    let mut model = model();
    let a = payment(&[first_coin(0)], &[COIN_VALUE - 1000]);
    let b = payment(&[output(&a, 0)], &[COIN_VALUE - 6000]);
    model.submit(&a).unwrap();
    model.submit(&b).unwrap();
    let poor = payment(&[first_coin(0)], &[COIN_VALUE - 6000]);
    assert!(matches!(
        model.submit(&poor),
        Err(RejectError::ReplacementFee { .. })
    ));
    let rich = payment(&[first_coin(0)], &[COIN_VALUE - 7000]);
    model.submit(&rich).unwrap();
    model.check();
    assert_eq!(model.ids(), [rich.txid()].into());
}

/// BIP125 rule 2, and that nothing replaces what it depends on.
#[test]
fn t07_a_replacement_depends_on_nothing_new() {
    let mut model = model();
    let a = payment(&[first_coin(0)], &[COIN_VALUE - 1000]);
    let other = payment(&[first_coin(1)], &[COIN_VALUE]);
    model.submit(&a).unwrap();
    model.submit(&other).unwrap();
    let on_other = payment(&[first_coin(0), output(&other, 0)], &[COIN_VALUE]);
    assert_eq!(
        model.submit(&on_other),
        Err(RejectError::NewUnconfirmed {
            parent: other.txid()
        })
    );
    let on_itself = payment(&[first_coin(0), output(&a, 0)], &[COIN_VALUE / 2]);
    assert_eq!(
        model.submit(&on_itself),
        Err(RejectError::SpendsReplaced { parent: a.txid() })
    );
    // What the old one depended on is nothing new.
    let child = payment(&[output(&other, 0)], &[COIN_VALUE - 1000]);
    model.submit(&child).unwrap();
    let better = payment(&[output(&other, 0)], &[COIN_VALUE - 2000]);
    model.submit(&better).unwrap();
    model.check();
    assert_eq!(model.ids(), [a.txid(), other.txid(), better.txid()].into());
}

/// BIP125 rule 5: 25 families of 5 are more than 100.
#[test]
fn t07_at_most_a_hundred_are_replaced() {
    let mut model = model();
    let mut coins = Vec::new();
    for number in 0..25 {
        let root = payment(&[first_coin(number)], &[COIN_VALUE / 4; 4]);
        model.submit(&root).unwrap();
        for vout in 0..4 {
            let child = payment(&[output(&root, vout)], &[COIN_VALUE / 4]);
            model.submit(&child).unwrap();
        }
        coins.push(first_coin(number));
    }
    assert_eq!(
        model.submit(&payment(&coins, &[1])),
        Err(RejectError::TooManyReplaced {
            found: 125,
            limit: 100
        })
    );
    let twenty = payment(&coins[..20], &[1]);
    model.submit(&twenty).unwrap();
    model.check();
    assert_eq!(model.pool.len(), 1 + 5 * 5);
}

#[test]
fn a_family_is_bounded_in_number_and_bytes() {
    let mut model = model();
    let root = payment(&[first_coin(0)], &[COIN_VALUE / 30; 30]);
    model.submit(&root).unwrap();
    for vout in 0..24 {
        let child = payment(&[output(&root, vout)], &[1000]);
        model.submit(&child).unwrap();
    }
    let one_more = payment(&[output(&root, 24)], &[1000]);
    assert_eq!(
        model.submit(&one_more),
        Err(RejectError::TooManyDescendants {
            ancestor: root.txid(),
            found: 26,
            limit: 25
        })
    );
    // One that takes another's place adds none.
    let instead = payment(&[output(&root, 3)], &[900]);
    model.submit(&instead).unwrap();
    model.check();

    let wide = |coin: OutPoint| {
        let mut tx = payment(&[coin], &[COIN_VALUE / 2]);
        tx.inputs[0].script_sig = vec![0; 60_000].into();
        tx
    };
    let first = wide(first_coin(1));
    model.submit(&first).unwrap();
    let error = model.submit(&wide(output(&first, 0))).unwrap_err();
    assert!(
        matches!(error, RejectError::PackageTooLarge { limit: 101_000, .. }),
        "{error:?}"
    );
}

#[test]
fn what_is_in_the_chain_or_misses_coins_is_told_apart() {
    let mut model = model();
    let parent = payment(&[first_coin(0)], &[COIN_VALUE]);
    let child = payment(&[output(&parent, 0)], &[COIN_VALUE]);
    assert_eq!(
        model.submit(&child),
        Err(RejectError::MissingInputs {
            outpoint: output(&parent, 0)
        })
    );
    let beyond = payment(&[output(&parent, 1)], &[1]);
    model.submit(&parent).unwrap();
    assert_eq!(
        model.submit(&beyond),
        Err(RejectError::MissingInputs {
            outpoint: output(&parent, 1)
        })
    );
    model.submit(&child).unwrap();
    model.connect(vec![parent.clone()]);
    model.check();
    assert_eq!(model.ids(), [child.txid()].into());
    assert_eq!(model.submit(&parent), Err(RejectError::AlreadyKnown));
}

/// A block confirms another spender of a coin: ours goes, with what depends on it.
///
/// ```text
/// pool:  a ── b ── c      d
/// block: x (spends what a spends)
/// ```
#[test]
fn t08_a_confirmed_conflict_takes_the_descendants_along() {
    let mut model = model();
    let a = payment(&[first_coin(0)], &[COIN_VALUE]);
    let b = payment(&[output(&a, 0)], &[COIN_VALUE]);
    let c = payment(&[output(&b, 0)], &[COIN_VALUE]);
    let d = payment(&[first_coin(1)], &[COIN_VALUE]);
    for tx in [&a, &b, &c, &d] {
        model.submit(tx).unwrap();
    }
    model.connect(vec![payment(&[first_coin(0)], &[1])]);
    model.check();
    assert_eq!(model.ids(), [d.txid()].into());
}

#[test]
fn t09_a_full_pool_drops_what_pays_least_and_asks_for_more() {
    let mut model = Model::new(
        Policy {
            max_usage: 10_000,
            ..Policy::default()
        },
        40,
    );
    let mut best = Vec::new();
    for number in 0..40 {
        let tx = payment(
            &[first_coin(number)],
            &[COIN_VALUE - 1000 * u64::from(number)],
        );
        model.submit(&tx).unwrap();
        best.push(tx.txid());
        model.check();
    }
    let kept = model.ids();
    assert!(
        kept.len() < 10
            && best
                .iter()
                .rev()
                .take(kept.len())
                .all(|txid| kept.contains(txid))
    );
    let info = model.pool.info(NOW);
    assert!(info.usage <= info.max_usage && info.min_fee_rate > 0);
    let poor = payment(&[first_coin(0)], &[COIN_VALUE - 1]);
    let error = model.submit(&poor).unwrap_err();
    assert!(matches!(error, RejectError::BelowFloor { .. }), "{error:?}");
    // The floor halves every twelve hours and goes.
    assert!(model.pool.info(NOW + 12 * 3600).min_fee_rate <= info.min_fee_rate / 2 + 1);
    assert_eq!(model.pool.info(NOW + 30 * 24 * 3600).min_fee_rate, 0);
}

// A parent that pays nothing is worth keeping for a child that pays well, and both are mined for it.
#[test]
fn a_child_pays_for_its_parent() {
    let mut model = Model::new(
        Policy {
            max_usage: 6000,
            ..Policy::default()
        },
        40,
    );
    let parent = payment(&[first_coin(0)], &[COIN_VALUE]);
    let child = payment(&[output(&parent, 0)], &[COIN_VALUE - 100_000]);
    model.submit(&parent).unwrap();
    model.submit(&child).unwrap();
    for number in 1..20 {
        // Refused or not does not matter here.
        let _ = model.submit(&payment(&[first_coin(number)], &[COIN_VALUE - 10_000]));
    }
    model.check();
    assert!(
        model
            .ids()
            .is_superset(&[parent.txid(), child.txid()].into())
    );
    let size = model.pool.entry(&child.txid()).unwrap().ancestors.size;
    let template = model.pool.template(size, 100).transactions;
    assert_eq!(
        template.iter().map(|tx| tx.txid).collect::<Vec<_>>(),
        [parent.txid(), child.txid()]
    );
}

#[test]
fn t10_a_long_chain_comes_back_from_a_reorganisation_whole() {
    let mut model = model();
    let mut chain = vec![payment(&[first_coin(0)], &[COIN_VALUE])];
    for _ in 0..60 {
        let last = chain.last().unwrap();
        chain.push(payment(&[output(last, 0)], &[COIN_VALUE]));
    }
    model.connect(chain[..30].to_vec());
    model.connect(chain[30..].to_vec());
    assert!(model.pool.is_empty());
    model.disconnect();
    model.disconnect();
    model.settle();
    model.check();
    assert_eq!(model.pool.len(), chain.len());
    let next = payment(&[output(chain.last().unwrap(), 0)], &[COIN_VALUE]);
    assert!(matches!(
        model.submit(&next),
        Err(RejectError::TooLongChain {
            found: 62,
            limit: 25
        })
    ));
}

/// A block may hold a chain of thousands of payments. What lies beyond the limit waits outside, so that letting a block back in takes
/// time in proportion to its size; nothing of it is lost.
#[test]
fn t10_a_very_long_chain_comes_back_part_by_part() {
    let mut model = model();
    let mut chain = vec![payment(&[first_coin(0)], &[COIN_VALUE])];
    for _ in 1..350 {
        let last = chain.last().unwrap();
        chain.push(payment(&[output(last, 0)], &[COIN_VALUE]));
    }
    model.connect(chain.clone());
    model.disconnect();
    model.settle();
    model.check();
    for part in chain.chunks(100) {
        let template = model.pool.template(u64::MAX, u64::MAX).transactions;
        let block: Vec<_> = template.iter().map(|tx| (*tx.tx).clone()).collect();
        assert_eq!(block, part);
        model.connect(block);
        model.readmit();
        model.check();
    }
    assert!(model.pool.is_empty() && !model.pool.has_more_to_return());
}

/// What waits outside does not come back once a block spends its coins otherwise.
#[test]
fn t10_what_waits_outside_is_judged_when_it_comes() {
    let mut model = model();
    let mut chain = vec![payment(&[first_coin(0)], &[COIN_VALUE])];
    for _ in 1..150 {
        let last = chain.last().unwrap();
        chain.push(payment(&[output(last, 0)], &[COIN_VALUE]));
    }
    model.connect(chain.clone());
    model.disconnect();
    model.settle();
    assert!(model.pool.has_more_to_return());
    model.connect(vec![payment(&[first_coin(0)], &[1])]);
    model.readmit();
    model.check();
    assert!(model.pool.is_empty() && !model.pool.has_more_to_return());
}

#[test]
fn t10_what_is_immature_or_not_final_after_a_reorganisation_goes() {
    let mut model = model();
    let reward = Coin {
        value: amount(COIN_VALUE),
        pubkey_hash: crate::primitives::PubkeyHash::ZERO,
        height: 3,
        is_coinbase: true,
    };
    // The tip is at 100, so the next block is at 101 and this coinbase 98 deep: two more blocks make it spendable.
    let coinbase = OutPoint {
        txid: Txid::from_bytes([0xcb; 32]),
        vout: 0,
    };
    model.coins.insert(coinbase, reward);
    let spend = payment(&[coinbase], &[COIN_VALUE]);
    let child = payment(&[output(&spend, 0)], &[COIN_VALUE]);
    let mut locked = payment(&[first_coin(1)], &[COIN_VALUE]);
    locked.lock_time = 102;
    locked.inputs[0].sequence = SEQUENCE_FINAL - 1;
    let error = model.submit(&spend).unwrap_err();
    assert_eq!(
        error.reject_reason(),
        "bad-txns-premature-spend-of-coinbase"
    );
    assert_eq!(
        model.submit(&locked),
        Err(RejectError::NotFinal { lock_time: 102 })
    );
    model.connect(Vec::new());
    model.connect(Vec::new());
    for tx in [&spend, &child, &locked] {
        model.submit(tx).unwrap();
    }
    model.disconnect();
    model.settle();
    model.check();
    assert!(model.pool.is_empty());
}

#[test]
fn t13_what_waits_too_long_goes() {
    let mut model = model();
    let parent = payment(&[first_coin(0)], &[COIN_VALUE]);
    model.submit(&parent).unwrap();
    model.now += 300 * 3600;
    let child = payment(&[output(&parent, 0)], &[COIN_VALUE]);
    let other = payment(&[first_coin(1)], &[COIN_VALUE]);
    model.submit(&child).unwrap();
    model.submit(&other).unwrap();
    model.pool.expire(model.now);
    assert_eq!(model.pool.len(), 3);
    model.pool.expire(NOW + 337 * 3600);
    model.check();
    assert_eq!(model.ids(), [other.txid()].into());
}

#[test]
fn t14_policy_names_its_limits() {
    let mut model = Model::new(
        Policy {
            min_relay_fee: 1000,
            ..Policy::default()
        },
        40,
    );
    let many = vec![300; 2501];
    let wide: Vec<OutPoint> = (0..40).map(first_coin).collect();
    let mut large = payment(&wide, &[1]);
    for input in &mut large.inputs {
        input.script_sig = vec![0; 2600].into();
    }
    for (tx, reason) in [
        (
            payment(&[first_coin(0)], &[COIN_VALUE]),
            "min relay fee not met",
        ),
        (payment(&[first_coin(0)], &[0]), "dust"),
        (payment(&[first_coin(0)], &many), "bad-txns-too-many-sigops"),
        (large, "tx-size"),
    ] {
        let error = model.submit(&tx).unwrap_err();
        assert_eq!(error.reject_reason(), reason);
        assert!(!error.is_senders_fault());
    }
    let paying = payment(&[first_coin(0)], &[COIN_VALUE - 85]);
    model.submit(&paying).unwrap();
    assert_eq!(model.pool.info(NOW).min_fee_rate, 1000);
}

#[test]
fn equal_rates_are_mined_in_the_order_of_arrival() {
    let mut model = model();
    let order: Vec<Txid> = (0..20)
        .map(|number| {
            let tx = payment(&[first_coin(number)], &[COIN_VALUE]);
            model.submit(&tx).unwrap();
            tx.txid()
        })
        .collect();
    let template = model.pool.template(u64::MAX, u64::MAX).transactions;
    assert_eq!(template.iter().map(|tx| tx.txid).collect::<Vec<_>>(), order);
}

#[test]
fn deltas_of_a_key_count_both_sides() {
    let mut model = model();
    let key = crate::primitives::PubkeyHash::ZERO;
    let tx = payment(&[first_coin(0)], &[COIN_VALUE - 10, 4]);
    model.submit(&tx).unwrap();
    let delta = model.pool.address_delta(&key);
    assert_eq!(
        (delta.received, delta.spent),
        (u128::from(COIN_VALUE) - 6, COIN_VALUE.into())
    );
    assert_eq!(delta.txids, [tx.txid()]);
    let other = crate::primitives::PubkeyHash::from_bytes([1; 20]);
    assert_eq!(model.pool.address_delta(&other), Default::default());
}
