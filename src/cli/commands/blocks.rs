//! `import-blocks` and `export-blocks`: Bitcoin's block files.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::super::access::{Access, Missing};
use super::super::args::{ExportArgs, ImportArgs};
use super::super::context::Context;
use super::super::error::{CliError, CliResult, Context as _};
use super::super::progress;
use crate::node::{BlockFileReader, PreparedBlock, Submitted, UnderWay, write_record};
use crate::primitives::{Block, BlockHash, BlockHeader, Decode, Encode, HEADER_LEN};
use crate::rpc::Client;

/// Blocks that wait for their parent at most: Bitcoin Core's files are out of order by less than this.
const MAX_WAITING: usize = 2048;

/// Blocks that are under way to the database at most, together with [`MAX_BYTES_UNDER_WAY`]: enough for it to write many at once.
const MAX_UNDER_WAY: usize = 2048;
/// Bytes of such blocks; decoded they take about four times as much memory.
const MAX_BYTES_UNDER_WAY: usize = 24 << 20;

/// Length of the buffers of block files, in bytes.
const BUFFER: usize = 1 << 20;

/// Takes in the blocks of a file.
pub(super) fn import(context: &Context, args: &ImportArgs) -> CliResult {
    let shown = args.file.display();
    let file = File::open(&args.file).or_fail_to(format!("open {shown}"))?;
    let length = file.metadata().or_fail_to(format!("read {shown}"))?.len();
    let spec = &context.spec;
    let input = BufReader::with_capacity(BUFFER, file);
    let mut reader = BlockFileReader::new(input, spec.magic(), spec.max_block_size);
    // A file that does not even begin as it must changes nothing, not even by making a chain.
    let mut next = reader
        .next_prepared(spec)
        .or_fail_to(format!("import {shown}"))?;
    let mut import = Import {
        access: Access::find(context, Missing::Make)?,
        waiting: HashMap::new(),
        under_way: VecDeque::new(),
        bytes_under_way: 0,
        sent: HashSet::new(),
        count: Count::default(),
    };
    let bar = progress::bytes("Importing", length);
    while let Some(block) = next {
        import
            .take(block)
            .map_err(|error| import.explain(&error, &shown.to_string()))?;
        bar.set_position(reader.offset());
        bar.set_message(format!("{} blocks", import.count.new + import.count.known));
        next = reader
            .next_prepared(spec)
            .map_err(|error| import.explain(&CliError::failure(error), &shown.to_string()))?;
    }
    while !import.under_way.is_empty() {
        import
            .await_oldest()
            .map_err(|error| import.explain(&error, &shown.to_string()))?;
    }
    bar.finish_and_clear();
    let orphans: usize = import.waiting.values().map(Vec::len).sum();
    let Import { access, count, .. } = import;
    let (height, tip) = access.tip()?;
    access.close()?;
    let Count { new, known } = count;
    context.out.show(
        || json!({ "new": new, "known": known, "without_parent": orphans, "height": height, "tip": tip }),
        || format!("Imported {new} blocks ({known} were known already). The tip is {tip} at height {height}."),
    )?;
    match orphans {
        0 => Ok(()),
        _ => Err(CliError::Failure(format!(
            "{orphans} blocks of {shown} were left out: their parents are neither in the file nor in the chain"
        ))),
    }
}

/// How many blocks were taken.
#[derive(Debug, Default)]
struct Count {
    new: u64,
    known: u64,
}

impl Count {
    /// Counts a block; true for one that was not taken, because its parent is missing.
    fn add(&mut self, outcome: Submitted) -> bool {
        match outcome {
            Submitted::New => self.new += 1,
            Submitted::Known => self.known += 1,
            Submitted::NoParent => return true,
        }
        false
    }
}

