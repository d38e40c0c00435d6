//! The explorer: read-only web pages and what machines ask a node, on a port of their own.
//!
//! [`serve`] answers on a listener that the caller has bound, until its token is cancelled. Nothing here changes anything, and
//! everything works with JavaScript off but the live update.
//!
//! | where | what |
//! |---|---|
//! | `server` | routes, limits, security headers |
//! | `pages` | the pages, and the fork tree |
//! | `health`, `metrics`, `counters` | `/healthy`, `/ready`, `/metrics` |
//! | `events` | `/events`, the node's event stream |
//! | `format` | times and texts that others wrote |

mod counters;
mod events;
mod format;
mod health;
mod metrics;
mod pages;
mod server;

#[cfg(test)]
mod tests;

pub use server::{ExplorerConfig, ExplorerContext, serve};
