//! Sequences of blocks, headers, marks and restarts: after each the engine is where the naive model is.

use arbitrary::Unstructured;
use quarry::chain::PreparedBlock;
use quarry::keys::sign_input;
use quarry::primitives::{Block, Encode, OutPoint, PubkeyHash, Transaction, Txid};

use crate::model::{Bench, Model, Verdict};
use crate::node::{self, Node};

/// Commands of one input.
const MOST_OPERATIONS: usize = 24;
/// Restarts of one input: each takes as long as many blocks.
const MOST_RESTARTS: usize = 1;

/// Runs one input.
pub fn run(data: &[u8]) {
    Bench::run(|node, model| {
        let mut sequence = Sequence {
            node,
            model,
            blocks: Vec::new(),
            restarts: 0,
        };
        let mut input = Unstructured::new(data);
        for _ in 0..MOST_OPERATIONS {
            if input.is_empty() {
                break;
            }
            sequence
                .step(&mut input)
                .expect("an exhausted input reads as zeros");
        }
        let audit = sequence
            .node
            .reader()
            .audit(&mut |_| ())
            .expect("the disk answers");
        assert!(audit.is_sound(), "{audit:?}");
    });
}

struct Sequence<'a> {
    node: &'a mut Node,
    model: &'a mut Model,
    /// Every block that was made, submitted or not.
    blocks: Vec<Block>,
    restarts: usize,
}

