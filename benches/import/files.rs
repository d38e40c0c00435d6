//! The block files that imports are timed with: made from a seed, kept in a folder by their parameters, valid on regtest.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use quarry::consensus::{BLOCK_VERSION, ChainSpec, height_push};
use quarry::keys::{SecretKey, sign_input};
use quarry::node::write_record;
use quarry::primitives::{
    Amount, Block, BlockHash, BlockHeader, Encode, MerkleRoot, OutPoint, PubkeyHash,
    SEQUENCE_FINAL, Script, Transaction, TxIn, TxOut, Txid, sha256,
};

/// A change of what the files hold makes new names.
const VERSION: u32 = 1;
/// Keys that coins belong to; each is used about as often as an active address is.
const KEYS: usize = 100_000;
/// Outputs of a transaction that makes coins: one below the limit of a block's signature operations, which its coinbase takes.
const FAN_OUT: usize = 19_999;
/// The maturity of regtest's coinbases.
const MATURITY: u32 = 100;
/// What a payment leaves to the miner, in base units.
const FEE: u64 = 200;

/// A pseudo-random sequence (splitmix64); files must not depend on a library's version.
#[derive(Clone)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}

/// A coin that can be spent.
#[derive(Clone, Copy)]
struct Owned {
    outpoint: OutPoint,
    units: u64,
    key: usize,
}

struct Keys(Vec<(SecretKey, PubkeyHash)>);

impl Keys {
    fn new() -> Self {
        let keys = (0..KEYS as u64).map(|number| {
            let key = SecretKey::from_bytes(&sha256(&number.to_le_bytes()))
                .expect("a hash is a key but with a probability of 2^-128");
            let hash = key.public_key().pubkey_hash();
            (key, hash)
        });
        Self(keys.collect())
    }

    fn script(&self, key: usize) -> Script {
        Script::p2pkh(&self.0[key].1)
    }
}

/// A chain that grows block by block.
#[derive(Clone)]
struct Chain {
    spec: ChainSpec,
    tip: BlockHash,
    height: u32,
    /// Coinbases by height − 1.
    coinbases: Vec<Owned>,
    salt: u32,
}

impl Chain {
    fn new() -> Self {
        let spec = ChainSpec::regtest();
        Self {
            tip: spec.genesis_block().hash(),
            spec,
            height: 0,
            coinbases: Vec::new(),
            salt: 0,
        }
    }

    fn block(&mut self, keys: &Keys, payments: Vec<Transaction>) -> Block {
        self.height += 1;
        let height = self.height;
        let key = height as usize % KEYS;
        let subsidy = self.spec.subsidy_at(height).units();
        let mut script = height_push(height);
        script.push(4);
        script.extend_from_slice(&self.salt.to_le_bytes());
        let coinbase = Transaction {
            version: 1,
            inputs: vec![TxIn {
                previous_output: OutPoint::NULL,
                script_sig: Script::from(script),
                sequence: SEQUENCE_FINAL,
            }],
            outputs: vec![output(subsidy, keys.script(key))],
            lock_time: 0,
        };
        self.coinbases.push(Owned {
            outpoint: OutPoint {
                txid: coinbase.txid(),
                vout: 0,
            },
            units: subsidy,
            key,
        });
        let transactions = [vec![coinbase], payments].concat();
        let mut block = Block {
            header: BlockHeader {
                version: BLOCK_VERSION,
                prev_block: self.tip,
                merkle_root: MerkleRoot::ZERO,
                time: self.spec.genesis.time + 600 * height,
                bits: self.spec.pow_limit,
                nonce: 0,
            },
            transactions,
        };
        block.header.merkle_root = block.compute_merkle_root().0;
        let target = block.header.bits.to_target().expect("a target");
        while !target.is_met_by(&block.header.hash()) {
            block.header.nonce += 1;
        }
        self.tip = block.hash();
        block
    }

    /// A transaction that splits the coinbase of the block of `number` into `count` coins.
    fn fan_out(&self, keys: &Keys, number: usize, count: usize) -> (Transaction, Txid, u64) {
        let coin = self.coinbases[number];
        let units = (coin.units - FEE) / count as u64;
        let outputs = (0..count).map(|at| output(units, keys.script(key_of(number, at))));
        let mut tx = Transaction {
            version: 2,
            inputs: vec![input(coin.outpoint)],
            outputs: outputs.collect(),
            lock_time: 0,
        };
        sign_input(&mut tx, 0, &keys.0[coin.key].0);
        let txid = tx.txid();
        (tx, txid, units)
    }
}