/// An import that goes on.
struct Import {
    access: Access,
    /// Blocks by the parent that they wait for.
    waiting: HashMap<BlockHash, Vec<PreparedBlock>>,
    /// Blocks that were sent to the database, oldest first.
    under_way: VecDeque<Sent>,
    bytes_under_way: usize,
    /// Their hashes.
    sent: HashSet<BlockHash>,
    count: Count,
}

/// A block that was sent.
struct Sent {
    hash: BlockHash,
    bytes: usize,
    answer: UnderWay,
}

impl Import {
    /// Takes a block, and those that waited for it.
    fn take(&mut self, block: PreparedBlock) -> CliResult {
        let mut ready = vec![block];
        while let Some(block) = ready.pop() {
            let hash = block.hash();
            if let Some(block) = self.submit(block)? {
                if self.waiting.len() >= MAX_WAITING {
                    return Err(CliError::Failure(format!(
                        "more than {MAX_WAITING} blocks have no parent, the last is {hash}"
                    )));
                }
                let parent = block.block().header.prev_block;
                self.waiting.entry(parent).or_default().push(block);
                continue;
            }
            ready.extend(self.waiting.remove(&hash).unwrap_or_default());
        }
        Ok(())
    }

    /// Submits a block to the node, or sends it to the database; a block whose parent is not known comes back.
    fn submit(&mut self, block: PreparedBlock) -> CliResult<Option<PreparedBlock>> {
        let (hash, parent) = (block.hash(), block.block().header.prev_block);
        let bytes = block.raw_len();
        let answer = match &self.access {
            Access::Online(client) => {
                let outcome = submit_to_node(client, block.block())?;
                return Ok(self.count.add(outcome).then_some(block));
            }
            Access::Offline(chain) => {
                let is_first = parent == BlockHash::ZERO;
                if !is_first && !self.sent.contains(&parent) && !chain.knows(&parent) {
                    return Ok(Some(block));
                }
                let sent = chain.send(block);
                sent.or_fail_to(format!("take block {hash}"))
            }
        };
        let answer = match answer {
            Ok(answer) => answer,
            // The chain has ended; why, the answers to earlier blocks tell.
            Err(ended) => {
                while !self.under_way.is_empty() {
                    self.await_oldest()?;
                }
                return Err(ended);
            }
        };
        self.bytes_under_way += bytes;
        self.sent.insert(hash);
        self.under_way.push_back(Sent {
            hash,
            bytes,
            answer,
        });
        while self.under_way.len() > MAX_UNDER_WAY || self.bytes_under_way > MAX_BYTES_UNDER_WAY {
            self.await_oldest()?;
        }
        Ok(None)
    }

    /// Waits for the answer to the block that was sent first.
    fn await_oldest(&mut self) -> CliResult {
        let Some(Sent {
            hash,
            bytes,
            answer,
        }) = self.under_way.pop_front()
        else {
            return Ok(());
        };
        self.bytes_under_way -= bytes;
        self.sent.remove(&hash);
        let outcome = answer.wait().or_fail_to(format!("take block {hash}"))?;
        self.count.add(outcome);
        Ok(())
    }

    /// What was imported stays: each block is valid by itself.
    fn explain(&self, error: &CliError, file: &str) -> CliError {
        let Count { new, known } = self.count;
        CliError::Failure(format!(
            "cannot import {file}: {error} ({new} new and {known} known blocks before it were taken)"
        ))
    }
}

/// BIP22's answers: null for a new block, else the reason.
fn submit_to_node(client: &Client, block: &Block) -> CliResult<Submitted> {
    let answer = client
        .call("submitblock", json!([hex::encode(block.to_bytes())]))
        .or_fail()?;
    match answer.as_str() {
        None if answer == Value::Null => Ok(Submitted::New),
        Some("inconclusive") => Ok(Submitted::New),
        Some("duplicate" | "duplicate-inconclusive") => Ok(Submitted::Known),
        Some("prev-blk-not-found") => Ok(Submitted::NoParent),
        _ => Err(CliError::Failure(format!(
            "block {} was refused: {answer}",
            block.hash()
        ))),
    }
}

