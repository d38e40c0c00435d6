//! The transactions around the edge of a full block, chosen anew by branch and bound.

use super::chunks::{Chunk, Item, Measure};
use super::closure::{MAX_ITEMS, bits};
use super::{Room, fill};

/// Sets that are looked at: some milliseconds.
const WORK: u32 = 100_000;
/// A block that cannot be better by more than one part in so many is good enough.
const GOOD_ENOUGH: i128 = 2_000;

/// A block that is full, and what it was filled from.
pub(super) struct Edge<'a> {
    pub(super) items: &'a [Item<'a>],
    pub(super) chunks: &'a [Chunk],
    /// The first chunk that did not fit.
    pub(super) edge: usize,
    pub(super) room: Room,
    pub(super) measure: &'a Measure,
    /// The choice to be bettered.
    pub(super) filled: &'a [bool],
    /// What was taken before the edge, and how much room that needs.
    pub(super) prefix: (Vec<bool>, Room),
}

/// A transaction near the edge.
struct Candidate {
    item: usize,
    fee: i128,
    cost: u64,
    used: Room,
    /// What it needs of the candidates before it.
    parents: u64,
    /// Its chunk.
    chunk: usize,
}

struct Search {
    candidates: Vec<Candidate>,
    /// Fee and cost of each chunk.
    chunks: Vec<(i128, i128)>,
    room: Room,
    /// What the room can cost at most.
    cost: i128,
    work: u32,
    best: (i128, u64),
}

/// A part of the candidates, all of them decided up to some place.
#[derive(Clone, Copy, Default)]
struct Part {
    set: u64,
    used: Room,
    cost: i128,
    fee: i128,
    /// Of the chunk under decision: the fee and cost of what is taken.
    open: (i128, i128),
}

/// A better choice than `edge.filled`, if there is one and it is worth looking for.
pub(super) fn improve(edge: &Edge<'_>) -> Option<Vec<bool>> {
    let filled = fees(edge.filled, edge.items);
    if edge.highest_fees() - filled <= filled / GOOD_ENOUGH {
        return None;
    }
    let (first, last) = edge.around();
    let (mut taken, mut used) = edge.prefix.clone();
    for chunk in &edge.chunks[first..edge.edge] {
        for item in &chunk.items {
            taken[*item] = false;
        }
        used.bytes -= chunk.bytes;
        used.sigops -= chunk.sigops;
    }
    let mut search = Search::new(edge, &edge.chunks[first..last], used, &taken);
    search.decide(0, Part::default());
    for place in bits(search.best.1) {
        let Candidate {
            item, used: own, ..
        } = &search.candidates[place];
        taken[*item] = true;
        used = used.with(own.bytes, own.sigops);
    }
    // What is behind the candidates may still fill a gap.
    fill(
        &edge.chunks[last..],
        edge.items,
        &mut taken,
        &mut used,
        edge.room,
    );
    (fees(&taken, edge.items) > filled).then_some(taken)
}

fn fees(taken: &[bool], items: &[Item<'_>]) -> i128 {
    let chosen = taken.iter().zip(items).filter(|(taken, _)| **taken);
    chosen.map(|(_, item)| item.fee).sum()
}

impl Edge<'_> {
    /// No choice pays more: as if the first chunk beyond the edge could be cut.
    fn highest_fees(&self) -> i128 {
        let before = &self.chunks[..self.edge];
        let fees: i128 = before.iter().map(|chunk| chunk.fee).sum();
        let cost: i128 = before.iter().map(|chunk| i128::from(chunk.cost)).sum();
        bound(
            fees,
            i128::from(self.measure.limit) - cost,
            self.chunks[self.edge..]
                .iter()
                .map(|chunk| (chunk.fee, chunk.cost.into())),
        )
    }

    /// Whole chunks on both sides of the edge, as many as a search can hold, about half of them before it.
    fn around(&self) -> (usize, usize) {
        let mut count = 0;
        let mut first = self.edge;
        while first > 0 && count + self.chunks[first - 1].items.len() <= MAX_ITEMS / 2 {
            first -= 1;
            count += self.chunks[first].items.len();
        }
        let mut last = self.edge;
        while last < self.chunks.len() && count + self.chunks[last].items.len() <= MAX_ITEMS {
            count += self.chunks[last].items.len();
            last += 1;
        }
        // A small window is searched whole.
        while first > 0 && count + self.chunks[first - 1].items.len() <= MAX_ITEMS {
            first -= 1;
            count += self.chunks[first].items.len();
        }
        (first, last)
    }
}

