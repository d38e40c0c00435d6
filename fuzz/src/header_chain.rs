//! Headers on a network that retargets: the engine's tree against the rules written a second time.

use arbitrary::Unstructured;
use bitcoin::consensus::serialize;
use quarry::consensus::{BLOCK_VERSION, ChainSpec, ParentContext, Retarget, required_bits};
use quarry::primitives::{BlockHash, BlockHeader, CompactTarget, MerkleRoot};

use crate::model::Verdict;
use crate::node::{self, NOW, Node};

/// Headers of one input.
const MOST_HEADERS: usize = 32;
/// Headers that an engine may collect before a new one takes its place.
const MOST_KNOWN: usize = 4_000;
const SPACING: u32 = 10;
const HALF_LIFE: u32 = 60;
const STALL_AFTER: u32 = 130;
const STALL_DOUBLING: u32 = 20;
const DRIFT: u32 = 120;

fn spec() -> ChainSpec {
    ChainSpec {
        name: "fuzz-headers".to_owned(),
        target_spacing: SPACING,
        retarget: Retarget::Exponential {
            half_life: HALF_LIFE,
            stall_after: STALL_AFTER,
            stall_doubling: STALL_DOUBLING,
        },
        max_future_drift: DRIFT,
        ..ChainSpec::regtest()
    }
}

/// A header that was taken.
struct Known {
    header: BlockHeader,
    hash: BlockHash,
    parent: usize,
    height: u32,
    base: CompactTarget,
    latest: u32,
    work: bitcoin::Work,
}

struct Tree {
    spec: ChainSpec,
    known: Vec<Known>,
}

/// Runs one input.
pub fn run(data: &[u8]) {
    thread_local! {
        static NODE: std::cell::RefCell<Option<Node>> = const { std::cell::RefCell::new(None) };
    }
    NODE.with_borrow_mut(|slot| {
        let node = match slot.take() {
            Some(node) if node.reader().header_count() < MOST_KNOWN => node,
            Some(full) => {
                full.close();
                Node::new(spec())
            }
            None => Node::new(spec()),
        };
        let mut tree = Tree::new();
        // Nothing to tell where the bytes end: they then read as zeros.
        tree.grow(&node, &mut Unstructured::new(data))
            .expect("reading cannot fail");
        *slot = Some(node);
    });
}

impl Tree {
    fn new() -> Self {
        let spec = spec();
        let header = spec.genesis_block().header;
        let genesis = Known {
            header,
            hash: header.hash(),
            parent: 0,
            height: 0,
            base: header.bits,
            latest: header.time,
            work: target(header.bits).to_work(),
        };
        Self {
            spec,
            known: vec![genesis],
        }
    }

    /// Submits headers one by one or in batches; a batch ends at the first that is wrong.
    fn grow(&mut self, node: &Node, input: &mut Unstructured<'_>) -> arbitrary::Result<()> {
        let mut batch = Vec::new();
        for _ in 0..MOST_HEADERS {
            if input.is_empty() {
                break;
            }
            let [back, steps, fault, more] = input.arbitrary::<[u8; 4]>()?;
            let parent = self.known.len() - 1 - usize::from(back) % self.known.len();
            let header = self.header(parent, steps, fault);
            if batch.is_empty() {
                let relayed = Verdict::of(node.handle().check_header(&header));
                assert_eq!(relayed, self.judge(&header).err().unwrap_or(Verdict::Done));
            }
            batch.push(header);
            if more % 2 == 0 {
                self.submit(node, std::mem::take(&mut batch));
            }
        }
        self.submit(node, batch);
        self.compare(node);
        Ok(())
    }

    fn submit(&mut self, node: &Node, batch: Vec<BlockHeader>) {
        let mut expected = Verdict::Done;
        let mut new = 0;
        for header in &batch {
            match self.judge(header) {
                Ok(Some(known)) => {
                    self.known.push(known);
                    new += 1;
                }
                Ok(None) => {}
                Err(verdict) => {
                    expected = verdict;
                    break;
                }
            }
        }
        let answer = node.handle().submit_headers_blocking(batch);
        if let Ok(accepted) = &answer {
            assert_eq!(accepted.new, new);
        }
        assert_eq!(Verdict::of(answer), expected);
    }

