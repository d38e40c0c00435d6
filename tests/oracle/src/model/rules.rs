//! The rules, as a reader of `docs/consensus.md` would write them down at once. Each returns the name of the broken one.

use std::collections::HashSet;

use quarry::primitives::{Txid, sha256d};

use super::bytes::{Body, Hash, Header, Tx};
use super::{Coin, Coins, Params};

const MAX_MONEY: u64 = 2_100_000_000_000_000;
const MAX_SIZE: usize = 1_000_000;
const MAX_SIGOPS: usize = 20_000;
const NO_COIN: (Hash, u32) = ([0; 32], u32::MAX);

/// A header after its parent, whose median time is `median`.
pub fn header(header: &Header, median: u32, now: u64) -> Result<(), &'static str> {
    if header.bits != 0x207f_ffff {
        return Err("WrongBits");
    }
    let mut hash = header.hash;
    hash.reverse();
    let mut limit = [0; 32];
    limit[..3].copy_from_slice(&[0x7f, 0xff, 0xff]);
    check(hash <= limit, "HighHash")?;
    check(header.time > median, "TimeTooOld")?;
    check(header.version >= 4, "VersionTooOld")?;
    check(u64::from(header.time) <= now + 7200, "TimeTooNew")
}

fn check(holds: bool, rule: &'static str) -> Result<(), &'static str> {
    if holds { Ok(()) } else { Err(rule) }
}

/// The transactions are the ones that the header commits to.
pub fn body_matches_header(body: &Body) -> Result<(), &'static str> {
    let mut level: Vec<Hash> = body.txs.iter().map(|tx| tx.txid).collect();
    let mut repeats = false;
    while level.len() > 1 {
        let whole = level.len() / 2 * 2;
        repeats |= (0..whole).step_by(2).any(|at| level[at] == level[at + 1]);
        if whole < level.len() {
            level.push(level[whole]);
        }
        level = level
            .chunks(2)
            .map(|pair| sha256d(&pair.concat()))
            .collect();
    }
    check(
        level.first().copied().unwrap_or_default() == body.header.merkle_root,
        "MerkleRootMismatch",
    )?;
    check(!repeats, "MerkleTreeMutated")?;
    check(
        body.txs.iter().all(|tx| tx.size != 64),
        "SixtyFourByteTransaction",
    )
}

/// A block in its place, before its coins are looked at.
pub fn block(body: &Body, height: u32, median: u32) -> Result<(), &'static str> {
    check(body.size <= MAX_SIZE, "BlockTooLarge")?;
    check(body.txs.first().is_some_and(is_coinbase), "CoinbaseMissing")?;
    check(!body.txs[1..].iter().any(is_coinbase), "CoinbaseNotFirst")?;
    body.txs.iter().try_for_each(transaction)?;
    // The forge writes no opcode that counts into a coinbase script, so outputs are all there is.
    let sigops: usize = body.txs.iter().map(|tx| tx.outputs.len()).sum();
    check(sigops <= MAX_SIGOPS, "TooManySigops")?;
    check(
        body.txs.iter().all(|tx| is_final(tx, height, median)),
        "NotFinal",
    )?;
    check(
        begins_with_height(&body.txs[0].inputs[0].script, height),
        "CoinbaseHeight",
    )
}

fn is_coinbase(tx: &Tx) -> bool {
    tx.inputs.len() == 1 && tx.inputs[0].coin == NO_COIN
}

fn transaction(tx: &Tx) -> Result<(), &'static str> {
    check(matches!(tx.version, 1 | 2), "TransactionVersion")?;
    check(!tx.outputs.is_empty(), "NoOutputs")?;
    let mut sum = 0;
    for output in &tx.outputs {
        check(output.value <= MAX_MONEY, "OutputValue")?;
        sum += output.value;
        check(sum <= MAX_MONEY, "OutputSum")?;
        check(is_p2pkh(&output.script), "OutputScript")?;
    }
    let different: HashSet<_> = tx.inputs.iter().map(|input| input.coin).collect();
    check(different.len() == tx.inputs.len(), "DuplicateInput")?;
    if is_coinbase(tx) {
        return check(
            (2..=100).contains(&tx.inputs[0].script_len),
            "CoinbaseScriptLength",
        );
    }
    check(
        tx.inputs.iter().all(|input| input.coin != NO_COIN),
        "NullInput",
    )
}

fn is_p2pkh(script: &[u8]) -> bool {
    script.len() == 25 && script[..3] == [0x76, 0xa9, 20] && script[23..] == [0x88, 0xac]
}

fn is_final(tx: &Tx, height: u32, median: u32) -> bool {
    let now = if tx.lock_time < 500_000_000 {
        height
    } else {
        median
    };
    tx.lock_time < now
        || tx.lock_time == 0
        || tx.inputs.iter().all(|input| input.sequence == u32::MAX)
}