impl Search {
    /// Among the items of `chunks`, on top of what is `taken`.
    fn new(edge: &Edge<'_>, chunks: &[Chunk], used: Room, taken: &[bool]) -> Self {
        let mut candidates: Vec<Candidate> = Vec::new();
        for (number, chunk) in chunks.iter().enumerate() {
            for place in &chunk.items {
                let item = &edge.items[*place];
                let mut parents = 0;
                for parent in item.parents.iter().filter(|parent| !taken[**parent]) {
                    let found = candidates.iter().position(|other| other.item == *parent);
                    // A parent is taken or comes before: chunks fall in rate, and each has what it needs.
                    parents |= found.map_or(0, |found| 1_u64 << found);
                }
                candidates.push(Candidate {
                    item: *place,
                    fee: item.fee,
                    cost: item.cost,
                    used: Room::default().with(item.entry.own.size, item.entry.own.sigops),
                    parents,
                    chunk: number,
                });
            }
        }
        let taken_cost: i128 = taken
            .iter()
            .zip(edge.items)
            .filter(|(taken, _)| **taken)
            .map(|(_, item)| i128::from(item.cost))
            .sum();
        Self {
            candidates,
            chunks: chunks
                .iter()
                .map(|chunk| (chunk.fee, chunk.cost.into()))
                .collect(),
            room: Room {
                bytes: edge.room.bytes - used.bytes,
                sigops: edge.room.sigops - used.sigops,
            },
            cost: i128::from(edge.measure.limit) - taken_cost,
            work: WORK,
            best: (0, 0),
        }
    }

    /// Decides the candidates from `place` on, taking each first and leaving it out second.
    fn decide(&mut self, place: usize, part: Part) {
        if part.fee > self.best.0 {
            self.best = (part.fee, part.set);
        }
        if place == self.candidates.len()
            || self.work == 0
            || self.bound(place, &part) <= self.best.0
        {
            return;
        }
        self.work -= 1;
        let candidate = &self.candidates[place];
        let is_new_chunk = place == 0 || self.candidates[place - 1].chunk != candidate.chunk;
        let open = if is_new_chunk { (0, 0) } else { part.open };
        let used = part.used.with(candidate.used.bytes, candidate.used.sigops);
        let fits = used.fits_in(self.room) && candidate.parents & !part.set == 0;
        let cost = i128::from(candidate.cost);
        let with = Part {
            set: part.set | 1 << place,
            used,
            cost: part.cost + cost,
            fee: part.fee + candidate.fee,
            open: (open.0 + candidate.fee, open.1 + cost),
        };
        if fits {
            self.decide(place + 1, with);
        }
        self.decide(place + 1, Part { open, ..part });
    }

    /// No choice that begins with `part`, decided up to `place`, pays more.
    ///
    /// A chunk has the highest rate of all that could be taken of it alone, so no part of it pays more than its rate allows. That
    /// holds for what is taken of an open chunk with the rest of it together, so what is taken counts by the rate here too.
    fn bound(&self, place: usize, part: &Part) -> i128 {
        let number = self.candidates[place].chunk;
        let (fee, cost) = self.chunks[number];
        let is_open = place > 0 && self.candidates[place - 1].chunk == number;
        let (taken, rest) = if is_open {
            let rest = self.candidates[place..]
                .iter()
                .take_while(|candidate| candidate.chunk == number)
                .map(|candidate| i128::from(candidate.cost))
                .sum();
            (part.open, rest)
        } else {
            ((0, 0), cost)
        };
        let base = part.fee - taken.0 + share(fee, taken.1, cost);
        let open = (share(fee, rest, cost), rest);
        let later = self.chunks[number + 1..].iter().copied();
        bound(
            base,
            self.cost - part.cost,
            std::iter::once(open).chain(later),
        )
    }
}

/// `fee` · `part` / `whole`, rounded up.
const fn share(fee: i128, part: i128, whole: i128) -> i128 {
    let product = fee * part;
    product.div_euclid(whole) + (product.rem_euclid(whole) != 0) as i128
}

/// `fees` and what `room` could hold of `chunks` (fee and cost, best first) if the last of them could be cut.
fn bound(fees: i128, room: i128, chunks: impl Iterator<Item = (i128, i128)>) -> i128 {
    let (mut fees, mut room) = (fees, room);
    for (fee, cost) in chunks {
        if fee <= 0 {
            break;
        }
        if cost > room {
            return fees + share(fee, room.max(0), cost);
        }
        fees += fee;
        room -= cost;
    }
    fees
}
