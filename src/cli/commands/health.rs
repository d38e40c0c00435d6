//! `health`: for the health checks of containers.

use std::time::Duration;

use serde_json::json;

use super::super::context::Context;
use super::super::error::{CliError, CliResult, Context as _};
use crate::rpc::NodeFile;

/// How long the node may take to answer; below the five seconds that a container's check has.
const PATIENCE: Duration = Duration::from_secs(4);

/// Succeeds if the node's `/healthy` answers so.
pub(super) fn run(context: &Context) -> CliResult {
    let folder = context.network();
    let unhealthy = |reason: String| CliError::Failure(format!("not healthy: {reason}"));
    let node = NodeFile::read(folder.path()).or_fail_to("read node.json")?;
    let explorer = node
        .and_then(|node| node.explorer)
        .ok_or_else(|| unhealthy(format!("no node is running in {}", folder.path().display())))?;
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .proxy(None)
        .timeout_global(Some(PATIENCE))
        .build()
        .into();
    match agent.get(format!("http://{explorer}/healthy")).call() {
        Ok(_) => context
            .out
            .show(|| json!({ "healthy": true }), || "healthy".to_owned()),
        Err(error) => Err(unhealthy(format!("{explorer}/healthy: {error}"))),
    }
}