impl Sequence<'_> {
    fn step(&mut self, input: &mut Unstructured<'_>) -> arbitrary::Result<()> {
        match input.arbitrary::<u8>()? % 16 {
            0..=5 => {
                let block = self.make(input)?;
                self.submit(&block);
            }
            6 => {
                for _ in 0..=input.arbitrary::<u8>()? % 4 {
                    let block = self.child_of(self.model.tip(), Vec::new());
                    self.submit(&block);
                }
            }
            7 => {
                let count = 1 + input.arbitrary::<u8>()? % 4;
                self.burst(input, count)?;
            }
            8 => {
                let block = self.make(input)?;
                self.header(&block);
            }
            9 | 10 => {
                if let Some(block) = self.choose_block(input)? {
                    self.submit(&block);
                }
            }
            11 | 12 => {
                if let Some(at) = self.choose_marked(input)? {
                    let hash = self.model.hash(at);
                    let answer = self.node.handle().invalidate_block_blocking(hash);
                    assert_eq!(Verdict::of(answer), self.model.invalidate(at));
                }
            }
            13 | 14 => {
                if let Some(at) = self.choose_marked(input)? {
                    let hash = self.model.hash(at);
                    let answer = self.node.handle().reconsider_block_blocking(hash);
                    assert_eq!(Verdict::of(answer), self.model.reconsider(at));
                }
            }
            _ => {
                if self.restarts < MOST_RESTARTS {
                    self.restarts += 1;
                    self.node.restart();
                    self.model.restart();
                }
            }
        }
        self.model.compare(self.node);
        Ok(())
    }

    fn submit(&mut self, block: &Block) {
        let answer = self.node.handle().submit_block_blocking(block.clone());
        assert_eq!(
            Verdict::of_block(answer),
            self.model.submit(block),
            "{block:?}"
        );
        self.blocks.push(block.clone());
    }

    /// Several blocks under way at once, as in an import: the outcome is that of one after the other.
    fn burst(&mut self, input: &mut Unstructured<'_>, count: u8) -> arbitrary::Result<()> {
        let mut expected = Vec::new();
        for _ in 0..count {
            let block = self.make(input)?;
            expected.push((self.model.submit(&block), block.clone()));
            self.blocks.push(block);
        }
        let handle = self.node.handle();
        let answers: Vec<_> = expected
            .iter()
            .map(|(_, block)| {
                let prepared = PreparedBlock::decode(&node::spec(), block.to_bytes());
                let prepared = prepared.expect("what we encode decodes");
                handle
                    .send_block_blocking(prepared)
                    .expect("the engine runs")
            })
            .collect();
        for (answer, (expected, block)) in answers.into_iter().zip(expected) {
            assert_eq!(
                Verdict::of_block(answer.wait_blocking()),
                expected,
                "{block:?}"
            );
        }
        Ok(())
    }

    fn header(&mut self, block: &Block) {
        let answer = self
            .node
            .handle()
            .submit_headers_blocking(vec![block.header]);
        let expected = self.model.submit_header(&block.header).err();
        assert_eq!(Verdict::of(answer), expected.unwrap_or(Verdict::Done));
        self.blocks.push(block.clone());
    }

    fn choose_block(&self, input: &mut Unstructured<'_>) -> arbitrary::Result<Option<Block>> {
        let back = usize::from(input.arbitrary::<u8>()?);
        let count = self.blocks.len().max(1);
        Ok(self.blocks.iter().rev().nth(back % count).cloned())
    }

    /// A block that may be marked: none of the base.
    fn choose_marked(&self, input: &mut Unstructured<'_>) -> arbitrary::Result<Option<usize>> {
        let back = usize::from(input.arbitrary::<u8>()?);
        let count = self.model.len() - self.model.base();
        Ok((count > 0).then(|| self.model.len() - 1 - back % count))
    }

    /// A block on the tip (0) or on any other, counted from the newest; with payments; perhaps with one fault.
    fn make(&self, input: &mut Unstructured<'_>) -> arbitrary::Result<Block> {
        let parent = match usize::from(input.arbitrary::<u8>()?) {
            0 => self.model.tip(),
            back => self.model.len() - 1 - (back - 1) % self.model.len(),
        };
        let mut payments = Vec::new();
        for _ in 0..input.arbitrary::<u8>()? % 4 {
            payments.extend(self.pay(input, &payments)?);
        }
        let mut block = self.child_of(parent, payments);
        spoil(&mut block, input.arbitrary::<u8>()?);
        Ok(block)
    }

    fn child_of(&self, parent: usize, payments: Vec<Transaction>) -> Block {
        let spec = node::spec();
        let height = self.model.height(parent) + 1;
        let salt = u32::try_from(self.blocks.len()).expect("few");
        let units = spec.subsidy_at(height).units();
        let to = u8::try_from(salt % u32::from(node::KEYS)).expect("small") + 1;
        let coinbase = node::coinbase(height, to, units, salt);
        // The median of eleven rises with every block, and so does this.
        let time = self.model.median_time(parent) + 300;
        let all = [vec![coinbase], payments].concat();
        let mut block = node::block(&spec, self.model.hash(parent), time, all);
        node::finish(&mut block);
        block
    }

    /// A payment of one or two coins: of those at the tip, of an earlier payment of the block, or of any block ever made.
    fn pay(
        &self,
        input: &mut Unstructured<'_>,
        before: &[Transaction],
    ) -> arbitrary::Result<Option<Transaction>> {
        let [kind, first, second, how] = input.arbitrary::<[u8; 4]>()?;
        let base = node::base_blocks(&node::spec());
        let of = |txs: Vec<&Transaction>| {
            let outputs = txs.into_iter().flat_map(|tx| {
                let txid = tx.txid();
                (0_u32..).zip(&tx.outputs).map(move |(vout, output)| {
                    let owner = output.script_pubkey.as_p2pkh();
                    (
                        OutPoint { txid, vout },
                        owner.unwrap_or_default(),
                        output.value.0,
                    )
                })
            });
            outputs.collect::<Vec<_>>()
        };
        let made = self.blocks.iter().flat_map(|block| &block.transactions);
        let coins: Vec<(OutPoint, PubkeyHash, u64)> = match kind % 4 {
            0 | 1 => of(base.iter().flat_map(|block| &block.transactions).collect()),
            2 => of(made.collect()),
            _ => of(before.iter().collect()),
        };
        if coins.is_empty() {
            return Ok(None);
        }
        let mut chosen = vec![coins[usize::from(first) % coins.len()]];
        if how & 1 != 0 {
            chosen.push(coins[usize::from(second) % coins.len()]);
        }
        let sum: u64 = chosen
            .iter()
            .map(|(_, _, units)| (*units).min(1 << 50))
            .sum();
        let kept = sum.saturating_sub(u64::from(second));
        let to = how % node::KEYS + 1;
        let outputs = if how & 2 != 0 {
            vec![node::output(to, kept / 2), node::output(1, kept - kept / 2)]
        } else {
            vec![node::output(to, kept)]
        };
        let outpoints: Vec<OutPoint> = chosen.iter().map(|(outpoint, ..)| *outpoint).collect();
        let mut tx = node::payment(&outpoints, outputs);
        if how & 4 != 0 {
            tx.inputs[0].sequence = u32::from(how >> 4);
        }
        if how & 8 != 0 {
            tx.lock_time = u32::from(how >> 4);
            tx.inputs[0].sequence &= 0x7fff_fff0;
        }
        let owners: Vec<PubkeyHash> = chosen.iter().map(|(_, owner, _)| *owner).collect();
        node::sign(&mut tx, &owners);
        Ok(Some(tx))
    }
}

