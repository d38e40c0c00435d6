//! Bitcoin's block files: records of magic, length (little-endian u32) and block (Bitcoin Core, `node/blockstorage.cpp`).

use std::io::{self, BufRead, Write};

use crate::chain::PreparedBlock;
use crate::consensus::ChainSpec;
use crate::primitives::{Block, Decode, DecodeError};

/// Bytes of a record before its block: magic and length.
const HEADER_LEN: u64 = 8;

/// The smallest block: its header, a count and a coinbase of 60 bytes.
const MIN_BLOCK_LEN: u32 = 80 + 1 + 60;

/// Why a file is not a block file of the network. Every message says where.
#[derive(Debug, thiserror::Error)]
pub enum BlockFileError {
    /// Another magic.
    #[error(
        "byte {offset}: the record starts with {found} instead of {expected}: a block file of another network, or no block file"
    )]
    Magic {
        /// Where the record starts.
        offset: u64,
        /// What is there, in hexadecimal.
        found: String,
        /// The network's, in hexadecimal.
        expected: String,
    },
    /// A length that no block has.
    #[error("byte {offset}: a block of {found} bytes; blocks have {MIN_BLOCK_LEN} to {most}")]
    Length {
        /// Where the record starts.
        offset: u64,
        /// The length found.
        found: u32,
        /// The longest block of the network.
        most: u32,
    },
    /// The file ends inside a record.
    #[error("byte {offset}: the file ends inside this record (cut off?)")]
    CutOff {
        /// Where the record starts.
        offset: u64,
    },
    /// Bytes that are no block.
    #[error("byte {offset}: not a block: {reason}")]
    Undecodable {
        /// Where the record starts.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
    /// The disk.
    #[error("byte {offset}: {source}")]
    Io {
        /// Where the record starts.
        offset: u64,
        /// Why.
        source: io::Error,
    },
}

/// Writes one record.
///
/// # Errors
/// What the writer says.
pub fn write_record(out: &mut impl Write, magic: [u8; 4], block: &[u8]) -> io::Result<()> {
    let length = u32::try_from(block.len()).map_err(io::Error::other)?;
    out.write_all(&magic)?;
    out.write_all(&length.to_le_bytes())?;
    out.write_all(block)
}

/// Reads the records of a block file one by one.
#[derive(Debug)]
pub struct BlockFileReader<R> {
    input: R,
    magic: [u8; 4],
    most: u32,
    offset: u64,
}

impl<R: BufRead> BlockFileReader<R> {
    /// Reads `input` as a block file of the network with this magic and these longest blocks.
    pub const fn new(input: R, magic: [u8; 4], longest_block: u32) -> Self {
        Self {
            input,
            magic,
            most: longest_block,
            offset: 0,
        }
    }

    /// How many bytes were read.
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// The next block; `None` at the end. Zeros behind the last record are Bitcoin Core's preallocation.
    ///
    /// # Errors
    /// [`BlockFileError`]; the reader must not be used after.
    pub fn next_block(&mut self) -> Result<Option<Block>, BlockFileError> {
        self.next_with(|bytes| Block::from_bytes(&bytes))
    }

    /// The same, with everything done that needs no chain.
    ///
    /// # Errors
    /// As [`BlockFileReader::next_block`].
    pub fn next_prepared(
        &mut self,
        spec: &ChainSpec,
    ) -> Result<Option<PreparedBlock>, BlockFileError> {
        self.next_with(|bytes| PreparedBlock::decode(spec, bytes))
    }

    /// The next record, decoded.
    fn next_with<T>(
        &mut self,
        decode: impl FnOnce(Vec<u8>) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, BlockFileError> {
        let offset = self.offset;
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::UnexpectedEof => BlockFileError::CutOff { offset },
            _ => BlockFileError::Io { offset, source },
        };
        match self.input.fill_buf().map_err(failed)?.first() {
            None => return Ok(None),
            Some(0) if self.magic[0] != 0 => return self.only_zeros(offset).map(|()| None),
            Some(_) => {}
        }
        let mut magic = [0; 4];
        self.input.read_exact(&mut magic).map_err(failed)?;
        if magic != self.magic {
            return Err(BlockFileError::Magic {
                offset,
                found: hex::encode(magic),
                expected: hex::encode(self.magic),
            });
        }
        let mut length = [0; 4];
        self.input.read_exact(&mut length).map_err(failed)?;
        let length = u32::from_le_bytes(length);
        if !(MIN_BLOCK_LEN..=self.most).contains(&length) {
            return Err(BlockFileError::Length {
                offset,
                found: length,
                most: self.most,
            });
        }
        let mut bytes = vec![0; usize::try_from(length).expect("a length of at most 4 MB fits")];
        self.input.read_exact(&mut bytes).map_err(failed)?;
        self.offset += HEADER_LEN + u64::from(length);
        let block = decode(bytes).map_err(|error| BlockFileError::Undecodable {
            offset,
            reason: error.to_string(),
        })?;
        Ok(Some(block))
    }

    fn only_zeros(&mut self, offset: u64) -> Result<(), BlockFileError> {
        loop {
            let buffer = self
                .input
                .fill_buf()
                .map_err(|source| BlockFileError::Io { offset, source })?;
            if buffer.is_empty() {
                return Ok(());
            }
            if buffer.iter().any(|byte| *byte != 0) {
                return Err(BlockFileError::Magic {
                    offset,
                    found: "00".to_owned(),
                    expected: hex::encode(self.magic),
                });
            }
            let length = buffer.len();
            self.input.consume(length);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primitives::Encode;

    const MAGIC: [u8; 4] = [0xfa, 0xbf, 0xb5, 0xda];

    fn file() -> Vec<u8> {
        let mut file = Vec::new();
        for spec in [ChainSpec::dev(), ChainSpec::regtest()] {
            write_record(&mut file, MAGIC, &spec.genesis_block().to_bytes()).unwrap();
        }
        file
    }

    fn read(file: &[u8], magic: [u8; 4]) -> Result<Vec<Block>, BlockFileError> {
        let mut reader = BlockFileReader::new(file, magic, 1_000_000);
        std::iter::from_fn(|| reader.next_block().transpose()).collect()
    }

    #[test]
    fn what_was_written_is_read_and_zeros_behind_do_not_matter() {
        let mut file = file();
        let blocks = [
            ChainSpec::dev().genesis_block(),
            ChainSpec::regtest().genesis_block(),
        ];
        assert_eq!(read(&file, MAGIC).unwrap(), blocks);
        file.extend([0; 100]);
        assert_eq!(read(&file, MAGIC).unwrap(), blocks);
    }

    #[test]
    fn damage_is_told_with_its_place() {
        let file = file();
        let second = u64::try_from(file.len()).unwrap()
            - 8
            - u64::try_from(ChainSpec::regtest().genesis_block().to_bytes().len()).unwrap();
        let place = format!("byte {second}");
        for cut in [1, 100, 280] {
            let error = read(&file[..file.len() - cut], MAGIC)
                .unwrap_err()
                .to_string();
            assert!(error.contains(&place), "{cut}: {error}");
        }
        let error = read(&file, [1, 2, 3, 4]).unwrap_err().to_string();
        assert!(
            error.contains("fabfb5da") && error.contains("01020304"),
            "{error}"
        );
        let mut long = file.clone();
        long[7] = 0x7f;
        assert!(matches!(
            read(&long, MAGIC),
            Err(BlockFileError::Length { offset: 0, .. })
        ));
    }
}
