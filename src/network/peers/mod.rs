//! Who we know, who we dial, who we trust.
//!
//! `address` reads peer addresses; `identity` keeps our key; `book` is the file of known peers and
//! bans; `dialer` decides whom to dial and when; `score` weighs misbehaviour; `table` holds what we
//! know of connected peers. All take the clock as an argument (milliseconds since start), except
//! for the two that touch files.

mod address;
mod book;
mod dialer;
mod identity;
mod score;
mod table;

pub(super) use address::{Route, ip_of, is_local, peer_id_of, socket_address, strip_peer_id};
pub(super) use book::AddressBook;
pub(super) use dialer::{Dialer, Source, TargetId, reachable};
pub(super) use identity::load_or_create as load_or_create_identity;
pub use score::{Fault, Scores, Verdict};
pub(super) use table::{Connection, Peer, PeerTable};