/// The key of an output of a fan-out.
fn key_of(number: usize, output: usize) -> usize {
    Random((number as u64) << 32 | output as u64).below(KEYS)
}

fn input(outpoint: OutPoint) -> TxIn {
    TxIn {
        previous_output: outpoint,
        script_sig: Script::default(),
        sequence: SEQUENCE_FINAL,
    }
}

fn output(units: u64, script_pubkey: Script) -> TxOut {
    let value = Amount::from_units(units).expect("below the supply").into();
    TxOut {
        value,
        script_pubkey,
    }
}

/// A signed payment of `coins` to two keys, and the coins it makes.
fn payment(keys: &Keys, random: &mut Random, coins: &[Owned]) -> (Transaction, [Owned; 2]) {
    let units: u64 = coins.iter().map(|coin| coin.units).sum::<u64>() - FEE;
    let first = units / 4 + random.next() % (units / 2);
    let parts = [
        (first, random.below(KEYS)),
        (units - first, random.below(KEYS)),
    ];
    let mut tx = Transaction {
        version: 2,
        inputs: coins.iter().map(|coin| input(coin.outpoint)).collect(),
        outputs: parts
            .iter()
            .map(|(units, key)| output(*units, keys.script(*key)))
            .collect(),
        lock_time: 0,
    };
    for (index, coin) in coins.iter().enumerate() {
        sign_input(&mut tx, index, &keys.0[coin.key].0);
    }
    let txid = tx.txid();
    let made = |vout: u32| Owned {
        outpoint: OutPoint { txid, vout },
        units: parts[vout as usize].0,
        key: parts[vout as usize].1,
    };
    let made = [made(0), made(1)];
    (tx, made)
}

/// Every fourth payment spends two coins, so that a hundred have 125 signatures.
fn inputs_of(number: usize) -> usize {
    if number % 4 == 3 { 2 } else { 1 }
}

/// A file that is being written; complete only under its final name.
struct Writer {
    out: BufWriter<File>,
    partial: PathBuf,
    path: PathBuf,
    magic: [u8; 4],
}

impl Writer {
    fn new(path: &Path) -> Self {
        let partial = path.with_extension("partial");
        Self {
            out: BufWriter::new(File::create(&partial).expect("the folder is writable")),
            partial,
            path: path.to_owned(),
            magic: ChainSpec::regtest().magic(),
        }
    }

    fn put(&mut self, block: &Block) {
        write_record(&mut self.out, self.magic, &block.to_bytes()).expect("the disk has room");
    }

    fn finish(mut self) {
        self.out.flush().expect("the disk has room");
        fs::rename(self.partial, self.path).expect("the folder is writable");
    }
}

/// The folder of the files, and keys that are made when the first file needs them.
pub struct Files {
    folder: PathBuf,
    keys: std::cell::OnceCell<Keys>,
}

impl Files {
    pub fn new(folder: &Path) -> Self {
        fs::create_dir_all(folder).expect("the folder can be made");
        Self {
            folder: folder.to_owned(),
            keys: std::cell::OnceCell::new(),
        }
    }

    fn keys(&self) -> &Keys {
        self.keys.get_or_init(Keys::new)
    }

    /// The path of a file, and whether it is still to be made.
    fn place(&self, name: &str) -> (PathBuf, bool) {
        let path = self.folder.join(format!("v{VERSION}-{name}.dat"));
        let missing = !path.exists();
        if missing {
            eprintln!("making {}", path.display());
        }
        (path, missing)
    }

    /// `payments` payments of one and two inputs, `in_block` a block, behind the blocks that make their coins.
    pub fn payments(&self, payments: usize, in_block: usize) -> PathBuf {
        let (path, missing) = self.place(&format!("payments-{payments}-{in_block}"));
        if missing {
            let mut file = Writer::new(&path);
            let mut chain = Chain::new();
            let mut random = Random(1);
            let mut coins =
                self.make_coins(&mut chain, payments * 3 / 2, &mut |block| file.put(block));
            for first in (0..payments).step_by(in_block) {
                let mut txs = Vec::new();
                for number in first..(first + in_block).min(payments) {
                    let spent: Vec<Owned> = (0..inputs_of(number))
                        .map(|_| {
                            let at = random.below(coins.len());
                            coins.swap_remove(at)
                        })
                        .collect();
                    let (tx, made) = payment(self.keys(), &mut random, &spent);
                    txs.push(tx);
                    coins.extend(made.iter().filter(|coin| coin.units > 10 * FEE));
                }
                file.put(&chain.block(self.keys(), txs));
            }
            file.finish();
        }
        path
    }

