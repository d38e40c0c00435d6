//! Stratum v1: external miners, from a clock radio to a farm's proxy.
//!
//! [`serve`] starts one task, which builds work and owns the task of each connection; all end with its cancellation token, and
//! whoever called it joins the task. Nothing but `server`, `connection` and `source` does I/O: a [`session::Session`] turns
//! lines, work and time into a [`session::Reaction`].
//!
//! | where | what |
//! |---|---|
//! | `limits` | what miners can cost us |
//! | `protocol` | lines in, answers out |
//! | `difficulty` | how rare a share is |
//! | `vardiff` | which difficulty suits a connection |
//! | `payout` | whom a worker's name pays |
//! | `jobs` | the jobs of a connection, and judging shares |
//! | `session` | a connection's state |
//! | `throttle` | lines in a second |
//! | `workers` | statistics, by worker |
//! | `source` | the work that all connections share |
//! | `connection`, `server` | sockets |
//!
//! The coinbase of a job is a [`Coinbase`](super::coinbase::Coinbase): BIP34's height, then the extra nonce, four bytes that tell
//! connections apart and four that the miner varies.

mod connection;
mod difficulty;
mod jobs;
mod limits;
mod payout;
mod protocol;
mod server;
mod session;
mod source;
#[cfg(test)]
mod tests;
mod throttle;
mod vardiff;
mod workers;

pub use payout::Payouts;
pub use protocol::check_line;
pub use server::{StratumConfig, StratumHandle, serve};
pub use workers::{StratumInfo, WorkerInfo};
