//! Who we know, who we dial, who we trust.
//!
//! `address` reads peer addresses; `addresses` is the table of known ones; `observed` finds out our own;
//! `stale` watches the tip; `identity` keeps our key; `book` is the file of known peers and
//! `bans`; `dialer` decides whom to dial and when; `score` weighs misbehaviour; `table` holds what we
//! know of connected peers. All take the clock as an argument (milliseconds since start), except
//! for the two that touch files.

mod address;
mod addresses;
mod bans;
mod book;
mod dialer;
mod identity;
mod observed;
mod score;
mod stale;
mod table;

pub(super) use address::{
    Route, ip_of, is_local, peer_id_of, reachable, socket_address, socket_text, strip_peer_id,
};
pub use bans::{BanTarget, Subnet};
pub(super) use book::AddressBook;
pub(super) use dialer::{Dialer, Source, TargetId};
pub(super) use identity::load_or_create as load_or_create_identity;
pub(super) use observed::Observed;
pub use score::{Fault, Scores, Verdict};
pub(super) use stale::StaleTip;
pub(super) use table::{Connection, Peer, PeerTable};
