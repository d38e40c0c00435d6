//! Block templates against the best that there is, found by trying every set.

use std::collections::HashMap;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use super::model::{COIN_VALUE, Model, first_coin, output, payment};
use crate::mempool::Policy;
use crate::primitives::{OutPoint, Txid};

/// Random mempools, and blocks of different sizes tried on each.
const POOLS: u64 = 250;
/// The largest of them: all its sets are tried.
const MOST: u64 = 16;

struct Dice(ChaCha8Rng);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0.next_u64() % limit
    }

    /// Small numbers as often as large ones.
    fn spread(&mut self, most: u64) -> u64 {
        let most = most.max(1);
        let scale = self.below(u64::from(most.ilog2()) + 1);
        self.below((2 << scale).min(most) + 1)
    }
}

/// A pool of related transactions of all sizes, fees and numbers of outputs. `dense` is how often an input is one of the pool's own
/// outputs, in parts of 100.
fn random_pool(dice: &mut Dice, dense: u64) -> Model {
    let policy = Policy {
        max_ancestors: MOST,
        max_descendants: MOST,
        ..Policy::default()
    };
    let mut model = Model::new(policy, 100);
    let mut coins: Vec<u8> = (0..100).collect();
    let mut free: Vec<(OutPoint, u64)> = Vec::new();
    for _ in 0..4 + dice.below(MOST - 3) {
        let (mut inputs, mut value) = (Vec::new(), 0);
        for _ in 0..1 + dice.below(3) {
            if !free.is_empty() && dice.below(100) < dense {
                let (outpoint, units) = free.swap_remove(dice.below(free.len() as u64) as usize);
                inputs.push(outpoint);
                value += units;
            } else {
                inputs.push(first_coin(coins.pop().unwrap()));
                value += COIN_VALUE;
            }
        }
        let fee = dice.spread(value / 4).min(value / 2);
        let outputs = 1 + dice.spread(30);
        let each = ((value - fee) / outputs).max(1);
        let mut tx = payment(&inputs, &vec![each; outputs as usize]);
        tx.inputs[0].script_sig = vec![0; dice.spread(4000) as usize].into();
        if model.submit(&tx).is_ok() {
            free.extend((0..outputs as u32).map(|vout| (output(&tx, vout), each)));
        }
    }
    model
}

/// The highest fees of blocks with room for so many bytes and signature operations, of all sets of transactions that have all they
/// need.
fn best_fees(model: &Model, rooms: &[(u64, u64)]) -> Vec<u64> {
    let mut entries = model.pool.entries();
    // Parents before children: what lacks a parent is found when it is added.
    entries.sort_by_key(|entry| entry.ancestors.count);
    let places: HashMap<Txid, usize> = (0..)
        .zip(&entries)
        .map(|(place, entry)| (entry.txid, place))
        .collect();
    let parents = entries.iter().map(|entry| {
        let depends = entry.depends.iter();
        depends.fold(0, |set, txid| set | 1 << places[txid])
    });
    let parents: Vec<u32> = parents.collect();
    let mut best = vec![0_u64; rooms.len()];
    let mut open = vec![(0, 0_u32, 0_u64, 0_u64, 0_u64)];
    while let Some((place, set, fee, bytes, sigops)) = open.pop() {
        let Some(entry) = entries.get(place) else {
            for (best, room) in best.iter_mut().zip(rooms) {
                if bytes <= room.0 && sigops <= room.1 {
                    *best = fee.max(*best);
                }
            }
            continue;
        };
        open.push((place + 1, set, fee, bytes, sigops));
        if parents[place] & !set == 0 {
            let more = (
                fee + entry.fee.units(),
                bytes + entry.size,
                sigops + entry.sigops,
            );
            open.push((place + 1, set | 1 << place, more.0, more.1, more.2));
        }
    }
    best
}

