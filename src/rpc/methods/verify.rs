//! `verifychain`: blocks of the active chain, read back from the disk and judged again.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::json;

use crate::chain::ChainReader;
use crate::consensus::{
    CheckedBlock, ConnectContext, check_block_in_isolation, check_block_in_parent_context,
    connect_block,
};
use crate::primitives::{BlockUndo, Coin, OutPoint, Txid};
use crate::rpc::error::{RpcError, code};
use crate::rpc::method::{Answer, Call, Kind, Method, optional};

/// How many blocks are looked at unless it is said (Bitcoin Core, `DEFAULT_CHECKBLOCKS`).
const DEFAULT_BLOCKS: u32 = 6;
/// The most thorough level.
const HIGHEST_LEVEL: u8 = 4;

pub(super) static METHODS: &[Method] = &[Method {
    name: "verifychain",
    params: &[
        optional(
            "checklevel",
            Kind::Integer,
            "0: the blocks can be read; 1: and obey the rules of a block alone; 2: and their undo data can be read; 3: and fit to \
             each other and to the coins; 4: and obey every rule in their place, signatures too",
        )
        .or("3"),
        optional("nblocks", Kind::Integer, "How many of the latest blocks; 0 for all").or("6"),
    ],
    about: "Reads blocks of the active chain back and judges them again. `quarry verify-chain` does more while the node is stopped.",
    result: "true|false whether they are sound; the node's log says what is not",
    run: verifychain,
}];

fn verifychain(call: &Call<'_>) -> Answer {
    let level: u8 = call.args.integer::<i64>("checklevel")?.map_or(3, |level| {
        u8::try_from(level.clamp(0, HIGHEST_LEVEL.into())).unwrap_or(0)
    });
    let wanted: i64 = call
        .args
        .integer("nblocks")?
        .unwrap_or(DEFAULT_BLOCKS.into());
    let reader = call.context.reader();
    let tip = reader.tip().height;
    let blocks = match u32::try_from(wanted) {
        Ok(0) | Err(_) => tip,
        Ok(blocks) => blocks.min(tip),
    };
    for height in (tip - blocks + 1..=tip).rev() {
        if call.cancelled.is_cancelled() {
            return Err(RpcError::new(code::MISC_ERROR, "Shutting down"));
        }
        match verify(reader, height, level) {
            Ok(()) => {}
            Err(Fault::Moved) => break,
            Err(Fault::Unsound(reason)) => {
                tracing::error!(height, reason, "verifychain found an unsound block");
                return Ok(json!(false));
            }
        }
    }
    Ok(json!(true))
}

/// Why a block was not found sound.
enum Fault {
    /// It left the active chain meanwhile, with all above it.
    Moved,
    /// What is wrong with it.
    Unsound(String),
}

fn verify(reader: &ChainReader, height: u32, level: u8) -> Result<(), Fault> {
    let hash = reader.hash_at(height).ok_or(Fault::Moved)?;
    let unsound = |reason: String| match reader.hash_at(height) == Some(hash) {
        true => Fault::Unsound(reason),
        false => Fault::Moved,
    };
    let broken = |error: &dyn std::error::Error| unsound(error.to_string());
    let missing = |what: &str| unsound(format!("the {what} is missing"));
    let block = reader.block(&hash).map_err(|error| broken(&error))?;
    let block = Arc::new(block.ok_or_else(|| missing("block"))?);
    if level < 1 {
        return Ok(());
    }
    let spec = reader.spec();
    let checked = check_block_in_isolation(spec, block).map_err(|error| broken(&error))?;
    if level < 2 {
        return Ok(());
    }
    let undo = reader.undo(&hash).map_err(|error| broken(&error))?;
    let undo = undo.ok_or_else(|| missing("undo data"))?;
    if level < 3 {
        return Ok(());
    }
    let parent = checked.block().header.prev_block;
    let median_time_past = reader
        .header_info(&parent)
        .map_or(0, |info| info.median_time_past);
    check_block_in_parent_context(&checked, height, median_time_past)
        .map_err(|error| broken(&error))?;
    let coins = spent_coins(&checked, &undo)
        .ok_or_else(|| unsound("the undo data is not of this block".to_owned()))?;
    let context = ConnectContext {
        height,
        median_time_past,
        median_time_at: &|height| reader.median_time_at(height),
    };
    let effect = connect_block(spec, &checked, &context, &coins, &|_| false)
        .map_err(|error| broken(&error))?;
    if effect.undo != undo {
        return Err(unsound(
            "the undo data is not what the block spent".to_owned(),
        ));
    }
    if level < HIGHEST_LEVEL {
        return Ok(());
    }
    for (_, scripts) in effect.script_checks {
        scripts.verify().map_err(|error| broken(&error))?;
    }
    Ok(())
}

/// The coins of older blocks that a block spent, by outpoint.
fn spent_coins(block: &CheckedBlock, undo: &BlockUndo) -> Option<HashMap<OutPoint, Coin>> {
    let own: HashSet<&Txid> = block.txids().iter().collect();
    let outpoints: Vec<OutPoint> = block.spent_outpoints().collect();
    let pairs = (outpoints.len() == undo.spent.len())
        .then(|| outpoints.into_iter().zip(undo.spent.iter().copied()))?;
    Some(
        pairs
            .filter(|(outpoint, _)| !own.contains(&outpoint.txid))
            .collect(),
    )
}
