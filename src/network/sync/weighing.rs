//! Chains of headers that are weighed before any of them is stored.
//!
//! A header costs whoever makes it as little as the network's limit asks, and whoever stores it a place in memory and on the disk
//! for ever: a hundred thousand headers of little work on the first block once filled the memory of a Bitcoin node
//! (CVE-2019-25220, CVE-2024-52916). So a chain that does not show enough work with the headers at hand is asked for twice, the way of
//! Bitcoin Core's `headerssync.cpp`. In the first pass its headers are judged by all rules and forgotten; what stays is the total of their
//! work and, of every 64th, one bit of its salted hash. When the total is enough, the second pass asks for the same headers
//! again, compares the bits, and lets a header go to the chain once 2,048 that follow it have matched, or the total has.
//!
//! # Guarantees
//! - Nothing leaves a [`Weighing`] unless the work was shown: headers of another chain than the first pass saw are let through with a
//!   chance of 2^-32, and who makes them does not know the salt.
//! - It holds at most [`Weighing::MOST_BYTES`] bytes, however much is fed to it.
//! - The chain with the most work passes always, whatever its length, up to 67 million headers before it has shown enough.

use std::{collections::VecDeque, sync::Arc};

use crate::{
    consensus::{ChainSpec, HeaderChain, RuleError, check_header_in_isolation},
    primitives::{BlockHash, BlockHeader, Work, sha256},
    wire::limits::MAX_HEADERS,
};

/// One header in so many leaves a bit.
const MARK_EVERY: u32 = 64;
/// Headers held back in the second pass: 32 bits are compared before the first of them goes.
const HELD_BACK: usize = 32 * MARK_EVERY as usize;
/// Bits of the first pass. Longer chains cannot be weighed; without a limit, whoever feeds us easy headers for months costs more.
const MAX_MARKS: usize = 1 << 20;

/// Bits, eight a byte.
#[derive(Debug, Default)]
struct Bits {
    bytes: Vec<u8>,
    len: usize,
}

impl Bits {
    fn push(&mut self, bit: bool) {
        if self.len.is_multiple_of(8) {
            self.bytes.push(0);
        }
        if let Some(last) = self.bytes.last_mut() {
            *last |= u8::from(bit) << (self.len % 8);
        }
        self.len += 1;
    }

    fn get(&self, at: usize) -> Option<bool> {
        let byte = self.bytes.get(at / 8).filter(|_| at < self.len)?;
        Some(byte >> (at % 8) & 1 == 1)
    }
}

#[derive(Debug)]
enum Pass {
    /// Headers are judged and forgotten.
    First,
    /// They are compared with what the first pass left.
    Second {
        /// Bits that matched.
        matched: usize,
        /// Not yet let go, oldest first.
        held: VecDeque<BlockHeader>,
        /// The total is reached.
        enough: bool,
    },
}

/// Why a chain is not weighed any further.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WeighingError {
    /// A header is not the child of the one before.
    #[error("the headers do not follow those before")]
    Unconnected,
    /// A header breaks a rule.
    #[error(transparent)]
    Rule(#[from] RuleError),
    /// The second pass shows other headers than the first.
    #[error("the headers are not those that were sent at first")]
    OtherChain,
    /// The chain is longer than can be weighed.
    #[error("the chain is too long for the work that it shows")]
    TooLong,
}

/// A chain of headers, of which not enough work is known yet.
#[derive(Debug)]
pub struct Weighing {
    spec: Arc<ChainSpec>,
    salt: [u8; 32],
    least: Work,
    /// The known block that it begins after.
    start: HeaderChain,
    /// How far this pass is.
    end: HeaderChain,
    marks: Bits,
    pass: Pass,
}

impl Weighing {
    /// What one holds at most: the bits, and the headers held back with one more answer on top, each in a buffer that has doubled
    /// its size a moment ago.
    pub const MOST_BYTES: usize =
        2 * (MAX_MARKS / 8 + (HELD_BACK + MAX_HEADERS) * size_of::<BlockHeader>()) + 1_024;

    /// Begins with a chain of unknown headers after the known `start`. They can be stored when their chain has more work than `least`.
    /// The salt is random and secret.
    pub fn new(spec: Arc<ChainSpec>, salt: [u8; 32], least: Work, start: HeaderChain) -> Self {
        Self {
            spec,
            salt,
            least,
            end: start.clone(),
            start,
            marks: Bits::default(),
            pass: Pass::First,
        }
    }

