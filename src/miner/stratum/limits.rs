//! What miners can cost us. Each limit says what it bounds.

use std::time::Duration;

/// Connections at a time: bounds tasks, descriptors and memory (some kilobytes each). One more is told so and closed.
pub(super) const MAX_CONNECTIONS: usize = 512;
/// Connections at a time from one address, so that one machine does not take them all. Loopback is exempt: a proxy may be there.
pub(super) const MAX_PER_ADDRESS: usize = 128;
/// Bytes of a line. The longest that miners send are some hundred; a longer one ends the connection.
pub(super) const MAX_LINE: usize = 4096;
/// Lines a second that a connection may send for long, and how many at once. More are not refused, but read later: they fill the
/// sender's own buffers.
pub(super) const LINES_PER_SECOND: f64 = 50.0;
/// See [`LINES_PER_SECOND`].
pub(super) const LINES_AT_ONCE: f64 = 1000.0;
/// Refused requests in a row, shares that are not just late and malformed lines alike, after which a connection is closed: whoever is always wrong costs
/// hashes and answers, and may do better after connecting anew.
pub(super) const MAX_REFUSALS: u32 = 64;
/// How long a connection may take until it mines, and so how long one that only listens holds a place.
pub(super) const UNAUTHORIZED_TIME: Duration = Duration::from_secs(20);
/// How long a miner may send nothing. Slow ones on a fixed difficulty may need long for a share.
pub(super) const IDLE_TIME: Duration = Duration::from_secs(30 * 60);
/// How long a miner may take nothing of what it is sent.
pub(super) const WRITE_PATIENCE: Duration = Duration::from_secs(15);
/// How often a connection looks at its clock.
pub(super) const TICK: Duration = Duration::from_secs(5);
/// Jobs of a connection that shares are taken for. Older ones are stale; bounds the templates that are kept in memory.
pub(super) const MAX_JOBS: usize = 8;
/// Shares of one job that are remembered, to tell duplicates. More are refused until the next job.
pub(super) const MAX_SHARES: usize = 4096;
/// Workers that one connection may name, as a proxy does.
pub(super) const MAX_NAMES: usize = 32;
/// Characters of a worker's name: an address, a dot and a label.
pub(super) const MAX_NAME: usize = 128;
/// Characters that are kept of what a miner calls itself.
pub(super) const MAX_AGENT: usize = 64;
/// Workers that statistics are kept of. Where they are more, those that left longest ago are forgotten.
pub(super) const MAX_WORKERS: usize = 1024;
