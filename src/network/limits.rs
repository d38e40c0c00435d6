//! Every limit of the network layer, with what breaks without it.
//!
//! The sizes of messages are in `wire::limits`. Values come from the network's written settings;
//! quotas are enforced by the serving side, and we hold ourselves to 80 % of them.

use std::time::Duration;

use super::quota::Quota;
use crate::wire::Protocol;

/// Outbound connections that we make by ourselves (reserved and lately lost peers come on top).
pub(super) const OUTBOUND_TARGET: usize = 8;
/// Up to this many known peers we connect to all of them.
pub(super) const CONNECT_TO_ALL: usize = 10;
/// Outbound connections in all; double the target, so that lost peers can be tried again while
/// the places are taken, without which two halves of a network might never meet again.
pub(super) const MAX_OUTBOUND: u32 = 16;
/// Inbound connections in all.
pub(super) const MAX_INBOUND: u32 = 40;
/// Connections to one peer: two, since both sides may dial at once and since a restarted peer's
/// new connection may arrive before the death of the old one is noticed.
pub(super) const MAX_PER_PEER: u32 = 2;
/// Inbound connections that have not ended their handshakes.
pub(super) const MAX_PENDING_INBOUND: u32 = 32;
/// Dials under way.
pub(super) const MAX_PENDING_OUTBOUND: u32 = 16;
/// Inbound connections from one public IP (one /64 of IPv6).
pub(super) const MAX_PER_IP: usize = 4;
/// Inbound connections from one public /24 (one /48 of IPv6).
pub(super) const MAX_PER_SUBNET: usize = 8;

/// A dial with all its handshakes ends within this time. Short, since a dial that began while a
/// link was cut delays the next one.
pub(super) const DIAL_TIMEOUT: Duration = Duration::from_secs(5);
/// The status exchange ends within this many milliseconds of connecting, else we disconnect.
pub(super) const HANDSHAKE_TIMEOUT: u64 = 5_000;
/// Idle connections are kept; ping closes dead ones.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(600);
/// Ping interval and timeout. Two failures close the connection: 20 to 40 s.
pub(super) const PING: Duration = Duration::from_secs(10);
/// Peers of other networks and other programs are left alone for this long.
pub(super) const STRANGER_TIME: Duration = Duration::from_secs(3_600);

/// Yamux streams of one connection.
pub(super) const YAMUX_STREAMS: usize = 256;
/// Events a connection may queue before it waits for the swarm, and the other way round.
pub(super) const EVENT_BUFFER: usize = 64;

/// mDNS asks this often. The library's 5 min would make some pairs meet only then.
pub(super) const MDNS_QUERY: Duration = Duration::from_secs(5);
/// mDNS records live this long without being heard of.
pub(super) const MDNS_TTL: Duration = Duration::from_secs(120);

/// Inbound requests being served, in all.
pub(super) const MAX_SERVING: usize = 32;
/// Inbound requests being served for one peer.
pub(super) const MAX_SERVING_PER_PEER: usize = 4;
/// Gossiped blocks being judged; messages beyond are ignored, and sync makes up for them.
pub(super) const MAX_BLOCK_CALLS: usize = 128;
/// Gossiped batches of transactions being judged; messages beyond are ignored, and their senders repeat them.
pub(super) const MAX_TRANSACTION_CALLS: usize = 128;
/// Commands from handles waiting for the task.
pub(super) const COMMAND_BUFFER: usize = 32;
/// Bodies looked ahead for; 512 blocks of 1 MB would be too much memory, so sync also counts bytes.
pub(super) const MISSING_WINDOW: usize = 512;

/// Network-wide quota of status requests.
pub(super) fn status_quota() -> Quota {
    Quota::new(5, 15_000)
}

/// Network-wide quota of headers, in headers.
pub(super) fn headers_quota() -> Quota {
    Quota::new(20_000, 10_000)
}

/// Network-wide quota of blocks, in blocks; [`block_bytes_quota`] holds as well. Small blocks are
/// cheap to serve, and 256 of them in 10 s would make a late joiner wait an hour for a week.
pub(super) fn blocks_quota() -> Quota {
    Quota::new(16_384, 10_000)
}

/// Network-wide quota of served blocks, in bytes.
pub(super) fn block_bytes_quota() -> Quota {
    Quota::new(64 << 20, 10_000)
}

/// Network-wide quota of requests for transactions of announced blocks: 16 blocks in 10 s.
pub(super) fn block_transactions_quota() -> Quota {
    Quota::new(16, 10_000)
}

/// Network-wide quota of requests for addresses: one in [`ADDRESSES_PERIOD`]. Without it anybody could read the whole book, and
/// knock with a flood.
pub(super) fn addresses_quota() -> Quota {
    Quota::new(1, ADDRESSES_PERIOD)
}

/// See [`addresses_quota`], milliseconds.
pub(super) const ADDRESSES_PERIOD: u64 = 300_000;

/// How long a request of `protocol` may take, from both ends.
pub(super) fn request_timeout(protocol: Protocol) -> Duration {
    Duration::from_secs(match protocol {
        Protocol::Status => 5,
        Protocol::Headers => 15,
        Protocol::Blocks => 30,
        Protocol::BlockTransactions => 10,
        Protocol::Addresses => 5,
    })
}

/// Streams of `protocol` on one connection. Both directions share them, and over the limit
/// inbound ones vanish without a word, so this is more than either side uses.
pub(super) const fn max_streams(protocol: Protocol) -> usize {
    match protocol {
        Protocol::Status | Protocol::Headers | Protocol::BlockTransactions => 4,
        Protocol::Blocks => 8,
        // One each way.
        Protocol::Addresses => 2,
    }
}
