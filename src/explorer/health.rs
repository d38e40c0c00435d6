//! `/healthy`: the process answers. `/ready`: it is of use.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;

use crate::network::sync::SyncState;

use super::server::Site;

/// A peer's tip may be this far ahead for a moment without the node being behind.
const BEHIND: u32 = 2;

pub(super) async fn healthy() -> &'static str {
    "healthy\n"
}

pub(super) async fn ready(State(site): State<Arc<Site>>) -> (StatusCode, String) {
    match why_not_ready(&site) {
        None => (StatusCode::OK, "ready\n".to_owned()),
        Some(reason) => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("not ready: {reason}\n"),
        ),
    }
}

/// What keeps the node from being of use.
pub(super) fn why_not_ready(site: &Site) -> Option<String> {
    if let Some(failure) = &*site.context.chain.failure().borrow() {
        return Some(format!("the chain has failed: {failure}"));
    }
    let status = site.network()?;
    match status.sync {
        SyncState::Headers { height, target } if target > height.saturating_add(BEHIND) => {
            return Some(format!("syncing headers, {height} of {target}"));
        }
        SyncState::Blocks { height, target } if target > height.saturating_add(BEHIND) => {
            return Some(format!("syncing blocks, {height} of {target}"));
        }
        SyncState::Headers { .. }
        | SyncState::Blocks { .. }
        | SyncState::Alone
        | SyncState::Synced { .. } => {}
    }
    (site.expects_peers && status.peers == 0).then(|| "no peers are connected".to_owned())
}
