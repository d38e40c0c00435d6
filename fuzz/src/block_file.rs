//! Block files. The first byte of the input chooses the size of each read, the rest is the file.

use std::io::BufReader;

use quarry::consensus::ChainSpec;
use quarry::node::{BlockFileError, BlockFileReader, write_record};
use quarry::primitives::{Block, Encode};

use crate::memory::bounded;

/// The longest block of the network.
const LONGEST: u32 = 100_000;

/// Runs one input.
pub fn run(data: &[u8]) {
    let Some((cut, file)) = data.split_first() else {
        return;
    };
    let magic = ChainSpec::regtest().magic();
    // A record's length is believed up to the longest block, so that much is taken for it, whatever the file has.
    let (blocks, error) = bounded("file", file.len(), 32, u64::from(LONGEST) + 4096, || {
        read(BlockFileReader::new(file, magic, LONGEST))
    });
    let mut again = Vec::new();
    for block in &blocks {
        write_record(&mut again, magic, &block.to_bytes()).expect("memory takes every byte");
    }
    assert!(
        file.starts_with(&again),
        "a record came out otherwise than it went in"
    );
    let rest = &file[again.len()..];
    match &error {
        None => assert!(rest.iter().all(|byte| *byte == 0), "bytes were passed over"),
        Some(_) => assert!(!rest.is_empty()),
    }
    let small = BufReader::with_capacity(usize::from(*cut) + 1, file);
    let (same, same_error) = read(BlockFileReader::new(small, magic, LONGEST));
    assert_eq!(same, blocks);
    assert_eq!(
        same_error.map(|error| error.to_string()),
        error.map(|error| error.to_string()),
        "the error depends on how the file is read"
    );
}

fn read<R: std::io::BufRead>(
    mut reader: BlockFileReader<R>,
) -> (Vec<Block>, Option<BlockFileError>) {
    let mut blocks = Vec::new();
    loop {
        match reader.next_block() {
            Ok(Some(block)) => blocks.push(block),
            Ok(None) => return (blocks, None),
            Err(error) => return (blocks, Some(error)),
        }
    }
}

/// Whole files, and files that end badly.
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let magic = ChainSpec::regtest().magic();
    let record = |block: &Block| {
        let mut bytes = Vec::new();
        write_record(&mut bytes, magic, &block.to_bytes()).expect("memory takes every byte");
        bytes
    };
    let first = record(&ChainSpec::regtest().genesis_block());
    let blocks: Vec<Vec<u8>> = crate::node::sample_blocks().iter().map(record).collect();
    let two = [&first[..], &blocks[1]].concat();
    let mut long = first.clone();
    long[6] = 2;
    [
        ("empty", Vec::new()),
        ("one", first.clone()),
        ("two", two.clone()),
        ("all", blocks.concat()),
        ("zeros-behind", [&two[..], &[0; 40]].concat()),
        ("zeros-alone", vec![0; 20]),
        ("junk-behind-zeros", [&first[..], &[0; 9], &[1]].concat()),
        ("cut-off", two[..two.len() - 3].to_vec()),
        ("cut-off-in-length", first[..6].to_vec()),
        ("length-too-long", long),
        (
            "other-magic",
            [&[0xf9, 0xbe, 0xb4, 0xd9][..], &first[4..]].concat(),
        ),
    ]
    .into_iter()
    .zip([255_u8, 0, 6, 63].into_iter().cycle())
    .map(|((name, file), cut)| (name.to_owned(), [&[cut][..], &file].concat()))
    .collect()
}
