//! Filling announced blocks: from a header, a coinbase and short ids to a block.
//!
//! [`Compact`] is a state machine without I/O, like `sync`: calls go in, [`Action`]s come out, the clock is an argument, and a
//! peer is a key. For each announced block the mempool is asked for its transactions, the announcer for what is missing there,
//! and the block is put together ([`assemble()`]); whatever goes wrong on the way ends in [`Action::FetchWhole`]. Nothing of it is
//! held against anybody: two transactions may share a short id by chance, announcements are relayed before they are filled, and
//! whoever relayed a false one could not know. So nothing here tells of a hash that it is invalid; the fetched block is judged.
//!
//! What callers owe: each of [`Action::Match`], [`Action::Ask`] and [`Action::Assemble`] ends in one call of
//! [`Compact::matched`], [`Compact::answered`] or [`Compact::unanswered`], and [`Compact::assembled`]; a block that was given to
//! the chain ends in [`Compact::forget`]; [`Compact::tick`] is called a few times a second.

mod assemble;
mod machine;
#[cfg(test)]
mod tests;

pub(super) use assemble::{assemble, pick};
pub(super) use machine::{Action, Compact};
