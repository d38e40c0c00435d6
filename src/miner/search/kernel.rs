//! Which kernels there are, and which one this machine takes.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde::{Deserialize, Deserializer, de};

#[cfg(target_arch = "aarch64")]
use super::armv8;
use super::prepared::Prepared;
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512, sha_ni};
use super::{crate_sha2, portable};

/// Searches `count` nonces from `first` on, none of them beyond 2^32 − 1, for one whose hash has top 32 bits that are at most the
/// target's; returns how many come before it.
pub(super) type Scan = fn(&Prepared, first: u32, count: u32) -> Option<u32>;

/// A way to search that works on this machine.
#[derive(Clone, Copy)]
pub struct Kernel {
    name: &'static str,
    scan: Scan,
}

/// Every kernel that this program has, and whether it works here.
fn all() -> Vec<(Kernel, bool)> {
    let kernel = |name, scan: Scan, works| (Kernel { name, scan }, works);
    vec![
        kernel("sha2", crate_sha2::scan, true),
        kernel("portable", portable::scan, true),
        #[cfg(target_arch = "x86_64")]
        kernel("avx2", avx2::scan, avx2::is_available()),
        #[cfg(target_arch = "x86_64")]
        kernel("sha-ni", sha_ni::scan, sha_ni::is_available()),
        #[cfg(target_arch = "x86_64")]
        kernel("avx512", avx512::scan, avx512::is_available()),
        #[cfg(target_arch = "aarch64")]
        kernel("armv8", armv8::scan, armv8::is_available()),
    ]
}

impl Kernel {
    /// All that work on this machine; the first is the `sha2` crate.
    pub fn available() -> Vec<Self> {
        let working = all().into_iter().filter(|(_, works)| *works);
        working.map(|(kernel, _)| kernel).collect()
    }

    /// The fastest on this machine, measured once in a process, which takes some milliseconds.
    ///
    /// Measured and not looked up in a list: which of two instruction sets is faster differs from processor to processor.
    pub fn fastest() -> Self {
        static FASTEST: OnceLock<Kernel> = OnceLock::new();
        *FASTEST.get_or_init(|| {
            let prepared = Prepared::new([0; 8], [0; 3], 0);
            let mut times: Vec<_> = Self::available()
                .into_iter()
                .map(|kernel| (kernel, Duration::MAX))
                .collect();
            for _ in 0..TRIALS {
                for (kernel, shortest) in &mut times {
                    let begin = Instant::now();
                    std::hint::black_box((kernel.scan)(&prepared, 0, TRIAL_NONCES));
                    // The shortest is the one that nothing interrupted.
                    *shortest = begin.elapsed().min(*shortest);
                }
            }
            let fastest = times.into_iter().min_by_key(|(_, time)| *time);
            fastest.expect("two kernels work on all machines").0
        })
    }

    /// What it is called on the command line.
    pub const fn name(self) -> &'static str {
        self.name
    }

    pub(super) fn scan(self, prepared: &Prepared, first: u32, count: u32) -> Option<u32> {
        (self.scan)(prepared, first, count)
    }
}

/// How often each kernel is tried before one is chosen.
const TRIALS: usize = 3;
/// Nonces in each trial: below a millisecond with any kernel on a common processor.
const TRIAL_NONCES: u32 = 2048;

impl PartialEq for Kernel {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Kernel {}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kernel({})", self.name)
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// Why a kernel cannot be had by that name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KernelError {
    /// There is none.
    #[error("there is no such kernel: expected one of {available}")]
    Unknown {
        /// Those that work here.
        available: String,
    },
    /// This processor lacks its instructions.
    #[error("this processor lacks the instructions of that kernel: expected one of {available}")]
    Lacking {
        /// Those that work here.
        available: String,
    },
}

impl FromStr for Kernel {
    type Err = KernelError;

    fn from_str(name: &str) -> Result<Self, KernelError> {
        let names = || {
            let names: Vec<_> = Self::available().iter().map(|k| k.name).collect();
            names.join(", ")
        };
        match all().into_iter().find(|(kernel, _)| kernel.name == name) {
            Some((kernel, true)) => Ok(kernel),
            Some((_, false)) => Err(KernelError::Lacking { available: names() }),
            None => Err(KernelError::Unknown { available: names() }),
        }
    }
}

impl<'de> Deserialize<'de> for Kernel {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        name.parse().map_err(de::Error::custom)
    }
}
