//! Imports a block file with Bitcoin Core's kernel, for `make bench-import`: `kernel_import FILE FOLDER`.
//!
//! What a node's import does: databases on the disk, every signature checked (regtest assumes nothing valid), on all cores.

use std::env;
use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bitcoinkernel::prelude::*;
use bitcoinkernel::{
    Block, BlockValidationStateRef, ChainType, ChainstateManager, ContextBuilder, ValidationMode,
    disable_logging,
};

/// Regtest's magic (Bitcoin Core, `kernel/chainparams.cpp`).
const MAGIC: [u8; 4] = [0xfa, 0xbf, 0xb5, 0xda];

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [file, folder] = &arguments[..] else {
        eprintln!("kernel_import FILE FOLDER");
        return ExitCode::from(2);
    };
    match import(file, folder) {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn import(file: &str, folder: &str) -> Result<String, Box<dyn std::error::Error>> {
    disable_logging();
    let invalid = Arc::new(AtomicU64::new(0));
    let heard = Arc::clone(&invalid);
    let context = ContextBuilder::new()
        .chain_type(ChainType::Regtest)
        .with_block_checked_validation(move |_: Block, state: BlockValidationStateRef<'_>| {
            if state.mode() != ValidationMode::Valid {
                heard.fetch_add(1, Ordering::Relaxed);
            }
        })
        .build()?;
    let cores = i32::try_from(std::thread::available_parallelism()?.get())?;
    let blocks = format!("{folder}/blocks");
    let chain = ChainstateManager::builder(&context, folder, &blocks)?
        .worker_threads(cores)
        .build()?;
    chain.import_blocks()?;
    let mut input = BufReader::with_capacity(1 << 20, File::open(file)?);
    let mut count = 0_u64;
    let mut head = [0; 8];
    loop {
        match input.read_exact(&mut head) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(error.into()),
        }
        let [a, b, c, d, length @ ..] = head;
        if [a, b, c, d] != MAGIC {
            return Err(format!("block {count} does not begin with regtest's magic").into());
        }
        let mut raw = vec![0; usize::try_from(u32::from_le_bytes(length))?];
        input.read_exact(&mut raw)?;
        if chain.process_block(&Block::new(&raw)?).is_rejected() {
            return Err(format!("block {count} of the file was refused").into());
        }
        count += 1;
    }
    let height = chain.active_chain().height();
    match invalid.load(Ordering::Relaxed) {
        0 => Ok(format!(
            "Imported {count} blocks. The tip is at height {height}."
        )),
        bad => Err(format!("{bad} blocks were found invalid").into()),
    }
}
