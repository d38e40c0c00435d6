//! Clusters of related transactions, cut into chunks of falling fee rate.

use std::cmp::Reverse;
use std::collections::HashMap;

use super::{Room, closure};
use crate::mempool::entry::Entry;
use crate::mempool::rate::FeeRate;
use crate::primitives::Txid;

/// Steps of [`closure`] for one template: some milliseconds. Clusters that come after them keep the order of the window.
const WORK: u32 = 20_000;

/// How dear a transaction is to a block: in what is scarce.
pub(super) struct Measure {
    /// What a byte costs.
    byte: u64,
    /// What a signature operation costs.
    sigop: u64,
    /// What a block can pay. Nothing that fits in a block costs more.
    pub(super) limit: u64,
}

impl Measure {
    /// For transactions of the size `whole`, which do not all fit in `room`. Where both limits are met, each counts by the part of
    /// it that is used up.
    pub(super) fn new(whole: Room, room: Room) -> Self {
        let (bytes, sigops) = (
            whole.bytes.min(room.bytes).max(1),
            whole.sigops.min(room.sigops).max(1),
        );
        match (whole.bytes > room.bytes, whole.sigops > room.sigops) {
            (true, true) => Self {
                byte: sigops,
                sigop: bytes,
                limit: 2 * bytes * sigops,
            },
            (false, true) => Self {
                byte: 0,
                sigop: 1,
                limit: room.sigops,
            },
            (true | false, false) => Self {
                byte: 1,
                sigop: 0,
                limit: room.bytes,
            },
        }
    }

    fn cost(&self, entry: &Entry) -> u64 {
        // Every transaction has an output, so nothing is for nothing.
        entry.own.size * self.byte + entry.own.sigops * self.sigop
    }
}

/// A transaction of the window.
pub(super) struct Item<'a> {
    pub(super) entry: &'a Entry,
    pub(super) fee: i128,
    pub(super) cost: u64,
    /// Places in the window of the transactions it spends from: all before its own.
    pub(super) parents: Vec<usize>,
}

/// Transactions that are taken together: no part of them that could be taken alone has a higher rate.
pub(super) struct Chunk {
    /// Places in the window, in an order that a block may have.
    pub(super) items: Vec<usize>,
    pub(super) fee: i128,
    pub(super) cost: u64,
    pub(super) bytes: u64,
    pub(super) sigops: u64,
}

impl Chunk {
    fn new(chosen: Vec<usize>, items: &[Item<'_>]) -> Self {
        let mut chunk = Self {
            items: Vec::new(),
            fee: 0,
            cost: 0,
            bytes: 0,
            sigops: 0,
        };
        for item in &chosen {
            let item = &items[*item];
            chunk.fee += item.fee;
            chunk.cost += item.cost;
            chunk.bytes += item.entry.own.size;
            chunk.sigops += item.entry.own.sigops;
        }
        chunk.items = chosen;
        chunk
    }

    fn rate(&self) -> FeeRate {
        FeeRate::new(self.fee, self.cost)
    }

    fn append(&mut self, next: Self) {
        self.items.extend(next.items);
        self.fee += next.fee;
        self.cost += next.cost;
        self.bytes += next.bytes;
        self.sigops += next.sigops;
    }
}

/// The window with the places of the parents.
pub(super) fn items<'a>(window: &[&'a Entry], measure: &Measure) -> Vec<Item<'a>> {
    let with_children = window.iter().enumerate();
    let places: HashMap<&Txid, usize> = with_children
        .filter(|(_, entry)| !entry.children.is_empty())
        .map(|(place, entry)| (&entry.txid, place))
        .collect();
    let item = |&entry: &&'a Entry| Item {
        entry,
        fee: entry.own.fee,
        cost: measure.cost(entry),
        parents: entry
            .parents
            .iter()
            .filter_map(|txid| places.get(txid).copied())
            .collect(),
    };
    window.iter().map(item).collect()
}

/// All items in chunks, those of the highest rate first and no child before its parents.
pub(super) fn by_rate(items: &[Item<'_>]) -> Vec<Chunk> {
    let mut work = WORK;
    let clusters = clusters(items);
    let mut chunks: Vec<Chunk> = Vec::with_capacity(items.len());
    for cluster in clusters {
        chunks.extend(linearise(cluster, items, &mut work));
    }
    // Stable: of equal rates, a chunk stays behind the ones of its cluster that it may need.
    chunks.sort_by_key(|chunk| Reverse(chunk.rate()));
    chunks
}

/// The items that are related by parents and children, each cluster in the order of the window, and they in that of their first.
fn clusters(items: &[Item<'_>]) -> Vec<Vec<usize>> {
    let mut heads: Vec<usize> = (0..items.len()).collect();
    for (place, item) in items.iter().enumerate() {
        for parent in &item.parents {
            let (one, other) = (head(&mut heads, place), head(&mut heads, *parent));
            heads[one.max(other)] = one.min(other);
        }
    }
    let mut clusters: Vec<Vec<usize>> = vec![Vec::new(); items.len()];
    for place in 0..items.len() {
        clusters[head(&mut heads, place)].push(place);
    }
    clusters.retain(|cluster| !cluster.is_empty());
    clusters
}

/// The first of an item's cluster, as far as it is known.
fn head(heads: &mut [usize], place: usize) -> usize {
    let mut at = place;
    while heads[at] != at {
        heads[at] = heads[heads[at]];
        at = heads[at];
    }
    at
}

fn linearise(cluster: Vec<usize>, items: &[Item<'_>], work: &mut u32) -> Vec<Chunk> {
    if cluster.len() > 1
        && cluster.len() <= closure::MAX_ITEMS
        && !is_chain(&cluster, items)
        && *work > 0
    {
        let best = closure::best_chunks(&cluster, items, work);
        return best
            .into_iter()
            .map(|chunk| Chunk::new(chunk, items))
            .collect();
    }
    // In a given order the best chunks are found by joining each that pays more than the one before it.
    let mut chunks: Vec<Chunk> = Vec::new();
    for item in cluster {
        let mut next = Chunk::new(vec![item], items);
        while let Some(before) = chunks.pop() {
            if next.rate() <= before.rate() {
                chunks.push(before);
                break;
            }
            let joined = std::mem::replace(&mut next, before);
            next.append(joined);
        }
        chunks.push(next);
    }
    chunks
}

/// Whether each spends from the one before it and from no other: then there is only one order.
fn is_chain(cluster: &[usize], items: &[Item<'_>]) -> bool {
    cluster
        .windows(2)
        .all(|pair| items[pair[1]].parents == [pair[0]])
}
