//! How many files and connections the system lets this process open, and who may have how many of them.
//!
//! A database that cannot open its next file ends the node, so it must never be connections that took the last ones. The
//! database itself takes at most half (`storage::settings`).

/// What a node would like: every limit on connections at its full height, beside the database.
#[cfg(unix)]
const WANTED: u64 = 1024;
/// The same for a node that serves external miners, of which there may be hundreds.
#[cfg(unix)]
const WANTED_WITH_MINERS: u64 = 2048;
/// What is left to the database, the peers and the other servers before miners have more than an eighth.
const BESIDE_MINERS: u64 = 640;
/// Below this the database, the peers and a handful of clients do not fit beside each other.
const LEAST: u64 = 192;

/// The system allows too few open files.
#[derive(Debug, thiserror::Error)]
#[error(
    "too few open files are allowed: the limit is {limit}, a node needs {LEAST}; raise it, for example with `ulimit -n 1024`"
)]
pub struct TooFewFiles {
    limit: u64,
}

/// The files that this process may open.
#[derive(Debug, Clone, Copy)]
pub(super) struct OpenFiles(u64);

impl OpenFiles {
    /// Raises the limit as far as is wanted and allowed.
    ///
    /// # Errors
    /// [`TooFewFiles`] where it stays too low.
    #[cfg(unix)]
    pub(super) fn secure(serves_miners: bool) -> Result<Self, TooFewFiles> {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        let wanted = match serves_miners {
            true => WANTED_WITH_MINERS,
            false => WANTED,
        };
        // None is "no limit".
        let Some(current) = current else {
            return Ok(Self(wanted));
        };
        let wanted = maximum.map_or(wanted, |maximum| maximum.min(wanted));
        let raised = Rlimit {
            current: Some(wanted),
            maximum,
        };
        let limit = match current < wanted && setrlimit(Resource::Nofile, raised).is_ok() {
            true => wanted,
            false => current,
        };
        Self::check(limit)
    }

    /// Where there is no such limit.
    #[cfg(not(unix))]
    pub(super) fn secure(_serves_miners: bool) -> Result<Self, TooFewFiles> {
        Self::check(u64::MAX)
    }

    fn check(limit: u64) -> Result<Self, TooFewFiles> {
        match limit < LEAST {
            true => Err(TooFewFiles { limit }),
            false => Ok(Self(limit)),
        }
    }

    /// Connections that external miners may hold, besides the server's own limit: an eighth, or what the others leave.
    pub(super) fn miners(self) -> usize {
        let left = self.0.saturating_sub(BESIDE_MINERS);
        usize::try_from(left)
            .unwrap_or(usize::MAX)
            .max(self.connections())
    }

    /// Connections that one of the servers may hold, besides its own limit: an eighth.
    pub(super) fn connections(self) -> usize {
        usize::try_from(self.0 / 8).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s03_the_shares_leave_something_and_too_few_is_told() {
        let least = OpenFiles::check(LEAST).unwrap();
        assert_eq!((least.connections(), least.miners()), (24, 24));
        let common = OpenFiles::check(1024).unwrap();
        assert_eq!((common.connections(), common.miners()), (128, 384));
        assert_eq!(OpenFiles::check(u64::MAX).unwrap().connections() % 2, 1);
        let told = OpenFiles::check(16).unwrap_err().to_string();
        assert!(told.contains("the limit is 16, a node needs 192"), "{told}");
    }

    #[cfg(unix)]
    #[test]
    fn a_soft_limit_is_raised() {
        use rustix::process::{Resource, getrlimit};
        let found = OpenFiles::secure(false).unwrap();
        let limit = getrlimit(Resource::Nofile).current;
        assert!(limit.is_none_or(|limit| limit >= found.0));
    }
}