    /// What the tree says of every header, and that none of them is better than its best.
    fn compare(&self, node: &Node) {
        let reader = node.reader();
        let best = reader.best_header();
        for (at, known) in self.known.iter().enumerate() {
            let info = reader
                .header_info(&known.hash)
                .expect("the header was taken");
            assert_eq!(info.height, known.height);
            assert_eq!(
                info.chainwork.to_be_bytes(),
                known.work.to_be_bytes(),
                "work"
            );
            assert_eq!(info.median_time_past, self.median_time(at));
            assert!(!info.is_invalid && info.chainwork <= best.chainwork);
        }
        assert_eq!(reader.tip().height, 0, "no body came");
    }

    fn chain(&self, at: usize) -> impl Iterator<Item = &Known> {
        let mut next = Some(at);
        std::iter::from_fn(move || {
            let at = next?;
            next = (at != 0).then(|| self.known[at].parent);
            Some(&self.known[at])
        })
    }

    fn median_time(&self, at: usize) -> u32 {
        let mut times: Vec<u32> = self
            .chain(at)
            .take(11)
            .map(|known| known.header.time)
            .collect();
        times.sort_unstable();
        times[times.len() / 2]
    }

    /// The bits that a child of `at` with a time must have, and its base, by the product's function on contexts made here; and
    /// whether that function is near what floating-point numbers say.
    fn required(&self, at: usize, time: u32) -> (CompactTarget, CompactTarget) {
        let parent = &self.known[at];
        let before = (at != 0).then(|| self.known[parent.parent].latest);
        let context = ParentContext {
            hash: parent.hash,
            height: parent.height,
            latest_time: parent.latest,
            base: parent.base,
            latest_time_before: before,
            median_time_past: self.median_time(at),
        };
        let required = required_bits(&self.spec, &context, time);
        let limit = as_f64(self.spec.pow_limit);
        let mut base = as_f64(parent.base);
        if let Some(before) = before {
            let solve = f64::from(parent.latest - before).min(f64::from(2 * STALL_AFTER));
            base *= ((solve - f64::from(SPACING)) / f64::from(HALF_LIFE)).exp2();
        }
        let base = base.min(limit);
        let overdue = f64::from(time) - f64::from(parent.latest) - f64::from(STALL_AFTER);
        let doublings = (overdue.max(0.0) / f64::from(STALL_DOUBLING)).floor();
        let eased = (base * doublings.exp2()).min(limit);
        for (found, expected) in [(required.base, base), (required.bits, eased)] {
            let ratio = as_f64(found) / expected;
            assert!((0.999..1.001).contains(&ratio), "{found} for {expected:e}");
        }
        (required.bits, required.base)
    }

    /// The verdict on a header; what becomes of it, if it is new.
    fn judge(&self, header: &BlockHeader) -> Result<Option<Known>, Verdict> {
        let hash = header.hash();
        if self.known.iter().any(|known| known.hash == hash) {
            return Ok(None);
        }
        let theirs: bitcoin::block::Header =
            bitcoin::consensus::deserialize(&header.to_array()).expect("any 80 bytes are a header");
        assert_eq!(serialize(&theirs), header.to_array());
        let own = target(header.bits);
        let is_target = header.bits.0 & 0x0080_0000 == 0 && own != bitcoin::Target::ZERO;
        if !is_target || own > target(self.spec.pow_limit) || theirs.validate_pow(own).is_err() {
            return Err(Verdict::Invalid);
        }
        let parent = self
            .known
            .iter()
            .position(|known| known.hash == header.prev_block);
        let parent = parent.ok_or(Verdict::UnknownParent)?;
        let (bits, base) = self.required(parent, header.time);
        let is_late_enough = header.time > self.median_time(parent);
        if !is_late_enough || header.bits != bits || header.version < 4 {
            return Err(Verdict::Invalid);
        }
        if header.time > NOW + DRIFT {
            return Err(Verdict::Future);
        }
        let above = &self.known[parent];
        Ok(Some(Known {
            header: *header,
            hash,
            parent,
            height: above.height + 1,
            base,
            latest: above.latest.max(header.time),
            work: above.work + own.to_work(),
        }))
    }

