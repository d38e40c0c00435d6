//! Headers-first sync from several peers at once, as a state machine without I/O.
//!
//! Events go in, actions come out, and the clock is an argument (milliseconds since any fixed
//! moment, never going backwards). There are no libp2p types: a peer is a [`PeerKey`], and the
//! chain is seen through [`Facts`] and verdicts only. The same code runs under a simulator.
//!
//! How it works: a peer that claims more work than the best chain that we have or are fetching (the
//! goal) is asked for headers (`headers`); the chain judges them; bodies that the chain up to the goal
//! lacks are fetched in a moving window over all peers that may have them and handed to the chain in
//! order (`blocks`). The goal is a chain that a connected peer has: there may be headers with more work
//! whose bodies nobody has.
//! Headers are stored only of chains that have more work than the goal, or else a peer could fill our memory with headers that cost
//! it nothing; a chain that needs more than one answer to show that is weighed before (`weighing`).
//! A peer that stays silent loses its work to another after 2 s, doubling (`machine`).
//!
//! What callers owe: every request in an action ends in exactly one answer or failure event; every
//! `Judge…` action ends in its `…Judged` event; [`Facts`] are sent again whenever the chain
//! or [`Sync::ends`] changed, with a growing stamp; [`Sync::tick`] is called a few times a second.

mod blocks;
mod headers;
mod machine;
mod news;
mod peer;
mod types;
mod weighing;

#[cfg(test)]
mod tests;

pub use machine::{Sizes, Sync};
pub use news::oldest_news;
pub use types::{
    Action, BlockVerdict, Event, Facts, HeadersVerdict, PeerKey, PeerStatus, RequestFailure,
    RequestId, SyncFault, SyncState,
};
pub use weighing::{Weighed, Weighing, WeighingError, weigh};
