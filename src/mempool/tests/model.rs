//! A chain that is only a map of coins, under a pool, and the invariants that must hold after every step.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::super::pool::Pool;
use super::super::{Candidate, ChainView, MempoolEvent, Package, Policy, RejectError};
use crate::consensus::{ChainSpec, RuleError, SpendContext, check_transaction_in_utxo_context};
use crate::primitives::{
    Amount, Block, BlockHash, Coin, Encode, MerkleRoot, OutPoint, PubkeyHash, SEQUENCE_FINAL,
    Script, Transaction, TxIn, TxOut, Txid,
};

/// What every coin of the chain is worth at the start.
pub const COIN_VALUE: u64 = 1_000_000;
/// The time at the start.
pub const NOW: u64 = 2_000_000_000;

/// Nobody checks scripts here, so the scripts are empty.
pub fn payment(inputs: &[OutPoint], outputs: &[u64]) -> Transaction {
    Transaction {
        version: 2,
        inputs: inputs
            .iter()
            .map(|outpoint| TxIn {
                previous_output: *outpoint,
                script_sig: Script::default(),
                sequence: SEQUENCE_FINAL,
            })
            .collect(),
        outputs: outputs
            .iter()
            .map(|units| TxOut {
                value: Amount::from_units(*units).unwrap().into(),
                script_pubkey: Script::p2pkh(&PubkeyHash::ZERO),
            })
            .collect(),
        lock_time: 0,
    }
}

pub fn output(tx: &Transaction, vout: u32) -> OutPoint {
    OutPoint {
        txid: tx.txid(),
        vout,
    }
}

/// Number `number` of the coins that the chain has at the start.
pub fn first_coin(number: u8) -> OutPoint {
    OutPoint {
        txid: Txid::from_bytes([number; 32]),
        vout: 7,
    }
}

struct Connected {
    block: Arc<Block>,
    spent: Vec<(OutPoint, Coin)>,
}

