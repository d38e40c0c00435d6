//! The figures of a block: `getblockstats` (Bitcoin Core, `rpc/blockchain.cpp`).

use serde_json::{Map, Value, json};

use crate::primitives::{Block, Coin, Encode, Script, TxOut};

use super::describe::{self, WEIGHT};

/// What a coin takes in Bitcoin Core's database beside its output: outpoint, height and a flag.
const COIN_OVERHEAD: i64 = 41;

/// Of how many hundredths of a block's weight each percentile is the fee rate.
const PERCENTILES: [u64; 5] = [10, 25, 50, 75, 90];

/// Bytes of a coin whose output is encoded in `output` bytes.
pub(super) fn coin_bytes(output: usize) -> i64 {
    COIN_OVERHEAD.saturating_add(i64::try_from(output).unwrap_or(i64::MAX))
}

/// The figures.
pub(super) struct BlockFigures {
    fees: Vec<u64>,
    /// Fee rate and size of each payment.
    rates: Vec<(u64, u64)>,
    sizes: Vec<u64>,
    total_out: u64,
    inputs: usize,
    outputs: usize,
    /// Coins made less coins spent.
    pub(super) coins_made: i64,
    /// The same in bytes.
    pub(super) coin_bytes: i64,
}

impl BlockFigures {
    /// Of a block and the coins it spends; `None` where these are not of one block.
    pub(super) fn of(block: &Block, spent: &[Coin]) -> Option<Self> {
        let mut figures = Self {
            fees: Vec::new(),
            rates: Vec::new(),
            sizes: Vec::new(),
            total_out: 0,
            inputs: 0,
            outputs: 0,
            coins_made: 0,
            coin_bytes: 0,
        };
        let mut rest = spent;
        for tx in &block.transactions {
            figures.outputs += tx.outputs.len();
            for output in &tx.outputs {
                figures.coins_made += 1;
                figures.coin_bytes += coin_bytes(output.encoded_len());
            }
            if tx.is_coinbase() {
                continue;
            }
            let (coins, after) = rest.split_at_checked(tx.inputs.len())?;
            rest = after;
            for coin in coins {
                let output = TxOut {
                    value: coin.value.into(),
                    script_pubkey: Script::p2pkh(&coin.pubkey_hash),
                };
                figures.coins_made -= 1;
                figures.coin_bytes -= coin_bytes(output.encoded_len());
            }
            let fee = describe::fee(tx, coins)?.units();
            let size = u64::try_from(tx.encoded_len()).ok()?;
            for output in &tx.outputs {
                figures.total_out = figures.total_out.checked_add(output.value.0)?;
            }
            figures.inputs += tx.inputs.len();
            figures.fees.push(fee);
            figures.sizes.push(size);
            figures.rates.push((fee / size.max(1), size));
        }
        figures.fees.sort_unstable();
        figures.sizes.sort_unstable();
        figures.rates.sort_unstable();
        rest.is_empty().then_some(figures)
    }

    pub(super) fn to_json(&self) -> Map<String, Value> {
        let count = u64::try_from(self.fees.len()).unwrap_or(u64::MAX);
        let (fees, size): (u64, u64) = (self.fees.iter().sum(), self.sizes.iter().sum());
        let average = |sum: u64, count: u64| sum.checked_div(count).unwrap_or(0);
        let rates = || self.rates.iter().map(|(rate, _)| *rate);
        let ends = |sorted: &[u64]| {
            let least = sorted.first().copied().unwrap_or(0);
            (least, sorted.last().copied().unwrap_or(0))
        };
        let ((min_fee, max_fee), (min_size, max_size)) = (ends(&self.fees), ends(&self.sizes));
        let mut fields = Map::new();
        let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
        put("avgfee", json!(average(fees, count)));
        put("avgfeerate", json!(average(fees, size)));
        put("avgtxsize", json!(average(size, count)));
        put("feerate_percentiles", json!(self.percentiles(size)));
        put("ins", json!(self.inputs));
        put("maxfee", json!(max_fee));
        put("maxfeerate", json!(rates().next_back().unwrap_or(0)));
        put("maxtxsize", json!(max_size));
        put("medianfee", json!(median(&self.fees)));
        put("mediantxsize", json!(median(&self.sizes)));
        put("minfee", json!(min_fee));
        put("minfeerate", json!(rates().next().unwrap_or(0)));
        put("mintxsize", json!(min_size));
        put("outs", json!(self.outputs));
        for witness in ["swtotal_size", "swtotal_weight", "swtxs"] {
            put(witness, json!(0));
        }
        put("total_out", json!(self.total_out));
        put("total_size", json!(size));
        put("total_weight", json!(size.saturating_mul(WEIGHT as u64)));
        put("totalfee", json!(fees));
        put("txs", json!(count + 1));
        put("utxo_increase", json!(self.coins_made));
        put("utxo_size_inc", json!(self.coin_bytes));
        fields
    }

    /// The fee rates below which the given parts of all bytes lie.
    fn percentiles(&self, total: u64) -> [u64; PERCENTILES.len()] {
        PERCENTILES.map(|percent| {
            let mut below = 0;
            let reached = self.rates.iter().find(|(_, size)| {
                below += size;
                below * 100 >= total * percent
            });
            reached.or(self.rates.last()).map_or(0, |(rate, _)| *rate)
        })
    }
}

/// The middle of a sorted list, or the mean of the two that are.
fn median(sorted: &[u64]) -> u64 {
    let middle = sorted.len() / 2;
    match (
        sorted.get(middle),
        middle.checked_sub(1).and_then(|at| sorted.get(at)),
    ) {
        (None, _) => 0,
        (Some(high), Some(low)) if sorted.len().is_multiple_of(2) => low.midpoint(*high),
        (Some(high), _) => *high,
    }
}
