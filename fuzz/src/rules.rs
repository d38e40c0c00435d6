//! The rules of blocks written a second time, on rust-bitcoin's types and libsecp256k1, as plainly as can be.

use std::collections::{BTreeMap, HashSet};

use bitcoin::hashes::Hash;
use bitcoin::secp256k1::{Message, PublicKey, Secp256k1, ecdsa};
use bitcoin::{Block, OutPoint, Script, ScriptBuf, Transaction, TxMerkleNode};
use quarry::consensus::ChainSpec;
use quarry::primitives::MAX_MONEY;

/// A coin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coin {
    pub value: u64,
    pub script: ScriptBuf,
    pub height: u32,
    pub is_coinbase: bool,
}

/// All coins of a chain.
pub type Coins = BTreeMap<OutPoint, Coin>;

/// Why a body is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It is not the body that the header commits to.
    Mutated(&'static str),
    /// The block breaks a rule.
    Invalid(&'static str),
}

/// The rules that need no coins.
pub fn check_body(
    spec: &ChainSpec,
    block: &Block,
    height: u32,
    median_time: u32,
) -> Result<(), Refusal> {
    use Refusal::{Invalid, Mutated};
    let txids: Vec<[u8; 32]> = block
        .txdata
        .iter()
        .map(|tx| tx.compute_txid().to_byte_array())
        .collect();
    let root = block
        .compute_merkle_root()
        .unwrap_or(TxMerkleNode::all_zeros());
    if root != block.header.merkle_root {
        return Err(Mutated("root"));
    }
    if has_equal_siblings(&txids) {
        return Err(Mutated("repeated tail"));
    }
    if block.txdata.iter().any(|tx| tx.base_size() == 64) {
        return Err(Mutated("64 bytes"));
    }
    if block.total_size() > limit(spec.max_block_size) {
        return Err(Invalid("size"));
    }
    let is_coinbase: Vec<bool> = block.txdata.iter().map(Transaction::is_coinbase).collect();
    if is_coinbase.first() != Some(&true) || is_coinbase[1..].contains(&true) {
        return Err(Invalid("coinbase"));
    }
    for tx in &block.txdata {
        check_transaction(tx).map_err(Invalid)?;
    }
    let outputs: usize = block.txdata.iter().map(|tx| tx.output.len()).sum();
    let in_coinbase = block.txdata[0].input[0].script_sig.count_sigops_legacy();
    if outputs + in_coinbase > limit(spec.max_block_sigops) {
        return Err(Invalid("sigops"));
    }
    for tx in &block.txdata {
        let lock = tx.lock_time.to_consensus_u32();
        let now = if lock < 500_000_000 {
            height
        } else {
            median_time
        };
        let ignored = tx.input.iter().all(|input| input.sequence.0 == u32::MAX);
        if lock >= now && lock != 0 && !ignored {
            return Err(Invalid("lock time"));
        }
    }
    let script = block.txdata[0].input[0].script_sig.as_bytes();
    if !script.starts_with(&crate::node::height_script(height)) {
        return Err(Invalid("height"));
    }
    Ok(())
}

fn limit(value: u32) -> usize {
    usize::try_from(value).expect("32 bits fit")
}

/// Two equal nodes side by side under one parent (CVE-2012-2459).
fn has_equal_siblings(level: &[[u8; 32]]) -> bool {
    if level.len() < 2 {
        return false;
    }
    let equal = level.chunks_exact(2).any(|pair| pair[0] == pair[1]);
    let above: Vec<[u8; 32]> = level
        .chunks(2)
        .map(|pair| {
            let both = [pair[0], pair[pair.len() - 1]].concat();
            bitcoin::hashes::sha256d::Hash::hash(&both).to_byte_array()
        })
        .collect();
    equal || has_equal_siblings(&above)
}

fn check_transaction(tx: &Transaction) -> Result<(), &'static str> {
    if ![1, 2].contains(&tx.version.0) {
        return Err("version");
    }
    if tx.input.is_empty() || tx.output.is_empty() {
        return Err("empty");
    }
    let sum = tx
        .output
        .iter()
        .map(|output| u128::from(output.value.to_sat()))
        .sum::<u128>();
    if sum > u128::from(MAX_MONEY) {
        return Err("value");
    }
    if !tx
        .output
        .iter()
        .all(|output| output.script_pubkey.is_p2pkh())
    {
        return Err("output script");
    }
    let spent: HashSet<OutPoint> = tx.input.iter().map(|input| input.previous_output).collect();
    if spent.len() != tx.input.len() {
        return Err("duplicate input");
    }
    if tx.is_coinbase() {
        let length = tx.input[0].script_sig.len();
        return if (2..=100).contains(&length) {
            Ok(())
        } else {
            Err("coinbase script")
        };
    }
    if spent.contains(&OutPoint::null()) {
        return Err("null input");
    }
    Ok(())
}

