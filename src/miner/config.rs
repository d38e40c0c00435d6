//! How the node mines, as checked values: each can be written on a command line and in a settings file.

use std::fmt;
use std::num::{NonZero, NonZeroU16, NonZeroUsize};
use std::str::FromStr;
use std::thread;

use serde::{Deserialize, Deserializer, de};

use super::search::Kernel;
use crate::primitives::PubkeyHash;

/// The most threads that search: more than any processor runs at once. Each takes address space and a place in the system's
/// process table, of which a mistyped number of threads would take all.
pub const MAX_THREADS: u16 = 1024;
/// The parts into which a share of the processor is counted.
const SHARE_PARTS: u16 = 1000;
/// The highest niceness there is (POSIX, `NZERO` less one).
const MAX_NICENESS: u8 = 19;

/// How many threads search, at most [`MAX_THREADS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThreadCount(NonZeroU16);

/// The part of its time that each thread searches, from a thousandth up to the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CpuShare(NonZeroU16);

/// How much the threads yield to everything else on the machine: 0, like any program, to 19, the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Niceness(u8);

/// Why a value is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MinerConfigError {
    /// A number of threads.
    #[error("expected a whole number of threads from 1 to {MAX_THREADS}")]
    Threads,
    /// A share of the processor.
    #[error("expected a number from 0.001 to 1, such as 0.25 for a quarter of each thread's time")]
    Share,
    /// A niceness.
    #[error(
        "expected a whole number from 0 (like any program) to {MAX_NICENESS} (yields to all others)"
    )]
    Niceness,
}

impl ThreadCount {
    /// This many.
    ///
    /// # Errors
    /// None, or more than [`MAX_THREADS`].
    pub fn new(count: usize) -> Result<Self, MinerConfigError> {
        u16::try_from(count)
            .ok()
            .filter(|count| *count <= MAX_THREADS)
            .and_then(NonZeroU16::new)
            .map(Self)
            .ok_or(MinerConfigError::Threads)
    }

    /// As many as the computer runs at once.
    pub fn all_cores() -> Self {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        Self::new(cores.min(usize::from(MAX_THREADS))).unwrap_or(Self(NonZeroU16::MIN))
    }

    /// The number.
    pub fn get(self) -> NonZeroUsize {
        self.0.into()
    }
}

/// One thread less than the computer runs at once, so that the node itself is not slowed; at least one.
impl Default for ThreadCount {
    fn default() -> Self {
        let all = Self::all_cores();
        Self(NonZeroU16::new(all.0.get() - 1).unwrap_or(all.0))
    }
}

impl CpuShare {
    /// All of the time.
    pub const WHOLE: Self = Self(NonZeroU16::new(SHARE_PARTS).expect("it is above 0"));

    /// A part of the time.
    ///
    /// # Errors
    /// Not above 0, or above 1.
    pub fn new(share: f64) -> Result<Self, MinerConfigError> {
        let parts = (share * f64::from(SHARE_PARTS)).round();
        if !(1.0..=f64::from(SHARE_PARTS)).contains(&parts) {
            return Err(MinerConfigError::Share);
        }
        // In range, as was checked.
        NonZeroU16::new(parts as u16)
            .map(Self)
            .ok_or(MinerConfigError::Share)
    }

    /// From 0 to 1.
    pub fn get(self) -> f64 {
        f64::from(self.0.get()) / f64::from(SHARE_PARTS)
    }
}

impl Default for CpuShare {
    fn default() -> Self {
        Self::WHOLE
    }
}

impl Niceness {
    /// From 0 to 19.
    ///
    /// # Errors
    /// Above 19.
    pub fn new(niceness: u8) -> Result<Self, MinerConfigError> {
        match niceness {
            0..=MAX_NICENESS => Ok(Self(niceness)),
            _ => Err(MinerConfigError::Niceness),
        }
    }

    /// The number.
    pub const fn get(self) -> u8 {
        self.0
    }
}

/// The most: mining takes what nobody else wants.
impl Default for Niceness {
    fn default() -> Self {
        Self(MAX_NICENESS)
    }
}

impl fmt::Display for CpuShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.get())
    }
}

impl FromStr for ThreadCount {
    type Err = MinerConfigError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse()
            .map_err(|_| MinerConfigError::Threads)
            .and_then(Self::new)
    }
}