/// Makes one thing of a block wrong; most bytes leave it as it is.
fn spoil(block: &mut Block, how: u8) {
    let header = &mut block.header;
    match how {
        1 => block.transactions[0].outputs[0].value.0 += 1 + (1 << 40),
        2 => block.transactions[0].outputs[0].value.0 = u64::MAX,
        3 => block.transactions[0].outputs[0].script_pubkey = vec![0x51].into(),
        4 => block.transactions[0].inputs[0].script_sig = vec![0; 3].into(),
        5 => {
            // A body that the header does not commit to, then the honest one may come.
            block.transactions[0].lock_time = 7;
            return;
        }
        6 => {
            // A tail that repeats keeps the root.
            let last = block.transactions[block.transactions.len() - 1].clone();
            block.transactions.push(last);
            return;
        }
        7 => header.time = node::NOW + 7_201,
        8 => header.time = 1_296_688_602,
        9 => header.version = 1,
        10 => header.bits.0 -= 1,
        11 => {
            let last = block.transactions.len() - 1;
            block.transactions[last].inputs[0].previous_output.txid = Txid::from_bytes([5; 32]);
        }
        12 => {
            let last = block.transactions.len() - 1;
            sign_input(&mut block.transactions[last], 0, &node::key(9));
        }
        13 => {
            let last = block.transactions[block.transactions.len() - 1].clone();
            block.transactions.push(last);
        }
        14 => block.transactions[0].inputs[0].script_sig = vec![0x56; 101].into(),
        15 => block.transactions[0]
            .outputs
            .extend(std::iter::repeat_n(node::output(1, 0), 22)),
        16 => header.prev_block = quarry::primitives::BlockHash::from_bytes([6; 32]),
        _ => return,
    }
    node::finish(block);
}

/// Stories: growth, forks, marks, bodies that come late, restarts, each fault.
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    // A block: kind 0, parent, number of payments, four bytes each, fault.
    let plain = |parent: u8| vec![0, parent, 0, 0];
    let paying = |parent: u8, payment: [u8; 4]| [&[0, parent, 1][..], &payment, &[0]].concat();
    let mut seeds = vec![
        ("grow".to_owned(), [6, 3].to_vec()),
        ("fork".to_owned(), [plain(0), plain(2), plain(1)].concat()),
        (
            "deep-fork".to_owned(),
            [vec![6, 3], plain(5), plain(1), plain(1), plain(1), plain(1)].concat(),
        ),
        ("payment".to_owned(), paying(0, [0, 0, 9, 0])),
        ("two-coins".to_owned(), paying(0, [0, 0, 1, 3])),
        ("immature".to_owned(), paying(0, [0, 4, 1, 0])),
        (
            "twice".to_owned(),
            [paying(0, [0, 0, 9, 0]), paying(0, [0, 0, 8, 0])].concat(),
        ),
        (
            "both-branches".to_owned(),
            [paying(0, [0, 0, 9, 0]), paying(2, [0, 0, 8, 1]), plain(1)].concat(),
        ),
        (
            "own-coin".to_owned(),
            [vec![6, 3], paying(0, [2, 0, 9, 0])].concat(),
        ),
        (
            "in-block".to_owned(),
            vec![0, 0, 2, 0, 0, 9, 2, 3, 0, 9, 0, 0],
        ),
        ("relative-lock".to_owned(), paying(0, [0, 0, 9, 0x94])),
        ("lock-time".to_owned(), paying(0, [0, 0, 9, 0x98])),
        ("mark".to_owned(), vec![6, 2, 11, 1, 13, 1]),
        (
            "mark-and-grow".to_owned(),
            [vec![6, 2, 11, 2], plain(0), vec![13, 3]].concat(),
        ),
        (
            "duplicate".to_owned(),
            [plain(0), vec![9, 0, 9, 0]].concat(),
        ),
        (
            "late-body".to_owned(),
            [vec![8], plain(0)[1..].to_vec(), plain(1), vec![9, 1]].concat(),
        ),
        (
            "marked-before-its-parent-came".to_owned(),
            [
                vec![8],
                plain(0)[1..].to_vec(),
                plain(1),
                vec![11, 0, 9, 1, 13, 0],
            ]
            .concat(),
        ),
        (
            "restart".to_owned(),
            [vec![6, 2], plain(3), vec![15], plain(0)].concat(),
        ),
        (
            "marked-restart".to_owned(),
            [vec![6, 2, 11, 1, 15, 13, 1], plain(0)].concat(),
        ),
    ];
    for fault in 1..=16 {
        let mut story = paying(0, [0, 1, 5, 0]);
        story.pop();
        story.push(fault);
        seeds.push((
            format!("fault-{fault:02}"),
            [story, plain(1), plain(0)].concat(),
        ));
    }
    seeds
}
