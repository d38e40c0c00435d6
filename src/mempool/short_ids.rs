//! Finding the transactions of an announced block by their short ids.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::sync::Arc;

use super::pool::Pool;
use crate::primitives::{ShortId, ShortIdKey, Transaction};

impl Pool {
    /// The waiting transaction behind each of `ids` under `key`: none where nothing has that id, or two have. One pass over the
    /// pool, whatever is asked.
    pub fn by_short_ids(&self, key: &ShortIdKey, ids: &[ShortId]) -> Vec<Option<Arc<Transaction>>> {
        let waiting = self.entries.iter();
        unambiguous(
            ids,
            waiting.map(|(txid, entry)| (key.short_id(txid), &entry.tx)),
        )
    }
}

fn unambiguous<'a>(
    ids: &[ShortId],
    waiting: impl Iterator<Item = (ShortId, &'a Arc<Transaction>)>,
) -> Vec<Option<Arc<Transaction>>> {
    /// What a wanted id stands for.
    enum Found<'a> {
        Nothing,
        One(&'a Arc<Transaction>),
        Several,
    }
    let mut wanted: HashMap<ShortId, Found<'_>> =
        ids.iter().map(|id| (*id, Found::Nothing)).collect();
    for (id, tx) in waiting {
        if let Slot::Occupied(mut slot) = wanted.entry(id) {
            let found = match slot.get() {
                Found::Nothing => Found::One(tx),
                Found::One(_) | Found::Several => Found::Several,
            };
            slot.insert(found);
        }
    }
    ids.iter()
        .map(|id| match wanted.get(id) {
            Some(Found::One(tx)) => Some(Arc::clone(tx)),
            Some(Found::Nothing | Found::Several) | None => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mempool::Policy;
    use crate::mempool::tests::model::{COIN_VALUE, Model, first_coin, payment};

    #[test]
    fn waiting_transactions_are_found_by_their_short_ids() {
        let mut model = Model::new(Policy::default(), 3);
        let payments = [0, 1, 2].map(|n| payment(&[first_coin(n)], &[COIN_VALUE - 1_000]));
        for payment in &payments[..2] {
            model.submit(payment).unwrap();
        }
        let key = ShortIdKey::new(&model.spec.genesis_block().header, 5);
        let ids: Vec<_> = payments
            .iter()
            .rev()
            .map(|tx| key.short_id(&tx.txid()))
            .collect();
        let found = model.pool.by_short_ids(&key, &ids);
        let found: Vec<_> = found.iter().map(Option::as_deref).collect();
        assert_eq!(found, [None, Some(&payments[1]), Some(&payments[0])]);
        let other_key = ShortIdKey::new(&model.spec.genesis_block().header, 6);
        assert_eq!(
            model.pool.by_short_ids(&other_key, &ids),
            [None, None, None]
        );
    }

    #[test]
    fn an_id_that_several_have_stands_for_none() {
        let [a, b, c] = [0, 1, 2].map(|n| Arc::new(payment(&[first_coin(n)], &[1])));
        let [x, y] = [1, 2].map(|n| ShortId::from_bytes([n; 6]));
        let waiting = [(x, &a), (y, &b), (x, &c)];
        let found = unambiguous(&[y, x], waiting.into_iter());
        assert_eq!(found, [Some(Arc::clone(&b)), None]);
    }
}
