//! Blocks: as they are, in figures, and over time.

use serde_json::{Map, Value, json};

use super::stored;
use crate::chain::{ChainReader, HeaderInfo, Tip};
use crate::primitives::{Amount, Block, BlockHash, Coin, Decode, Encode};
use crate::rpc::block_stats::{BlockFigures, coin_bytes};
use crate::rpc::describe::{self, Detail};
use crate::rpc::error::{RpcError, code};
use crate::rpc::method::{Answer, Call, Kind, Method, SAMPLE_BLOCK, optional, required};
use crate::rpc::one_state::at_one_tip;

/// Seconds that `getchaintxstats` looks back over (Bitcoin Core: a month).
const STATS_SECONDS: u32 = 30 * 24 * 60 * 60;

pub(super) static METHODS: &[Method] = &[
    Method {
        name: "getblock",
        params: &[
            required("blockhash", Kind::Text, "The block hash"),
            optional(
                "verbosity",
                Kind::Verbosity,
                "0 for hex-encoded data, 1 for an object with transaction ids, 2 for one with transactions, 3 for one with the \
                 outputs that they spend too",
            )
            .or("1")
            .also("verbose"),
        ],
        about: "A block, of any branch.",
        result: "\"hex\" (string) with verbosity 0
{\"hash\": \"hex\", \"confirmations\": n (-1 beside the active chain), \"size\": n, \"strippedsize\": n, \"weight\": n, \
\"height\": n, \"version\": n, \"versionHex\": \"hex\", \"merkleroot\": \"hex\", \"tx\": [\"txid\"|{...}, ...], \"time\": n, \
\"mediantime\": n, \"nonce\": n, \"bits\": \"hex\", \"target\": \"hex\", \"difficulty\": n, \"chainwork\": \"hex\", \"nTx\": n, \
\"previousblockhash\"?: \"hex\", \"nextblockhash\"?: \"hex\"} (object)",
        run: getblock,
    },
    Method {
        name: "getblockheader",
        params: &[
            required("blockhash", Kind::Text, "The block hash"),
            optional(
                "verbose",
                Kind::Boolean,
                "true for an object, false for hex-encoded data",
            )
            .or("true"),
        ],
        about: "The header of a block, of any branch.",
        result: "\"hex\" (string) unless verbose
{\"hash\": \"hex\", \"confirmations\": n (-1 beside the active chain), \"height\": n, \"version\": n, \"versionHex\": \"hex\", \
\"merkleroot\": \"hex\", \"time\": n, \"mediantime\": n, \"nonce\": n, \"bits\": \"hex\", \"target\": \"hex\", \"difficulty\": n, \
\"chainwork\": \"hex\", \"nTx\": n, \"previousblockhash\"?: \"hex\", \"nextblockhash\"?: \"hex\"} (object)",
        run: getblockheader,
    },
    Method {
        name: "getblockstats",
        params: &[
            required(
                "hash_or_height",
                Kind::IntegerOrText,
                "The hash or the height of a block of the active chain",
            )
            .such_as("0"),
            optional("stats", Kind::List, "The names of the figures to answer; without it all"),
        ],
        about: "Figures of a block. Amounts are in base units, fee rates in base units a byte. The coinbase counts in `outs`, \
                `txs`, `subsidy` and the sizes of the set of coins alone.",
        result: "{\"avgfee\"?: n, \"avgfeerate\"?: n, \"avgtxsize\"?: n, \"blockhash\"?: \"hex\", \
\"feerate_percentiles\"?: [n, ...] (10th, 25th, 50th, 75th, 90th by size), \"height\"?: n, \"ins\"?: n, \"maxfee\"?: n, \
\"maxfeerate\"?: n, \"maxtxsize\"?: n, \"medianfee\"?: n, \"mediantime\"?: n, \"mediantxsize\"?: n, \"minfee\"?: n, \
\"minfeerate\"?: n, \"mintxsize\"?: n, \"outs\"?: n, \"subsidy\"?: n, \"swtotal_size\"?: n, \"swtotal_weight\"?: n, \"swtxs\"?: n, \
\"time\"?: n, \"total_out\"?: n, \"total_size\"?: n, \"total_weight\"?: n, \"totalfee\"?: n, \"txs\"?: n, \"utxo_increase\"?: n, \
\"utxo_size_inc\"?: n, \"utxo_increase_actual\"?: n, \"utxo_size_inc_actual\"?: n} (object)",
        run: getblockstats,
    },
    Method {
        name: "getchaintxstats",
        params: &[
            optional(
                "nblocks",
                Kind::Integer,
                "The size of the window in blocks; without it a month of blocks",
            ),
            optional(
                "blockhash",
                Kind::Text,
                "The block at the window's end; without it the tip",
            )
            .such_as(SAMPLE_BLOCK),
        ],
        about: "How many transactions the chain has, and at what rate they came.",
        result: "{\"time\": n, \"txcount\": n, \"window_final_block_hash\": \"hex\", \"window_final_block_height\": n, \
\"window_block_count\": n, \"window_interval\"?: n (seconds), \"window_tx_count\"?: n, \"txrate\"?: n (a second)} (object)",
        run: getchaintxstats,
    },
];

/// The header that a parameter names.
pub(super) fn known_header(call: &Call<'_>, name: &str) -> Result<HeaderInfo, RpcError> {
    let hash: BlockHash = call.args.required_block_hash(name)?;
    let found = call.context.reader().header_info(&hash);
    found.ok_or_else(|| RpcError::not_found("Block not found"))
}

fn getblockheader(call: &Call<'_>) -> Answer {
    if call.args.boolean("verbose").unwrap_or(true) {
        let reader = call.context.reader();
        return at_one_tip(reader, |tip| {
            let info = known_header(call, "blockhash")?;
            Ok(Value::Object(describe::header(reader, &info, tip)))
        });
    }
    let info = known_header(call, "blockhash")?;
    Ok(json!(hex::encode(info.header.to_array())))
}

fn getblock(call: &Call<'_>) -> Answer {
    let verbosity = call.args.verbosity("verbosity", 1)?;
    let reader = call.context.reader();
    let hash = known_header(call, "blockhash")?.hash;
    let raw = stored(reader.raw_block(&hash))?.ok_or_else(not_available)?;
    if verbosity == 0 {
        return Ok(json!(hex::encode(raw)));
    }
    let block = stored(Block::from_bytes(&raw))?;
    at_one_tip(reader, |tip| {
        let info = known_header(call, "blockhash")?;
        if verbosity == 1 {
            return Ok(describe::block(reader, &info, tip, &block, &Detail::Ids));
        }
        // Only blocks of the active chain have undo data, so only their fees are known.
        let undo = stored(reader.undo(&hash))?;
        let detail = Detail::Full {
            spent: undo.as_ref().map(|undo| &undo.spent[..]),
            with_prevouts: verbosity >= 3,
        };
        Ok(describe::block(reader, &info, tip, &block, &detail))
    })
}

fn not_available() -> RpcError {
    RpcError::new(code::MISC_ERROR, "Block not available (not downloaded yet)")
}

fn getblockstats(call: &Call<'_>) -> Answer {
    let reader = call.context.reader();
    let (info, block, spent) = at_one_tip(reader, |tip| {
        let info = block_by_hash_or_height(call, reader, tip)?;
        if !info.in_active_chain {
            let message = format!("Block is not in chain {}", reader.spec().name);
            return Err(RpcError::invalid_parameter(message));
        }
        let block = stored(reader.block(&info.hash))?.ok_or_else(not_available)?;
        let undo = stored(reader.undo(&info.hash))?.ok_or_else(not_available)?;
        Ok((info, block, undo.spent))
    })?;
    let figures = figures(&info, &block, &spent, reader.spec().subsidy_at(info.height))?;
    let Some(names) = call.args.list("stats").filter(|names| !names.is_empty()) else {
        return Ok(Value::Object(figures));
    };
    let mut chosen = Map::new();
    for name in names {
        let Some(name) = name.as_str() else {
            let message = "stats: the names of figures are strings";
            return Err(RpcError::new(code::TYPE_ERROR, message));
        };
        let Some(figure) = figures.get(name) else {
            let name: String = name.chars().take(80).collect();
            let message = format!("Invalid selected statistic '{name}'");
            return Err(RpcError::invalid_parameter(message));
        };
        chosen.insert(name.to_owned(), figure.clone());
    }
    Ok(Value::Object(chosen))
}

fn block_by_hash_or_height(
    call: &Call<'_>,
    reader: &ChainReader,
    tip: &Tip,
) -> Result<HeaderInfo, RpcError> {
    if call.args.text("hash_or_height").is_some() {
        return known_header(call, "hash_or_height");
    }
    let height: i64 = call.args.required_integer("hash_or_height")?;
    if height < 0 {
        let message = format!("Target block height {height} is negative");
        return Err(RpcError::invalid_parameter(message));
    }
    let hash = u32::try_from(height)
        .ok()
        .and_then(|height| reader.hash_at(height));
    let above = || {
        let message = format!(
            "Target block height {height} after current tip {}",
            tip.height
        );
        RpcError::invalid_parameter(message)
    };
    let hash = hash.ok_or_else(above)?;
    reader.header_info(&hash).ok_or_else(above)
}

fn figures(
    info: &HeaderInfo,
    block: &Block,
    spent: &[Coin],
    subsidy: Amount,
) -> Result<Map<String, Value>, RpcError> {
    let damaged = || RpcError::new(code::DATABASE_ERROR, "database: block and undo data differ");
    let figures = BlockFigures::of(block, spent).ok_or_else(damaged)?;
    let mut fields = figures.to_json();
    let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    put("blockhash", json!(info.hash));
    put("height", json!(info.height));
    put("mediantime", json!(info.median_time_past));
    put("subsidy", json!(subsidy.units()));
    put("time", json!(info.header.time));
    // The output of the first block is the only one that may be no coin.
    let outputs = block.transactions.iter().flat_map(|tx| &tx.outputs);
    let (mut lost, mut lost_bytes) = (0_i64, 0_i64);
    for output in outputs.filter(|output| output.script_pubkey.as_p2pkh().is_none()) {
        lost += 1;
        lost_bytes += coin_bytes(output.encoded_len());
    }
    put("utxo_increase_actual", json!(figures.coins_made - lost));
    put(
        "utxo_size_inc_actual",
        json!(figures.coin_bytes - lost_bytes),
    );
    fields.sort_keys();
    Ok(fields)
}

fn getchaintxstats(call: &Call<'_>) -> Answer {
    let reader = call.context.reader();
    at_one_tip(reader, |tip| {
        let last = match call.args.block_hash("blockhash")? {
            None => tip.hash,
            Some(hash) => hash,
        };
        let last = reader
            .header_info(&last)
            .ok_or_else(|| RpcError::not_found("Block not found"))?;
        if !last.in_active_chain {
            return Err(RpcError::invalid_parameter("Block is not in main chain"));
        }
        let blocks = window(call, last.height)?;
        let first_height = last.height.saturating_sub(blocks);
        let first = reader
            .hash_at(first_height)
            .and_then(|hash| reader.header_info(&hash))
            .ok_or_else(|| RpcError::internal("the active chain has a gap"))?;
        let before = reader.transactions_up_to(first_height);
        let total = reader.transactions_up_to(last.height);
        let mut fields = json!({
            "time": last.header.time,
            "txcount": total,
            "window_final_block_hash": last.hash,
            "window_final_block_height": last.height,
            "window_block_count": blocks,
        });
        if let (Some(fields), true) = (fields.as_object_mut(), blocks > 0) {
            let seconds = i64::from(last.median_time_past) - i64::from(first.median_time_past);
            let count = total.saturating_sub(before);
            fields.insert("window_interval".into(), json!(seconds));
            fields.insert("window_tx_count".into(), json!(count));
            if let (Ok(seconds @ 1..), Ok(count)) = (u32::try_from(seconds), u32::try_from(count)) {
                let rate = f64::from(count) / f64::from(seconds);
                fields.insert("txrate".into(), json!(rate));
            }
        }
        Ok(fields)
    })
}

/// How many blocks the window has that ends at `height`.
fn window(call: &Call<'_>, height: u32) -> Result<u32, RpcError> {
    let Some(wanted) = call.args.integer::<i64>("nblocks")? else {
        let month = STATS_SECONDS / call.context.spec().target_spacing.max(1);
        return Ok(month.min(height.saturating_sub(1)));
    };
    let wanted = u32::try_from(wanted).ok();
    wanted
        .filter(|wanted| *wanted == 0 || *wanted < height)
        .ok_or_else(|| {
            RpcError::invalid_parameter(
                "Invalid block count: should be between 0 and the block's height - 1",
            )
        })
}
