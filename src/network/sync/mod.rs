//! Headers-first sync from several peers at once, as a state machine without I/O.
//!
//! Events go in, actions come out, and the clock is an argument (milliseconds since any fixed
//! moment, never going backwards). There are no libp2p types: a peer is a [`PeerKey`], and the
//! chain is seen through [`Facts`] and verdicts only. The same code runs under a simulator.
//!
//! How it works: a peer that claims more work than our best header is asked for headers
//! (`headers`); the chain judges them; bodies that the best header chain lacks are fetched in a
//! moving window over all peers that may have them and handed to the chain in order (`blocks`).
//! A peer that stays silent loses its work to another after 2 s, doubling (`machine`).
//!
//! What callers owe: every request in an action ends in exactly one answer or failure event; every
//! `Judge…` action ends in its `…Judged` event; [`Facts`] are sent again whenever the chain
//! changed, with a growing stamp; [`Sync::tick`] is called a few times a second.

mod blocks;
mod headers;
mod machine;
mod types;

#[cfg(test)]
mod tests;

pub use machine::Sync;
pub use types::{
    Action, BlockVerdict, Event, Facts, HeadersVerdict, PeerKey, PeerStatus, RequestFailure,
    RequestId, SyncFault, SyncState,
};
