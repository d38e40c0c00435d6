//! The set of transactions, with all that they need, of the highest fee rate in a small cluster: exactly.
//!
//! For a rate r, the set that earns most beyond r is a closure of maximum weight, where a transaction weighs its fee less r times
//! its cost; a minimum cut finds it (Picard 1976). Beginning with the rate of any set and going on with that of the set found, one
//! comes to the highest rate in a few steps (Dinkelbach 1967). Taking these sets one after the other gives the best order of a
//! cluster.

use super::chunks::Item;
use crate::mempool::rate::FeeRate;

/// The largest cluster that is ordered exactly: its sets are the bits of a word.
pub(super) const MAX_ITEMS: usize = 64;

/// A cluster by places of its own.
struct Cluster {
    fees: Vec<i128>,
    costs: Vec<i128>,
    /// Each item with all that it needs.
    ancestors: Vec<u64>,
}

/// The chunks of `cluster`, whose items come parents first, by falling rate; each in the order of the window. `work` is what the
/// search may cost; beyond it the sets found so far are as good as it gets.
pub(super) fn best_chunks(
    cluster: &[usize],
    items: &[Item<'_>],
    work: &mut u32,
) -> Vec<Vec<usize>> {
    let mut ancestors = Vec::with_capacity(cluster.len());
    for (place, item) in cluster.iter().enumerate() {
        let mut needed = 1_u64 << place;
        for parent in &items[*item].parents {
            // Items come in the order of the window, and a parent is in the cluster of its child.
            if let Ok(parent) = cluster.binary_search(parent) {
                needed |= ancestors[parent];
            }
        }
        ancestors.push(needed);
    }
    let numbers = Cluster {
        fees: cluster.iter().map(|item| items[*item].fee).collect(),
        costs: cluster
            .iter()
            .map(|item| items[*item].cost.into())
            .collect(),
        ancestors,
    };
    let mut left = u64::MAX >> (MAX_ITEMS - cluster.len());
    let mut chunks = Vec::new();
    while left != 0 {
        let best = numbers.highest_rate(left, work);
        chunks.push(bits(best).map(|place| cluster[place]).collect());
        left &= !best;
    }
    chunks
}

impl Cluster {
    fn sums(&self, set: u64) -> (i128, i128) {
        bits(set).fold((0, 0), |(fee, cost), place| {
            (fee + self.fees[place], cost + self.costs[place])
        })
    }

    /// The set of `left` of the highest rate that needs nothing else of `left`; never empty.
    fn highest_rate(&self, left: u64, work: &mut u32) -> u64 {
        let packages = bits(left).map(|place| self.ancestors[place] & left);
        let by_rate = |set: &u64| {
            let (fee, cost) = self.sums(*set);
            FeeRate::new(fee, u64::try_from(cost).unwrap_or(u64::MAX))
        };
        let mut best = packages.max_by_key(by_rate).unwrap_or(left);
        loop {
            let (fee, cost) = self.sums(best);
            let weights: Vec<i128> = (0..self.fees.len())
                .map(|place| self.fees[place] * cost - fee * self.costs[place])
                .collect();
            match self.heaviest(&weights, left, work) {
                Some(better) => best = better,
                None => return best,
            }
        }
    }

    /// The set of `left` with all it needs there whose weight is the greatest, if that is above 0.
    ///
    /// Items of positive weight send it to items of negative weight that they need, as much as these can take. What then still
    /// has some to give, with all that it could reach by giving otherwise, is the set.
    fn heaviest(&self, weights: &[i128], left: u64, work: &mut u32) -> Option<u64> {
        let mut flow = Flow::new(weights, left, &self.ancestors);
        while let Some(path) = flow.next_path() {
            flow.send(&path);
            *work = work.checked_sub(1)?;
        }
        let givers = flow.reached & flow.givers;
        let set = bits(givers).fold(0, |set, place| set | self.ancestors[place] & left);
        (set != 0).then_some(set)
    }
}

/// Weight on its way from items that have some to items that they need.
struct Flow {
    /// Items of positive weight.
    givers: u64,
    /// What each giver has left, or each taker can still take.
    rest: Vec<i128>,
    /// The takers of each giver.
    takers: Vec<u64>,
    /// What each giver sends to each taker.
    sent: Vec<Vec<i128>>,
    /// The givers that send something to a taker.
    senders: Vec<u64>,
    /// What the last search for a path came to.
    reached: u64,
}

impl Flow {
    fn new(weights: &[i128], left: u64, ancestors: &[u64]) -> Self {
        let select = |condition: &dyn Fn(i128) -> bool| {
            bits(left)
                .filter(|place| condition(weights[*place]))
                .fold(0, |set, place| set | 1 << place)
        };
        let givers: u64 = select(&|weight| weight > 0);
        let below: u64 = select(&|weight| weight < 0);
        Self {
            givers,
            rest: weights.iter().map(|weight| weight.abs()).collect(),
            takers: ancestors.iter().map(|needed| needed & below).collect(),
            sent: vec![vec![0; weights.len()]; weights.len()],
            senders: vec![0; weights.len()],
            reached: 0,
        }
    }

    /// A way, giver and taker in turn, along which more can be sent: from a giver that has some left to a taker that can take more.
    fn next_path(&mut self) -> Option<Vec<usize>> {
        let sources = bits(self.givers).filter(|place| self.rest[*place] > 0);
        let mut queue: Vec<usize> = sources.collect();
        let mut from = vec![usize::MAX; self.rest.len()];
        self.reached = queue.iter().fold(0, |set, place| set | 1 << place);
        let mut at = 0;
        while let Some(place) = queue.get(at).copied() {
            at += 1;
            let is_giver = self.givers >> place & 1 == 1;
            if !is_giver && self.rest[place] > 0 {
                let mut path = vec![place];
                let mut back = from[place];
                while back != usize::MAX {
                    path.push(back);
                    back = from[back];
                }
                path.reverse();
                return Some(path);
            }
            let next = if is_giver {
                self.takers[place]
            } else {
                self.senders[place]
            };
            for next in bits(next & !self.reached) {
                from[next] = place;
                queue.push(next);
            }
            self.reached |= next;
        }
        None
    }

    /// Sends as much as the way can take.
    fn send(&mut self, path: &[usize]) {
        let (first, last) = (path[0], path[path.len() - 1]);
        let steps = path.windows(2);
        // A step from a taker to a giver takes back what that giver sends to it.
        let most = steps
            .clone()
            .filter(|step| self.givers >> step[0] & 1 == 0)
            .map(|step| self.sent[step[1]][step[0]])
            .fold(self.rest[first].min(self.rest[last]), i128::min);
        for step in steps {
            if self.givers >> step[0] & 1 == 1 {
                self.sent[step[0]][step[1]] += most;
                self.senders[step[1]] |= 1 << step[0];
            } else {
                let sent = &mut self.sent[step[1]][step[0]];
                *sent -= most;
                if *sent == 0 {
                    self.senders[step[0]] &= !(1 << step[1]);
                }
            }
        }
        self.rest[first] -= most;
        self.rest[last] -= most;
    }
}

/// The places of the bits that are set, the lowest first.
pub(super) fn bits(mut set: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let place = set.trailing_zeros();
        set &= set.wrapping_sub(1);
        (place < u64::BITS).then_some(place as usize)
    })
}