/// Pools of up to 16 transactions, hardly related or all of one family; blocks from a tenth to nine tenths of the pool, tight in bytes,
/// in signature operations, or both.
#[test]
fn templates_pay_as_much_as_the_best_set_of_small_mempools() {
    let mut worst = (1.0_f64, 0);
    for seed in 0..POOLS {
        let mut dice = Dice(ChaCha8Rng::seed_from_u64(seed));
        let dense = dice.below(95);
        let mut model = random_pool(&mut dice, dense);
        model.check();
        let (bytes, sigops) = (model.pool.total.size, model.pool.total.sigops);
        let parts = [(2, 10), (5, 10), (8, 10), (10, 4), (4, 5), (6, 6)];
        let rooms =
            parts.map(|(byte_part, sigop_part)| (bytes * byte_part / 10, sigops * sigop_part / 10));
        for ((bytes, sigops), best) in rooms.into_iter().zip(best_fees(&model, &rooms)) {
            let template = model.pool.template(bytes, sigops).transactions;
            let found: u64 = template.iter().map(|tx| tx.fee.units()).sum();
            assert!(found <= best);
            let part = if best == 0 {
                1.0
            } else {
                found as f64 / best as f64
            };
            if part < worst.0 {
                worst = (part, seed);
            }
        }
    }
    println!(
        "the worst of {} templates has {:.5} of the best fees (seed {})",
        POOLS * 6,
        worst.0,
        worst.1
    );
    assert!(worst.0 >= 0.99, "seed {}: {:.5}", worst.1, worst.0);
}

/// Each child alone would not bring the parent in, all of them do.
///
/// ```text
/// parent (0) ─┬─ child (300)      other (800), twice the size of a child
///             ├─ child (300)
///             └─ …
/// ```
#[test]
fn siblings_pay_for_their_parent_together() {
    let mut model = Model::new(Policy::default(), 40);
    let parent = payment(&[first_coin(0)], &[COIN_VALUE / 10; 10]);
    model.submit(&parent).unwrap();
    for vout in 0..10 {
        let child = payment(&[output(&parent, vout)], &[COIN_VALUE / 10 - 300]);
        model.submit(&child).unwrap();
    }
    let family = model.pool.total.size;
    for number in 1..9 {
        let other = payment(&[first_coin(number)], &[COIN_VALUE - 160]);
        model.submit(&other).unwrap();
    }
    let template = model.pool.template(family, 1_000).transactions;
    let fees: u64 = template.iter().map(|tx| tx.fee.units()).sum();
    assert_eq!((template.len(), fees), (11, 3000));
    assert_eq!(template[0].txid, parent.txid());
    model.check();
}

/// What an operator asks for comes before what pays more, and what is not wanted stays out; sums and orders follow.
#[test]
fn priorities_change_the_order_and_nobody_pays_them() {
    let mut model = Model::new(Policy::default(), 40);
    let parent = payment(&[first_coin(0)], &[COIN_VALUE]);
    let child = payment(&[output(&parent, 0)], &[COIN_VALUE - 10]);
    let rich = payment(&[first_coin(1)], &[COIN_VALUE - 5000]);
    // Given before it comes.
    model.pool.prioritise(child.txid(), 1_000_000).unwrap();
    for tx in [&parent, &child, &rich] {
        model.submit(tx).unwrap();
    }
    model.check_graph_with_priorities();
    let order = |model: &Model| -> Vec<(Txid, u64)> {
        let template = model.pool.template(1_000_000, 1_000).transactions;
        template
            .iter()
            .map(|tx| (tx.txid, tx.fee.units()))
            .collect()
    };
    let (parent, child, rich) = (parent.txid(), child.txid(), rich.txid());
    assert_eq!(order(&model), [(parent, 0), (child, 10), (rich, 5000)]);
    model.pool.prioritise(child, -1_000_000).unwrap();
    assert_eq!(order(&model), [(rich, 5000), (parent, 0), (child, 10)]);
    assert_eq!(model.pool.priorities(), []);
    model.pool.prioritise(rich, -5001).unwrap();
    model.check_graph_with_priorities();
    assert_eq!(order(&model), [(parent, 0), (child, 10)]);
    assert_eq!(model.pool.priorities().len(), 1);
    // A block takes the priority with the transaction.
    let block = payment(&[first_coin(1)], &[COIN_VALUE - 5000]);
    model.connect(vec![block]);
    assert_eq!(model.pool.priorities(), []);
    model.check();
}
