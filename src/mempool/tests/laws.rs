//! Laws that hold for any sequence of arrivals, blocks and reorganisations.

use proptest::prelude::*;

use super::model::{COIN_VALUE, Model, first_coin, output, payment};
use crate::mempool::{Policy, RejectError};
use crate::primitives::{OutPoint, Transaction};

/// Coins that the chain has at the start.
const COINS: u8 = 12;

#[derive(Debug, Clone)]
enum Step {
    /// A transaction that spends some of the outputs known so far.
    Arrive {
        sources: Vec<usize>,
        outputs: u64,
        fee: u64,
    },
    /// A block of the best of the pool, this many.
    Mine(usize),
    /// A block with a transaction that nobody has seen, spending one of the chain's coins.
    Surprise(usize),
    /// A reorganisation: so many blocks go, so many others come.
    Reorg(usize, usize),
    /// Time passes, in hours.
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (prop::collection::vec(any::<usize>(), 1..4), 1..4_u64, 0..5000_u64)
            .prop_map(|(sources, outputs, fee)| Step::Arrive { sources, outputs, fee }),
        2 => (0..6_usize).prop_map(Step::Mine),
        1 => any::<usize>().prop_map(Step::Surprise),
        1 => (1..4_usize, 0..4_usize).prop_map(|(down, up)| Step::Reorg(down, up)),
        1 => (0..200_u64).prop_map(Step::Wait),
    ]
}

/// Every output that a new transaction may try to spend: the first coins, those of the chain now, and those of the pool.
fn known(model: &Model) -> Vec<(OutPoint, u64)> {
    let mut known: Vec<(OutPoint, u64)> = (0..COINS)
        .map(|number| (first_coin(number), COIN_VALUE))
        .collect();
    known.extend(
        model
            .coins
            .iter()
            .map(|(outpoint, coin)| (*outpoint, coin.value.units())),
    );
    for (_, tx) in model.pool.transactions() {
        let outputs = (0..).zip(&tx.outputs);
        known.extend(outputs.map(|(vout, made)| (output(&tx, vout), made.value.0)));
    }
    known.sort();
    known.dedup();
    known
}

fn arrival(model: &Model, sources: &[usize], outputs: u64, fee: u64) -> Transaction {
    let known = known(model);
    let mut chosen: Vec<(OutPoint, u64)> = sources
        .iter()
        .map(|source| known[source % known.len()])
        .collect();
    chosen.sort();
    chosen.dedup();
    let value: u64 = chosen.iter().map(|(_, value)| value).sum();
    let each = value.saturating_sub(fee) / outputs;
    let inputs: Vec<OutPoint> = chosen.iter().map(|(outpoint, _)| *outpoint).collect();
    payment(
        &inputs,
        &vec![each.max(1); usize::try_from(outputs).unwrap()],
    )
}

fn take(model: &mut Model, step: &Step) {
    match step {
        Step::Arrive {
            sources,
            outputs,
            fee,
        } => {
            let tx = arrival(model, sources, *outputs, *fee);
            let before = model.ids();
            let was_full = model.pool.usage > model.pool.policy.max_usage / 2;
            match model.submit(&tx) {
                Ok(()) => assert!(model.ids().contains(&tx.txid())),
                Err(RejectError::Full) => assert!(was_full && !model.ids().contains(&tx.txid())),
                Err(_) => assert_eq!(model.ids(), before, "a refusal changes nothing"),
            }
        }
        Step::Mine(count) => mine(model, *count),
        Step::Surprise(which) => surprise(model, *which),
        Step::Reorg(down, up) => {
            for _ in 0..*down {
                model.disconnect();
            }
            for which in 0..*up {
                surprise(model, which * 7);
            }
            model.settle();
        }
        Step::Wait(hours) => {
            model.now += hours * 3600;
            let now = model.now;
            model.pool.expire(now);
        }
    }
}

fn mine(model: &mut Model, count: usize) {
    let template = model.pool.template(u64::MAX, u64::MAX).transactions;
    let chosen = template.into_iter().take(count).map(|tx| (*tx.tx).clone());
    model.connect(chosen.collect());
}

fn surprise(model: &mut Model, which: usize) {
    let mut coins: Vec<OutPoint> = model.coins.keys().copied().collect();
    coins.sort();
    let coin = coins[which % coins.len()];
    let value = model.coins[&coin].value.units();
    model.connect(vec![payment(&[coin], &[value])]);
}

fn small() -> Policy {
    Policy {
        max_usage: 12_000,
        max_ancestors: 5,
        ..Policy::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn invariants_hold_after_every_step(steps in prop::collection::vec(step(), 1..60), limited: bool) {
        let mut model = Model::new(if limited { small() } else { Policy::default() }, COINS);
        for step in &steps {
            take(&mut model, step);
            model.check();
        }
    }

    // Independent transactions with different fee rates: neither the set nor the block depends on who came first.
    #[test]
    fn the_order_of_arrival_does_not_matter(order in Just((0..COINS).collect::<Vec<_>>()).prop_shuffle()) {
        let transactions: Vec<Transaction> = (0..COINS)
            .map(|number| payment(&[first_coin(number)], &[COIN_VALUE - 100 * u64::from(number)]))
            .collect();
        let mut model = Model::new(Policy::default(), COINS);
        for number in order {
            model.submit(&transactions[usize::from(number)]).unwrap();
        }
        let best_first: Vec<_> = transactions.iter().rev().map(Transaction::txid).collect();
        prop_assert_eq!(model.pool.ids().collect::<Vec<_>>(), best_first.clone());
        let template = model.pool.template(u64::MAX, u64::MAX).transactions;
        prop_assert_eq!(template.iter().map(|tx| tx.txid).collect::<Vec<_>>(), best_first);
    }

    // Disconnecting a block of the pool's own and settling gives back what was there before it.
    #[test]
    fn a_block_and_its_undoing_change_nothing(steps in prop::collection::vec(step(), 1..30), count in 1..8_usize) {
        let mut model = Model::new(Policy::default(), COINS);
        for step in &steps {
            take(&mut model, step);
        }
        let before = model.ids();
        mine(&mut model, count);
        model.check();
        prop_assert!(model.disconnect());
        model.settle();
        model.check();
        prop_assert_eq!(model.ids(), before);
    }
}