    /// Blocks that hold a coinbase only.
    pub fn empty(&self, blocks: u32) -> PathBuf {
        let (path, missing) = self.place(&format!("empty-{blocks}"));
        if missing {
            let mut file = Writer::new(&path);
            let mut chain = Chain::new();
            for _ in 0..blocks {
                file.put(&chain.block(self.keys(), Vec::new()));
            }
            file.finish();
        }
        path
    }

    /// ```text
    /// coins ── a1 ── … ── a(depth)
    ///      └── b1 ── … ── b(depth) ── b(depth + 1)
    /// ```
    /// Each block has `in_block` payments; b's are a's, as after a real split, where both sides mine what everybody sent.
    pub fn reorg(&self, depth: u32, in_block: usize) -> PathBuf {
        let (path, missing) = self.place(&format!("reorg-{depth}-{in_block}"));
        if missing {
            let mut file = Writer::new(&path);
            let mut chain = Chain::new();
            let mut random = Random(2);
            let wanted = depth as usize * in_block * 2;
            let mut coins = self.make_coins(&mut chain, wanted, &mut |block| file.put(block));
            let mut other = chain.clone();
            other.salt = 1;
            let mut branch = Vec::new();
            for _ in 0..depth {
                let txs: Vec<Transaction> = (0..in_block)
                    .map(|number| {
                        let spent: Vec<Owned> = (0..inputs_of(number))
                            .map(|_| coins.pop().expect("enough were made"))
                            .collect();
                        payment(self.keys(), &mut random, &spent).0
                    })
                    .collect();
                file.put(&chain.block(self.keys(), txs.clone()));
                branch.push(other.block(self.keys(), txs));
            }
            branch.push(other.block(self.keys(), Vec::new()));
            for block in &branch {
                file.put(block);
            }
            file.finish();
        }
        path
    }

    /// Two files: `coins` coins, and `blocks` blocks of `in_block` payments that spend coins from all over them.
    pub fn large_set(&self, coins: usize, blocks: usize, in_block: usize) -> (PathBuf, PathBuf) {
        let (base, base_missing) = self.place(&format!("coins-{coins}"));
        let (tail, tail_missing) = self.place(&format!("coins-{coins}-then-{blocks}x{in_block}"));
        if !base_missing && !tail_missing {
            return (base, tail);
        }
        let keys = self.keys();
        let mut file = Writer::new(&base);
        let mut chain = Chain::new();
        let made = make_large_set(&mut chain, keys, coins, &mut |block| file.put(block));
        file.finish();
        let mut file = Writer::new(&tail);
        let mut random = Random(3);
        let mut spent = HashSet::new();
        for _ in 0..blocks {
            let mut txs = Vec::new();
            for number in 0..in_block {
                let mut inputs = Vec::new();
                while inputs.len() < inputs_of(number) {
                    let at = random.below(coins);
                    if spent.insert(at) {
                        inputs.push(made.coin(at));
                    }
                }
                txs.push(payment(keys, &mut random, &inputs).0);
            }
            file.put(&chain.block(keys, txs));
        }
        file.finish();
        (base, tail)
    }

    /// At least `wanted` coins that can be spent.
    fn make_coins(
        &self,
        chain: &mut Chain,
        wanted: usize,
        put: &mut dyn FnMut(&Block),
    ) -> Vec<Owned> {
        let keys = self.keys();
        let made = make_large_set(chain, keys, wanted, put);
        (0..wanted).map(|at| made.coin(at)).collect()
    }
}

/// Coins by number, without holding them all.
struct LargeSet {
    fans: Vec<(Txid, u64)>,
}

impl LargeSet {
    fn coin(&self, at: usize) -> Owned {
        let (number, vout) = (at / FAN_OUT, at % FAN_OUT);
        let (txid, units) = self.fans[number];
        Owned {
            outpoint: OutPoint {
                txid,
                vout: u32::try_from(vout).expect("below the limit of a block"),
            },
            units,
            key: key_of(number, vout),
        }
    }
}

fn make_large_set(
    chain: &mut Chain,
    keys: &Keys,
    coins: usize,
    put: &mut dyn FnMut(&Block),
) -> LargeSet {
    for _ in 0..MATURITY {
        put(&chain.block(keys, Vec::new()));
    }
    let fans = (0..coins.div_ceil(FAN_OUT))
        .map(|number| {
            let count = FAN_OUT.min(coins - number * FAN_OUT);
            let (tx, txid, units) = chain.fan_out(keys, number, count);
            put(&chain.block(keys, vec![tx]));
            (txid, units)
        })
        .collect();
    LargeSet { fans }
}
