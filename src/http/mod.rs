//! HTTP connections: what the RPC server and the explorer share.
//!
//! [`serve()`] runs a router on a listener under hard limits (the only place with `hyper`); [`HostPolicy`] turns away web
//! pages that reach for a local port (DNS rebinding, foreign origins); [`Places`] bounds the work behind it. Nothing here
//! knows what is served.

mod guard;
mod places;
mod serve;
mod stream;
#[cfg(test)]
pub(crate) mod testing;
mod waiting;

pub use guard::{HostPolicy, Refusal};
pub use places::{Place, Places};
pub use serve::{HEADER_BYTES, Limits, serve};