/// BIP34: the height as a script number, pushed in the shortest form.
fn begins_with_height(script: &[u8], height: u32) -> bool {
    if (1..=16).contains(&height) {
        return script[0] == 0x50 + height as u8;
    }
    let [low, middle, high, _] = height.to_le_bytes();
    let number = match height {
        0..=0x7f => vec![low],
        0x80..=0x7fff => vec![low, middle],
        _ => vec![low, middle, high],
    };
    script.len() > number.len()
        && script[0] == number.len() as u8
        && script[1..].starts_with(&number)
}

/// Where a block is connected.
pub struct Place<'a> {
    /// Its height.
    pub height: u32,
    /// The median time of each block before it, by height.
    pub medians: &'a [u32],
    /// The chain's parameters.
    pub params: Params,
}

/// Connects a block to the coins; where it breaks a rule, they stay as they were. Returns what it spent.
pub fn connect(
    coins: &mut Coins,
    body: &Body,
    place: &Place<'_>,
    signed: &HashSet<Txid>,
) -> Result<Vec<Coin>, &'static str> {
    let mut after = Change {
        below: coins,
        gone: HashSet::new(),
        made: Coins::new(),
    };
    let mut spent = Vec::new();
    let mut fees = 0;
    add_coins(&mut after.made, &body.txs[0], place.height, true);
    for tx in &body.txs[1..] {
        let mut value_in = 0;
        for input in &tx.inputs {
            let coin = after.take(&input.coin).ok_or("MissingCoin")?;
            let mature = !coin.coinbase || place.height >= coin.height + place.params.maturity;
            check(mature, "ImmatureCoinbase")?;
            check(
                relative_lock_passed(tx.version, input.sequence, &coin, place),
                "SequenceLock",
            )?;
            value_in += coin.value;
            check(value_in <= MAX_MONEY, "InputSum")?;
            spent.push(coin);
        }
        let value_out: u64 = tx.outputs.iter().map(|output| output.value).sum();
        check(value_in >= value_out, "InputsBelowOutputs")?;
        fees += value_in - value_out;
        check(fees <= MAX_MONEY, "FeeSum")?;
        add_coins(&mut after.made, tx, place.height, false);
    }
    let claimed: u64 = body.txs[0].outputs.iter().map(|output| output.value).sum();
    let subsidy = place
        .params
        .subsidy
        .checked_shr(place.height / place.params.halving)
        .unwrap_or(0);
    check(subsidy + fees <= MAX_MONEY, "FeeSum")?;
    check(claimed <= subsidy + fees, "CoinbaseAmount")?;
    let good = |tx: &Tx| signed.contains(&Txid::from_bytes(tx.txid));
    check(body.txs[1..].iter().all(good), "Script")?;
    let Change { gone, made, .. } = after;
    for outpoint in gone {
        coins.remove(&outpoint);
    }
    coins.extend(made);
    Ok(spent)
}

/// The coins while a block is being connected.
struct Change<'a> {
    below: &'a Coins,
    gone: HashSet<(Hash, u32)>,
    made: Coins,
}

impl Change<'_> {
    fn take(&mut self, outpoint: &(Hash, u32)) -> Option<Coin> {
        if let Some(coin) = self.made.remove(outpoint) {
            return Some(coin);
        }
        let coin = self.below.get(outpoint)?;
        self.gone.insert(*outpoint).then(|| coin.clone())
    }
}

/// BIP68.
fn relative_lock_passed(version: i32, sequence: u32, coin: &Coin, place: &Place<'_>) -> bool {
    if version < 2 || sequence >> 31 == 1 {
        return true;
    }
    let lock = sequence & 0xffff;
    if sequence & 1 << 22 == 0 {
        return place.height >= coin.height + lock;
    }
    let now = place.medians[place.medians.len() - 1];
    let start = place.medians[coin.height.saturating_sub(1) as usize];
    u64::from(now) >= u64::from(start) + 512 * u64::from(lock)
}

/// Adds the outputs that can ever be spent.
pub fn add_coins(coins: &mut Coins, tx: &Tx, height: u32, coinbase: bool) {
    for (index, output) in (0..).zip(&tx.outputs) {
        // Only the first block of regtest has another output.
        if is_p2pkh(&output.script) {
            let coin = Coin {
                value: output.value,
                script: output.script.clone(),
                height,
                coinbase,
            };
            coins.insert((tx.txid, index), coin);
        }
    }
}

/// The same change of the coins without any check.
pub fn fold(coins: &mut Coins, body: &Body, height: u32) {
    for (index, tx) in body.txs.iter().enumerate() {
        for input in tx.inputs.iter().filter(|_| index > 0) {
            coins.remove(&input.coin);
        }
        add_coins(coins, tx, height, index == 0);
    }
}