/// Writes the best chain, from the first block on.
pub(super) fn export(context: &Context, args: &ExportArgs) -> CliResult {
    let shown = args.file.display();
    if is_file_to_replace(&args.file)? && !args.force {
        return Err(CliError::Failure(format!(
            "{shown} exists already; choose another name, or replace it with --force"
        )));
    }
    let access = Access::find(context, Missing::Refuse)?;
    let (height, _) = access.tip()?;
    // Written beside and renamed: an interrupted export leaves an older file as it was.
    let mut beside = args.file.clone().into_os_string();
    beside.push(".partial");
    let beside = PathBuf::from(beside);
    // What an interrupted export left.
    if is_file_to_replace(&beside)? {
        fs::remove_file(&beside).or_fail_to(format!("remove {}", beside.display()))?;
    }
    let file = File::create_new(&beside).or_fail_to(format!("write {}", beside.display()))?;
    let mut out = BufWriter::with_capacity(BUFFER, file);
    let bar = progress::blocks("Exporting", u64::from(height) + 1);
    let mut parent = BlockHash::ZERO;
    let written = (0..=height).try_for_each(|height| {
        let hash = access.hash_at(height)?;
        let raw = access.raw_block(&hash)?;
        check_parent(&raw, &parent)?;
        parent = hash;
        bar.inc(1);
        write_record(&mut out, context.spec.magic(), &raw).or_fail_to(format!("write {shown}"))
    });
    bar.finish_and_clear();
    let finished = written
        .and_then(|()| out.flush().or_fail_to(format!("write {shown}")))
        .and_then(|()| fs::rename(&beside, &args.file).or_fail_to(format!("write {shown}")));
    if finished.is_err() {
        // The error that is told is the first one.
        let _ = fs::remove_file(&beside);
    }
    finished?;
    access.close()?;
    let blocks = u64::from(height) + 1;
    context.out.show(
        || json!({ "blocks": blocks, "file": args.file }),
        || format!("Exported {blocks} blocks to {shown}"),
    )
}

/// Whether there is a plain file at a path. Anything else that is there is never replaced: not a link, a device or a pipe.
fn is_file_to_replace(path: &Path) -> CliResult<bool> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_file() => Ok(true),
        Ok(found) => Err(CliError::Failure(format!(
            "{} is {}; blocks are written to plain files only",
            path.display(),
            match found.file_type() {
                kind if kind.is_symlink() => "a symbolic link",
                kind if kind.is_dir() => "a folder",
                _ => "a device, a pipe or a socket",
            }
        ))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).or_fail_to(format!("look at {}", path.display())),
    }
}

/// A running node's chain may be reorganised during an export; the file must hold one chain.
fn check_parent(raw: &[u8], parent: &BlockHash) -> CliResult {
    let header = raw.get(..HEADER_LEN).unwrap_or(raw);
    let header = BlockHeader::from_bytes(header).or_fail_to("read a block of the node")?;
    match header.prev_block == *parent {
        true => Ok(()),
        false => Err(CliError::failure(
            "the chain was reorganised during the export; try again",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_files_are_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        assert!(!is_file_to_replace(&at("nothing")).expect("nothing is in the way"));
        fs::write(at("file"), "").expect("a file");
        assert!(is_file_to_replace(&at("file")).expect("a plain file"));
        let error = is_file_to_replace(folder.path()).unwrap_err().to_string();
        assert!(error.contains("is a folder"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn links_and_devices_are_not_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("nowhere", &link).expect("a link");
        let error = is_file_to_replace(&link).unwrap_err().to_string();
        assert!(error.contains("is a symbolic link"), "{error}");
        let error = is_file_to_replace(Path::new("/dev/null")).unwrap_err();
        assert!(error.to_string().contains("is a device"), "{error}");
    }
}
