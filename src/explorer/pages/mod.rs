//! The pages.

mod address;
mod block;
mod error;
mod fork_tree;
mod home;
mod layout;
mod search;
mod transaction;

pub(super) use address::address;
pub(super) use block::block;
pub(super) use error::{PageError, unknown};
pub(super) use home::home;
pub(super) use search::search;
pub(super) use transaction::transaction;
