//! The peer-to-peer network: the only place that knows libp2p.
//!
//! [`spawn`] builds the swarm and starts one tokio task that owns it (`service`). The task ends when
//! its cancellation token is cancelled, or with an error when something it cannot do without fails;
//! whoever called [`spawn`] joins it. Nothing heavy runs in it: calls of chain and mempool are
//! made in bounded helper tasks, and their results come back as events.
//!
//! Where to find:
//! - `service`: the task. `service::gossip` handles gossiped blocks and transactions,
//!   `service::requests` serves peers, `service::connections` greets, watches and drops them.
//! - [`sync`]: headers-first sync, a pure state machine.
//! - `peers`: addresses, dialling, address file, identity, misbehaviour.
//! - `compact`: from a block's announcement to the block, a pure state machine.
//! - `gossip`: topics, settings, what waits to be published.
//! - `transport`, `traffic`: connections, and the bytes they carry. `network_key`: what keeps a network closed.
//! - `behaviour`, `codec`, `gate`: the swarm and what it is made of. `limits`: every limit.

pub mod sync;

mod behaviour;
mod codec;
mod compact;
mod config;
mod error;
mod gate;
mod gossip;
mod handle;
mod info;
mod limits;
mod network_key;
mod peers;
mod quota;
mod service;
mod traffic;
mod transport;

pub use config::{LinkTimes, NetworkConfig};
pub use error::{AddressError, NetworkError};
pub use handle::NetworkHandle;
pub use info::{AddedPeer, BanInfo, NetworkMetrics, NetworkStatus, PeerInfo};
pub use network_key::{NetworkKeyError, create_network_key};
pub use peers::{BanTarget, Fault, Scores, Verdict};
pub use service::spawn;
pub use traffic::ByteCounts;
