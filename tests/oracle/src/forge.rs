//! Keys, signatures, payments and blocks made to order.

use std::collections::HashSet;

use quarry::consensus::height_push;
use quarry::primitives::{
    Block, BlockHash, BlockHeader, CompactTarget, MerkleRoot, OutPoint, PubkeyHash, Script,
    Transaction, TxIn, TxOut, Txid, UncheckedAmount, hash160,
};
use secp256k1::{All, Message, PublicKey, Secp256k1, SecretKey, ecdsa};

use crate::sighash;
use crate::view::{Owned, Spend, View};

/// How many keys there are: few, so that they are made once.
pub const KEYS: usize = 8;
/// The target of every regtest block.
pub const BITS: CompactTarget = CompactTarget(0x207f_ffff);
/// The sequence of an input without locks.
pub const FINAL: u32 = u32::MAX;

/// A key and what follows from it.
pub struct Key {
    /// The secret.
    pub secret: SecretKey,
    /// The point.
    pub public: PublicKey,
    /// The hash of its compressed form.
    pub hash: PubkeyHash,
    /// The output script that pays it.
    pub script: Script,
}

/// Makes and signs.
pub struct Forge {
    /// The curve.
    pub curve: Secp256k1<All>,
    /// The keys.
    pub keys: Vec<Key>,
    /// The transactions whose input scripts are good: what the naive model knows of signatures.
    pub signed: HashSet<Txid>,
    salt: u32,
}

/// A payment before it is signed.
pub struct Payment {
    /// Its version.
    pub version: i32,
    /// Its lock time.
    pub lock_time: u32,
    /// What it spends, and each input's sequence.
    pub inputs: Vec<(Owned, u32)>,
    /// Whom it pays (a key's number) how much.
    pub outputs: Vec<(usize, u64)>,
}

impl Payment {
    /// A plain payment of whole coins to one key.
    pub fn plain(coins: &[Owned], key: usize, fee: u64) -> Self {
        let total: u64 = coins.iter().map(|coin| coin.value).sum();
        Self {
            version: 2,
            lock_time: 0,
            inputs: coins.iter().map(|coin| (*coin, FINAL)).collect(),
            outputs: vec![(key, total.saturating_sub(fee))],
        }
    }
}

impl Default for Forge {
    fn default() -> Self {
        Self::new()
    }
}

impl Forge {
    /// A forge with its keys.
    ///
    /// # Panics
    /// Never: small numbers are secret keys.
    pub fn new() -> Self {
        let curve = Secp256k1::new();
        let keys = (1..=KEYS)
            .map(|number| {
                let byte = u8::try_from(number).expect("there are few keys");
                let secret = SecretKey::from_slice(&[byte; 32]).expect("a number below the order");
                let public = PublicKey::from_secret_key(&curve, &secret);
                let hash = hash160(&public.serialize());
                let script = Script::p2pkh(&hash);
                Key {
                    secret,
                    public,
                    hash,
                    script,
                }
            })
            .collect();
        Self {
            curve,
            keys,
            signed: HashSet::new(),
            salt: 0,
        }
    }

    /// An output that pays a key.
    pub fn output(&self, key: usize, value: u64) -> TxOut {
        TxOut {
            value: UncheckedAmount(value),
            script_pubkey: self.keys[key].script.clone(),
        }
    }

    /// The signature of one input, in DER without the hash type.
    pub fn signature(&self, tx: &Transaction, index: usize, key: usize, hash_type: u8) -> Vec<u8> {
        let digest = sighash::signature_hash(tx, index, &self.keys[key].script, hash_type);
        self.sign_digest(&digest, key).serialize_der().to_vec()
    }

    /// A low-S signature of a digest.
    pub fn sign_digest(&self, digest: &[u8; 32], key: usize) -> ecdsa::Signature {
        self.curve
            .sign_ecdsa(&Message::from_digest(*digest), &self.keys[key].secret)
    }

    /// Writes every input's script; the model is told that they are good.
    pub fn sign(&mut self, tx: &mut Transaction, coins: &[Owned]) {
        let scripts: Vec<Script> = coins
            .iter()
            .enumerate()
            .map(|(index, coin)| {
                let mut signature = self.signature(tx, index, coin.key, sighash::ALL);
                signature.push(sighash::ALL);
                pushes(&[&signature, &self.keys[coin.key].public.serialize()])
            })
            .collect();
        for (input, script) in tx.inputs.iter_mut().zip(scripts) {
            input.script_sig = script;
        }
        self.signed.insert(tx.txid());
    }

    /// A signed payment.
    pub fn pay(&mut self, payment: &Payment) -> Spend {
        let coins: Vec<Owned> = payment.inputs.iter().map(|(coin, _)| *coin).collect();
        let mut tx = Transaction {
            version: payment.version,
            inputs: payment
                .inputs
                .iter()
                .map(|(coin, sequence)| TxIn {
                    previous_output: coin.outpoint,
                    script_sig: Script::default(),
                    sequence: *sequence,
                })
                .collect(),
            outputs: payment
                .outputs
                .iter()
                .map(|(key, value)| self.output(*key, *value))
                .collect(),
            lock_time: payment.lock_time,
        };
        self.sign(&mut tx, &coins);
        (tx, coins)
    }

    /// A coinbase that no other equals.
    pub fn coinbase(&mut self, height: u32, outputs: &[(usize, u64)]) -> Transaction {
        self.salt += 1;
        let mut script = height_push(height);
        script.push(4);
        script.extend_from_slice(&self.salt.to_le_bytes());
        Transaction {
            version: 1,
            inputs: vec![TxIn {
                previous_output: OutPoint::NULL,
                script_sig: Script::from(script),
                sequence: FINAL,
            }],
            outputs: outputs
                .iter()
                .map(|(key, value)| self.output(*key, *value))
                .collect(),
            lock_time: 0,
        }
    }

    /// A block after the view's tip, not yet mined.
    pub fn block(&mut self, view: &View, time: u32, transactions: Vec<Transaction>) -> Block {
        Block {
            header: BlockHeader {
                version: 0x2000_0000,
                prev_block: view.tip,
                merkle_root: MerkleRoot::ZERO,
                time,
                bits: BITS,
                // No two headers are equal, not even of blocks without transactions.
                nonce: self.salt << 8,
            },
            transactions,
        }
    }
}

/// A script of direct pushes.
///
/// # Panics
/// Where a push is longer than 75 bytes.
pub fn pushes(items: &[&[u8]]) -> Script {
    let mut script = Vec::new();
    for item in items {
        let length = u8::try_from(item.len()).ok().filter(|length| *length <= 75);
        script.push(length.expect("the push is short"));
        script.extend_from_slice(item);
    }
    Script::from(script)
}

/// Writes the merkle root and finds a nonce, about two hashes.
pub fn finish(block: &mut Block) {
    block.header.merkle_root = block.compute_merkle_root().0;
    mine(&mut block.header, true);
}

/// Finds a nonce that meets the regtest target, or one that misses it. Whatever the header's own bits say, so that a header with
/// wrong bits can be made too.
pub fn mine(header: &mut BlockHeader, meet: bool) {
    while meets_regtest(&header.hash()) != meet {
        header.nonce = header.nonce.wrapping_add(1);
    }
}

/// Whether a hash is at most 7fffff00…00.
pub fn meets_regtest(hash: &BlockHash) -> bool {
    let mut limit = [0; 32];
    limit[..3].copy_from_slice(&[0x7f, 0xff, 0xff]);
    let mut bytes = hash.to_bytes();
    bytes.reverse();
    bytes <= limit
}