type Step = fn(&mut Pool, &ChainView<'_>, u64, &mut dyn FnMut(&Candidate) -> Result<(), RuleError>);

/// A pool over a chain of coins.
pub struct Model {
    pub spec: ChainSpec,
    pub pool: Pool,
    pub coins: HashMap<OutPoint, Coin>,
    pub height: u32,
    pub now: u64,
    blocks: Vec<Connected>,
    /// The ids in the pool as its events tell them.
    told: HashSet<Txid>,
    made: u32,
}

impl Model {
    /// With `count` coins in the chain.
    pub fn new(policy: Policy, count: u8) -> Self {
        let coin = Coin {
            value: Amount::from_units(COIN_VALUE).unwrap(),
            pubkey_hash: PubkeyHash::ZERO,
            height: 1,
            is_coinbase: false,
        };
        Self {
            spec: ChainSpec::regtest(),
            pool: Pool::new(policy, BlockHash::ZERO),
            coins: (0..count)
                .map(|number| (first_coin(number), coin))
                .collect(),
            height: 100,
            now: NOW,
            blocks: Vec::new(),
            told: HashSet::new(),
            made: 0,
        }
    }

    pub fn view(&self) -> ChainView<'_> {
        ChainView {
            spec: &self.spec,
            tip: self
                .blocks
                .last()
                .map_or(BlockHash::ZERO, |top| top.block.hash()),
            tip_height: self.height,
            median_time_past: 1_900_000_000 + self.height,
            median_time_at: &|height| 1_900_000_000 + height,
            coins: &self.coins,
        }
    }

    pub fn submit(&mut self, tx: &Transaction) -> Result<(), RejectError> {
        let candidate = self.pool.check(
            Arc::new(tx.clone()),
            tx.txid(),
            &self.view(),
            self.now,
            true,
        )?;
        self.pool.insert(candidate, self.now)
    }

    pub fn ids(&self) -> BTreeSet<Txid> {
        self.pool.ids().collect()
    }

    /// Connects a block of `transactions`, which the chain has the coins for.
    pub fn connect(&mut self, transactions: Vec<Transaction>) {
        self.made += 1;
        self.height += 1;
        let mut coinbase = payment(&[OutPoint::NULL], &[COIN_VALUE]);
        coinbase.inputs[0].script_sig = Script::from(self.made.to_le_bytes().to_vec());
        let mut header = self.spec.genesis_block().header;
        header.prev_block = self.view().tip;
        header.merkle_root = MerkleRoot::from_bytes(coinbase.txid().to_bytes());
        let mut spent = Vec::new();
        for tx in std::iter::once(&coinbase).chain(&transactions) {
            let is_coinbase = tx.is_coinbase();
            for input in tx.inputs.iter().filter(|_| !is_coinbase) {
                let coin = self.coins.remove(&input.previous_output).unwrap();
                spent.push((input.previous_output, coin));
            }
            for (vout, made) in (0..).zip(&tx.outputs) {
                let coin = Coin {
                    value: made.value.check().unwrap(),
                    pubkey_hash: PubkeyHash::ZERO,
                    height: self.height,
                    is_coinbase,
                };
                self.coins.insert(
                    OutPoint {
                        txid: tx.txid(),
                        vout,
                    },
                    coin,
                );
            }
        }
        let block = Arc::new(Block {
            header,
            transactions: std::iter::once(coinbase).chain(transactions).collect(),
        });
        self.pool.block_connected(block.hash(), self.height, &block);
        self.blocks.push(Connected { block, spent });
    }

    /// Disconnects the tip; the pool settles with [`Model::settle`]. Returns false at the bottom.
    pub fn disconnect(&mut self) -> bool {
        let Some(Connected { block, spent }) = self.blocks.pop() else {
            return false;
        };
        self.height -= 1;
        // A coin made and spent in this block comes back by its spender and goes with its maker.
        self.coins.extend(spent);
        for tx in &block.transactions {
            for (vout, _) in (0..).zip(&tx.outputs) {
                self.coins.remove(&OutPoint {
                    txid: tx.txid(),
                    vout,
                });
            }
        }
        self.pool
            .block_disconnected(block.header.prev_block, Arc::clone(&block));
        true
    }

    pub fn settle(&mut self) {
        self.let_back(Pool::settle);
    }

    pub fn readmit(&mut self) {
        self.let_back(Pool::readmit);
    }

    fn let_back(&mut self, step: Step) {
        let view = ChainView {
            spec: &self.spec,
            tip: self
                .blocks
                .last()
                .map_or(BlockHash::ZERO, |top| top.block.hash()),
            tip_height: self.height,
            median_time_past: 1_900_000_000 + self.height,
            median_time_at: &|height| 1_900_000_000 + height,
            coins: &self.coins,
        };
        step(&mut self.pool, &view, self.now, &mut |_| Ok(()));
    }

    /// Panics where an invariant does not hold.
    pub fn check(&mut self) {
        self.check_events();
        self.check_graph();
        self.check_sums();
        self.check_against_chain();
        assert!(
            self.pool.usage <= self.pool.policy.max_usage,
            "the byte limit"
        );
        assert_eq!(self.pool.tip(), self.view().tip);
    }

    fn check_events(&mut self) {
        for event in self.pool.take_events() {
            match event {
                MempoolEvent::Added { txid, tx, .. } => {
                    assert_eq!(txid, tx.txid());
                    assert!(self.told.insert(txid), "told twice");
                }
                MempoolEvent::Removed { txid, .. } => {
                    assert!(self.told.remove(&txid), "removed but not there")
                }
            }
        }
        assert_eq!(self.told, self.pool.ids().collect::<HashSet<_>>());
    }

    /// [`Model::check`] while there are priorities, which decide what a template takes.
    pub fn check_graph_with_priorities(&mut self) {
        self.check_events();
        self.check_graph();
        self.check_sums();
    }

    fn check_graph(&self) {
        let entries = &self.pool.entries;
        let inputs: usize = entries.values().map(|entry| entry.tx.inputs.len()).sum();
        assert_eq!(self.pool.spends.len(), inputs, "no coin is spent twice");
        for (txid, entry) in entries {
            assert_eq!(*txid, entry.tx.txid());
            for (input, spent) in entry.tx.inputs.iter().zip(&entry.spent) {
                let outpoint = input.previous_output;
                assert_eq!(self.pool.spends.get(&outpoint), Some(txid));
                match entries.get(&outpoint.txid) {
                    Some(parent) => {
                        assert!(
                            entry.parents.contains(&outpoint.txid)
                                && parent.children.contains(txid)
                        );
                        assert!(!self.coins.contains_key(&outpoint));
                    }
                    None => assert_eq!(
                        self.coins[&outpoint].value, spent.value,
                        "every coin exists"
                    ),
                }
            }
            assert!(
                entry
                    .parents
                    .iter()
                    .all(|parent| entries[parent].children.contains(txid))
            );
            assert!(
                entry
                    .children
                    .iter()
                    .all(|child| entries[child].parents.contains(txid))
            );
            for (vout, _) in (0..).zip(&entry.tx.outputs) {
                assert!(
                    !self.coins.contains_key(&OutPoint { txid: *txid, vout }),
                    "nothing is in the chain"
                );
            }
        }
    }

    fn check_sums(&self) {
        let entries = &self.pool.entries;
        let sum = |ids: &HashSet<Txid>| {
            ids.iter().fold(Package::default(), |mut sum, txid| {
                sum.add(&entries[txid].own);
                sum
            })
        };
        for (txid, entry) in entries {
            let up = closure(*txid, |txid| {
                entries[txid].parents.iter().copied().collect()
            });
            let down = closure(*txid, |txid| {
                entries[txid].children.iter().copied().collect()
            });
            assert_eq!(entry.ancestors, sum(&up));
            assert_eq!(entry.descendants, sum(&down));
            assert_eq!(entry.own.size, entry.tx.encoded_len() as u64);
        }
        let mut total = sum(&entries.keys().copied().collect());
        total.fee -= entries
            .values()
            .map(|entry| i128::from(entry.priority))
            .sum::<i128>();
        assert_eq!(self.pool.total, total);
        assert_eq!(
            self.pool.usage,
            entries
                .values()
                .map(super::super::entry::Entry::usage)
                .sum::<u64>()
        );
        let mining: BTreeSet<_> = entries
            .values()
            .map(super::super::entry::Entry::mining_rank)
            .collect();
        let keeping: BTreeSet<_> = entries
            .values()
            .map(super::super::entry::Entry::keeping_rank)
            .collect();
        assert_eq!(
            (&self.pool.for_mining, &self.pool.for_keeping),
            (&mining, &keeping)
        );
    }

    fn check_against_chain(&self) {
        let all = self.pool.transactions();
        self.check_block(all.iter().map(|(_, tx)| &**tx));
        let exactly = (self.pool.total.size, self.pool.total.sigops);
        for (bytes, sigops) in [exactly, (1000, 5), (300, u64::MAX), (0, 0)] {
            let template = self.pool.template(bytes, sigops).transactions;
            self.check_block(template.iter().map(|tx| &*tx.tx));
            assert!(template.iter().map(|tx| tx.size).sum::<u64>() <= bytes);
            assert!(template.iter().map(|tx| tx.sigops).sum::<u64>() <= sigops);
            if (bytes, sigops) == exactly {
                assert_eq!(
                    template.len(),
                    all.len(),
                    "with room for all, all are taken"
                );
            }
        }
    }

    /// The transactions are valid in this order in the next block.
    fn check_block<'a>(&self, transactions: impl Iterator<Item = &'a Transaction>) {
        let mut coins = self.coins.clone();
        let view = self.view();
        let context = SpendContext {
            height: self.height + 1,
            median_time_past: view.median_time_past,
            median_time_at: view.median_time_at,
        };
        for tx in transactions {
            check_transaction_in_utxo_context(&self.spec, tx, &context, &coins).unwrap();
            for input in &tx.inputs {
                coins.remove(&input.previous_output);
            }
            for (vout, made) in (0..).zip(&tx.outputs) {
                let coin = Coin {
                    value: made.value.check().unwrap(),
                    pubkey_hash: PubkeyHash::ZERO,
                    height: self.height + 1,
                    is_coinbase: false,
                };
                coins.insert(
                    OutPoint {
                        txid: tx.txid(),
                        vout,
                    },
                    coin,
                );
            }
        }
    }
}

fn closure(start: Txid, next: impl Fn(&Txid) -> Vec<Txid>) -> HashSet<Txid> {
    let mut found = HashSet::from([start]);
    let mut open = vec![start];
    while let Some(txid) = open.pop() {
        open.extend(next(&txid).into_iter().filter(|txid| found.insert(*txid)));
    }
    found
}