    /// A child of `parent`; time in steps of 3 seconds from the median, perhaps with one fault.
    fn header(&self, parent: usize, steps: u8, fault: u8) -> BlockHeader {
        let mut header = BlockHeader {
            version: BLOCK_VERSION,
            prev_block: self.known[parent].hash,
            merkle_root: root(node::turn()),
            time: match steps {
                255 => NOW + DRIFT,
                254 => NOW + DRIFT + 1,
                steps if fault & 0x80 != 0 => self.median_time(parent) + u32::from(steps),
                steps => self.known[parent].latest + 3 * u32::from(steps),
            },
            bits: self.spec.pow_limit,
            nonce: 0,
        };
        header.bits = self.required(parent, header.time).0;
        match fault & 0x7f {
            1 => header.bits.0 += 1,
            2 => header.bits = self.spec.pow_limit,
            3 => header.bits.0 |= 0x0080_0000,
            4 => header.bits.0 = 0x2100_ffff,
            5 => header.version = 3,
            6 => header.prev_block = BlockHash::from_bytes([8; 32]),
            7 => {
                while target(header.bits) >= hash_of(&header) {
                    header.nonce += 1;
                }
                return header;
            }
            8 => return self.known[self.known.len() - 1].header,
            _ => {}
        }
        node::solve_from(&mut header);
        header
    }
}

fn target(bits: CompactTarget) -> bitcoin::Target {
    bitcoin::Target::from_compact(bitcoin::CompactTarget::from_consensus(bits.0))
}

/// The hash as the number that the target limits.
fn hash_of(header: &BlockHeader) -> bitcoin::Target {
    bitcoin::Target::from_le_bytes(header.hash().to_bytes())
}

fn root(turn: u32) -> MerkleRoot {
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&turn.to_le_bytes());
    MerkleRoot::from_bytes(bytes)
}

fn as_f64(bits: CompactTarget) -> f64 {
    let exponent = i32::try_from(bits.0 >> 24).expect("eight bits fit");
    f64::from(bits.0 & 0x007f_ffff) * 256_f64.powi(exponent - 3)
}

/// Chains that are on time, early, late, overdue; forks, batches, and each fault.
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let mut seeds: Vec<(String, Vec<u8>)> = [
        ("on-time", [0, 3, 0, 0]),
        ("early", [0, 0, 0, 0]),
        ("late", [0, 20, 0, 0]),
        ("overdue", [0, 60, 0, 0]),
        ("by-median", [0, 1, 0x80, 0]),
        ("batch", [0, 3, 0, 1]),
        ("fork", [2, 3, 0, 0]),
        ("known", [0, 3, 8, 0]),
    ]
    .into_iter()
    .map(|(name, step)| (name.to_owned(), [[0, 3, 0, 0], step].concat().repeat(6)))
    .collect();
    for fault in 1..=7 {
        seeds.push((
            format!("fault-{fault}"),
            vec![0, 3, 0, 0, 0, 3, fault, 1, 0, 3, 0, 0],
        ));
    }
    for (name, steps) in [("drift", 255), ("future", 254)] {
        seeds.push((
            name.to_owned(),
            vec![0, 3, 0, 0, 0, steps, 0, 0, 1, 9, 0, 0],
        ));
    }
    seeds.push((
        "fast-then-slow".to_owned(),
        [[0, 1, 0, 0].repeat(12), [0, 80, 0, 0].repeat(6)].concat(),
    ));
    seeds
}