/// The coins after a block, or the rule that it breaks. `median_time_at` is the median time past of the block at a height.
pub fn connect(
    spec: &ChainSpec,
    block: &Block,
    height: u32,
    median_time_at: &dyn Fn(u32) -> u32,
    before: &Coins,
) -> Result<Coins, &'static str> {
    let mut coins = before.clone();
    let mut fees = 0_u128;
    for (index, tx) in block.txdata.iter().enumerate() {
        if index > 0 {
            let mut spent = Vec::new();
            for input in &tx.input {
                let coin = coins.remove(&input.previous_output).ok_or("no coin")?;
                if coin.is_coinbase && height - coin.height < spec.coinbase_maturity {
                    return Err("immature");
                }
                check_relative_lock(
                    tx.version.0,
                    input.sequence.0,
                    &coin,
                    height,
                    median_time_at,
                )?;
                spent.push(coin);
            }
            let paid_in: u128 = spent.iter().map(|coin| u128::from(coin.value)).sum();
            let paid_out: u128 = tx.output.iter().map(|o| u128::from(o.value.to_sat())).sum();
            if paid_out > paid_in {
                return Err("money from nothing");
            }
            fees += paid_in - paid_out;
            check_signatures(tx, &spent)?;
        }
        let txid = tx.compute_txid();
        for (vout, output) in (0..).zip(&tx.output) {
            let coin = Coin {
                value: output.value.to_sat(),
                script: output.script_pubkey.clone(),
                height,
                is_coinbase: index == 0,
            };
            let replaced = coins.insert(OutPoint { txid, vout }, coin);
            assert_eq!(replaced, None, "a coin was overwritten (BIP30)");
        }
    }
    let taken: u128 = block.txdata[0]
        .output
        .iter()
        .map(|o| u128::from(o.value.to_sat()))
        .sum();
    let subsidy = u128::from(spec.subsidy.units()) >> (height / spec.halving_interval).min(100);
    if taken > subsidy + fees {
        return Err("coinbase amount");
    }
    Ok(coins)
}

/// BIP68.
fn check_relative_lock(
    version: i32,
    sequence: u32,
    coin: &Coin,
    height: u32,
    median_time_at: &dyn Fn(u32) -> u32,
) -> Result<(), &'static str> {
    if version < 2 || sequence >> 31 == 1 {
        return Ok(());
    }
    let lock = sequence & 0xffff;
    let passed = if sequence >> 22 & 1 == 1 {
        let elapsed = i64::from(median_time_at(height - 1))
            - i64::from(median_time_at(coin.height.max(1) - 1));
        elapsed >= i64::from(lock) * 512
    } else {
        height - coin.height >= lock
    };
    if passed { Ok(()) } else { Err("relative lock") }
}

fn check_signatures(tx: &Transaction, spent: &[Coin]) -> Result<(), &'static str> {
    let cache = bitcoin::sighash::SighashCache::new(tx);
    let secp = Secp256k1::verification_only();
    for (index, (input, coin)) in tx.input.iter().zip(spent).enumerate() {
        let (signature, key) =
            signature_and_key(input.script_sig.as_bytes()).ok_or("input script")?;
        let key_hash = bitcoin::PublicKey::new(key).pubkey_hash();
        if ScriptBuf::new_p2pkh(&key_hash) != coin.script {
            return Err("key");
        }
        let hash = cache
            .legacy_signature_hash(index, Script::from_bytes(coin.script.as_bytes()), 1)
            .map_err(|_| "no such input")?;
        let message = Message::from_digest(hash.to_byte_array());
        secp.verify_ecdsa(&message, &signature, &key)
            .map_err(|_| "signature")?;
    }
    Ok(())
}

/// The parts of the one form of an input script. Strict DER is what libsecp256k1 writes again byte for byte.
pub fn signature_and_key(script: &[u8]) -> Option<(ecdsa::Signature, PublicKey)> {
    let (length, rest) = script.split_first()?;
    let length = usize::from(*length);
    let (signature, rest) = (length <= 73).then(|| rest.split_at_checked(length))??;
    let key = rest.strip_prefix(&[33])?;
    let der = signature.strip_suffix(&[1])?;
    let signature = ecdsa::Signature::from_der(der).ok()?;
    let mut low = signature;
    low.normalize_s();
    let compact = signature.serialize_compact();
    let is_zero = |number: &[u8]| number.iter().all(|byte| *byte == 0);
    if low != signature
        || signature.serialize_der()[..] != *der
        || is_zero(&compact[..32])
        || is_zero(&compact[32..])
        || key.len() != 33
    {
        return None;
    }
    Some((signature, PublicKey::from_slice(key).ok()?))
}
