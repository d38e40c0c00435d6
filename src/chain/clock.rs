//! Where the time comes from.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::primitives::unix_now;

/// Seconds since 1970, from wherever the caller takes the time.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The clock of this computer.
pub fn system_clock() -> Clock {
    Arc::new(unix_now)
}

/// A clock that follows this computer's until it is set to a time, at which it then stands: for tests of whole nodes (Bitcoin
/// Core, `setmocktime`). Clones share it.
#[derive(Debug, Clone, Default)]
pub struct SettableClock {
    /// 0: the computer's.
    time: Arc<AtomicU64>,
}

impl SettableClock {
    /// Stands at so many seconds since 1970 from now on; 0 lets it follow the computer's clock again.
    pub fn set(&self, seconds: u64) {
        self.time.store(seconds, Ordering::Relaxed);
    }

    /// The clock.
    pub fn clock(&self) -> Clock {
        let time = Arc::clone(&self.time);
        Arc::new(move || match time.load(Ordering::Relaxed) {
            0 => unix_now(),
            set => set,
        })
    }
}