impl FromStr for CpuShare {
    type Err = MinerConfigError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse()
            .map_err(|_| MinerConfigError::Share)
            .and_then(Self::new)
    }
}

impl FromStr for Niceness {
    type Err = MinerConfigError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse()
            .map_err(|_| MinerConfigError::Niceness)
            .and_then(Self::new)
    }
}

impl<'de> Deserialize<'de> for ThreadCount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let count = i64::deserialize(deserializer)?;
        usize::try_from(count)
            .map_err(|_| MinerConfigError::Threads)
            .and_then(Self::new)
            .map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for CpuShare {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(f64::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Niceness {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let niceness = i64::deserialize(deserializer)?;
        u8::try_from(niceness)
            .map_err(|_| MinerConfigError::Niceness)
            .and_then(Self::new)
            .map_err(de::Error::custom)
    }
}

/// How the node mines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MinerConfig {
    /// How many threads search.
    pub threads: ThreadCount,
    /// How they search; none for the fastest way.
    pub kernel: Option<Kernel>,
    /// The part of its time that each of them searches.
    pub share: CpuShare,
    /// How much they yield to everything else, on Linux. Elsewhere a thread has no niceness of its own.
    pub niceness: Niceness,
    /// Whom the blocks pay; nothing is mined without.
    pub payout: Option<PubkeyHash>,
    /// Whether the search begins at once, or with [`MinerHandle::set_enabled`](super::MinerHandle::set_enabled).
    pub enabled: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    struct File {
        threads: Option<ThreadCount>,
        cpu_share: Option<CpuShare>,
        miner_nice: Option<Niceness>,
    }

    /// What a line of a settings file gives: the value, or a message.
    fn read<T>(line: &str, field: fn(File) -> Option<T>) -> Result<T, String> {
        toml::from_str(line)
            .map(|file| field(file).unwrap())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn threads_are_counted_up_to_a_limit() {
        for (text, good) in [
            ("1", true),
            ("1024", true),
            ("0", false),
            ("1025", false),
            ("65537", false),
            ("100000", false),
            ("99999999999999999999", false),
            ("-1", false),
            ("two", false),
        ] {
            let parsed = text.parse::<ThreadCount>();
            assert_eq!(parsed.is_ok(), good, "{text}");
            if let Ok(number) = text.parse::<i64>() {
                let read = read(&format!("threads = {number}"), |file| file.threads);
                assert_eq!(read.as_ref().ok(), parsed.as_ref().ok(), "{text}");
                if let Err(message) = read {
                    assert!(message.contains("from 1 to 1024"), "{message}");
                }
            }
        }
        let most = usize::from(MAX_THREADS);
        assert_eq!(ThreadCount::new(most).unwrap().get().get(), most);
        assert!(ThreadCount::default().get() <= ThreadCount::all_cores().get());
    }

    #[test]
    fn a_share_is_above_nothing_and_at_most_all() {
        for (text, share) in [
            ("0.25", Some(0.25)),
            ("1.0", Some(1.0)),
            ("0.001", Some(0.001)),
            ("0.0", None),
            ("0.0001", None),
            ("1.1", None),
            ("-0.5", None),
            ("nan", None),
            ("inf", None),
        ] {
            let parsed = text.parse::<CpuShare>().ok();
            assert_eq!(parsed.map(CpuShare::get), share, "{text}");
            let read = read(&format!("cpu-share = {text}"), |file| file.cpu_share);
            assert_eq!(read.ok(), parsed, "{text}");
        }
        assert_eq!("1".parse(), Ok(CpuShare::WHOLE));
        assert_eq!("quarter".parse::<CpuShare>(), Err(MinerConfigError::Share));
    }

    #[test]
    fn niceness_is_from_0_to_19() {
        for (text, good) in [
            ("0", true),
            ("19", true),
            ("20", false),
            ("-1", false),
            ("300", false),
        ] {
            let parsed = text.parse::<Niceness>().ok();
            assert_eq!(parsed.is_some(), good, "{text}");
            let read = read(&format!("miner-nice = {text}"), |file| file.miner_nice);
            assert_eq!(read.ok(), parsed, "{text}");
        }
    }
}
