//! The bytes of a block taken apart, as simply as that can be written. Shares nothing with the product's codec.

use quarry::primitives::sha256d;

/// A hash in the order of its bytes.
pub type Hash = [u8; 32];

/// The 80 bytes of a header, read.
#[derive(Debug, Clone, Copy)]
pub struct Header {
    /// The hash of the bytes.
    pub hash: Hash,
    /// Format version.
    pub version: i32,
    /// The block before.
    pub parent: Hash,
    /// What commits to the transactions.
    pub merkle_root: Hash,
    /// Seconds since 1970.
    pub time: u32,
    /// The compact target.
    pub bits: u32,
}

/// An input.
#[derive(Debug, Clone)]
pub struct Input {
    /// What is spent.
    pub coin: (Hash, u32),
    /// How long its script is.
    pub script_len: usize,
    /// The first bytes of its script.
    pub script: Vec<u8>,
    /// Relative lock.
    pub sequence: u32,
}

/// An output.
#[derive(Debug, Clone)]
pub struct Output {
    /// Its value, whatever it is.
    pub value: u64,
    /// Its script.
    pub script: Vec<u8>,
}

/// A transaction.
#[derive(Debug, Clone)]
pub struct Tx {
    /// The hash of the bytes.
    pub txid: Hash,
    /// How many bytes.
    pub size: usize,
    /// Format version.
    pub version: i32,
    /// What it spends.
    pub inputs: Vec<Input>,
    /// What it makes.
    pub outputs: Vec<Output>,
    /// Height or time.
    pub lock_time: u32,
}

/// A block.
#[derive(Debug, Clone)]
pub struct Body {
    /// Its header.
    pub header: Header,
    /// Its transactions.
    pub txs: Vec<Tx>,
    /// How many bytes.
    pub size: usize,
}

/// Takes a header apart.
///
/// # Panics
/// Where there are fewer than 80 bytes.
pub fn header(bytes: &[u8]) -> Header {
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    let hash = |at: usize| bytes[at..at + 32].try_into().expect("32 bytes");
    Header {
        hash: sha256d(&bytes[..80]),
        version: word(0).cast_signed(),
        parent: hash(4),
        merkle_root: hash(36),
        time: word(68),
        bits: word(72),
    }
}

/// Takes a block apart; nothing where the bytes are not exactly one.
pub fn block(bytes: &[u8]) -> Option<Body> {
    let mut cursor = Cursor { bytes, at: 0 };
    cursor.take(80)?;
    let count = cursor.size()?;
    let mut txs = Vec::new();
    for _ in 0..count {
        txs.push(cursor.tx()?);
    }
    (cursor.at == bytes.len()).then(|| Body {
        header: header(bytes),
        txs,
        size: bytes.len(),
    })
}

/// Takes one transaction apart; nothing where the bytes are not exactly one.
pub fn transaction(bytes: &[u8]) -> Option<Tx> {
    let mut cursor = Cursor { bytes, at: 0 };
    let tx = cursor.tx()?;
    (cursor.at == bytes.len()).then_some(tx)
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(count)?)?;
        self.at += count;
        Some(taken)
    }

    fn number(&mut self, width: usize) -> Option<u64> {
        let bytes = self.take(width)?;
        Some(
            bytes
                .iter()
                .rev()
                .fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
        )
    }

    fn word(&mut self) -> Option<u32> {
        u32::try_from(self.number(4)?).ok()
    }

    /// A CompactSize in its shortest form.
    fn size(&mut self) -> Option<usize> {
        let (value, least) = match self.number(1)? {
            0xfd => (self.number(2)?, 0xfd),
            0xfe => (self.number(4)?, 0x1_0000),
            0xff => (self.number(8)?, 0x1_0000_0000),
            small => (small, 0),
        };
        usize::try_from(value).ok().filter(|_| value >= least)
    }

    fn tx(&mut self) -> Option<Tx> {
        let start = self.at;
        let version = self.word()?.cast_signed();
        // No inputs: the mark of a witness, which this chain does not have.
        let count = self.size().filter(|count| *count > 0)?;
        let mut inputs = Vec::new();
        for _ in 0..count {
            let coin = (self.take(32)?.try_into().ok()?, self.word()?);
            let script_len = self.size()?;
            let script = self.take(script_len)?;
            inputs.push(Input {
                coin,
                script_len,
                script: script[..script_len.min(110)].to_vec(),
                sequence: self.word()?,
            });
        }
        let mut outputs = Vec::new();
        for _ in 0..self.size()? {
            let value = self.number(8)?;
            let script_len = self.size()?;
            outputs.push(Output {
                value,
                script: self.take(script_len)?.to_vec(),
            });
        }
        let lock_time = self.word()?;
        let bytes = &self.bytes[start..self.at];
        Some(Tx {
            txid: sha256d(bytes),
            size: bytes.len(),
            version,
            inputs,
            outputs,
            lock_time,
        })
    }
}
