//! Laws of the mempool: the pure pool over a made-up chain of coins, and the task over a real chain.

mod document;
mod estimates;
mod intake;
mod laws;
pub(super) mod model;
mod reorg;
mod rules;
mod templates;