    /// Takes the next headers, at the time `now` (seconds since 1970), and returns those that the chain may store now, in order.
    ///
    /// # Errors
    /// [`WeighingError`]; then the weighing is to be given up.
    pub fn take(
        &mut self,
        headers: &[BlockHeader],
        now: u64,
    ) -> Result<Vec<BlockHeader>, WeighingError> {
        for header in headers {
            if header.prev_block != self.end.hash() {
                return Err(WeighingError::Unconnected);
            }
            let hash = header.hash();
            self.end.extend(&self.spec, header, &hash, now)?;
            let mark = self.mark(&hash);
            let enough_now = self.end.work() > self.least;
            match &mut self.pass {
                Pass::First => {
                    if self.marks.len >= MAX_MARKS {
                        return Err(WeighingError::TooLong);
                    }
                    if let Some(bit) = mark {
                        self.marks.push(bit);
                    }
                    if enough_now {
                        self.end = self.start.clone();
                        self.pass = Pass::Second {
                            matched: 0,
                            held: VecDeque::new(),
                            enough: false,
                        };
                        return Ok(Vec::new());
                    }
                }
                Pass::Second {
                    matched,
                    held,
                    enough,
                } => {
                    // What follows the header at which the first pass ended left no bits.
                    if let Some(bit) = mark.filter(|_| !*enough) {
                        if self.marks.get(*matched) != Some(bit) {
                            return Err(WeighingError::OtherChain);
                        }
                        *matched += 1;
                    }
                    held.push_back(*header);
                    *enough |= enough_now;
                }
            }
        }
        Ok(self.let_go())
    }

    /// The salted bit of a header that leaves one.
    fn mark(&self, hash: &BlockHash) -> Option<bool> {
        // Which heights do is secret as well, so that between two of them nothing can be exchanged.
        let offset = u32::from(self.salt[31]) % MARK_EVERY;
        (self.end.height() % MARK_EVERY == offset).then(|| {
            let salted = [self.salt, hash.to_bytes()].concat();
            sha256(&salted)[0] & 1 == 1
        })
    }

    fn let_go(&mut self) -> Vec<BlockHeader> {
        match &mut self.pass {
            Pass::First => Vec::new(),
            Pass::Second { held, enough, .. } => {
                let kept = if *enough { 0 } else { HELD_BACK };
                let count = held.len().saturating_sub(kept);
                held.drain(..count).collect()
            }
        }
    }

    /// Whether the work was shown and all headers have been let go: what follows can be stored as it comes.
    pub const fn is_done(&self) -> bool {
        matches!(&self.pass, Pass::Second { enough: true, .. })
    }

    /// The bytes that it holds now.
    pub fn bytes(&self) -> usize {
        let held = match &self.pass {
            Pass::First => 0,
            Pass::Second { held, .. } => held.capacity(),
        };
        size_of::<Self>() + self.marks.bytes.capacity() + held * size_of::<BlockHeader>()
    }

    /// Whether the first pass has just ended: the second is to begin, however short the last answer was.
    pub fn is_turning(&self) -> bool {
        let is_second = matches!(&self.pass, Pass::Second { .. });
        is_second && self.end.hash() == self.start.hash()
    }

    /// The block to ask for the headers after.
    pub const fn next(&self) -> BlockHash {
        self.end.hash()
    }

    /// How high the headers of this pass reach.
    pub const fn height(&self) -> u32 {
        self.end.height()
    }
}

/// What is to be done with headers.
#[derive(Debug)]
pub struct Weighed {
    /// These may be stored, in order.
    pub store: Vec<BlockHeader>,
    /// The chain has not shown its work yet: the next answer is to be weighed with this one.
    pub weighing: Option<Box<Weighing>>,
}

/// Looks at headers of which none is known, each the child of the one before, the first of them of `start`: if they bring their chain
/// more work than `least`, they may be stored at once, else it is to be weighed.
///
/// # Errors
/// [`WeighingError`].
pub fn weigh(
    spec: &Arc<ChainSpec>,
    salt: [u8; 32],
    least: Work,
    start: HeaderChain,
    headers: Vec<BlockHeader>,
    now: u64,
) -> Result<Weighed, WeighingError> {
    let mut work = start.work();
    for header in &headers {
        // Only work that was done counts, or the last header could claim whatever makes those before it be stored.
        check_header_in_isolation(spec, header, &header.hash())?;
        let target = header.bits.to_target();
        let own = target.map_or(Work::ZERO, |target| target.work());
        work = work.checked_add(own).unwrap_or(work);
    }
    if work > least {
        return Ok(Weighed {
            store: headers,
            weighing: None,
        });
    }
    let mut weighing = Box::new(Weighing::new(Arc::clone(spec), salt, least, start));
    weighing.take(&headers, now)?;
    Ok(Weighed {
        store: Vec::new(),
        weighing: Some(weighing),
    })
}
