//! `network-key`: the pre-shared key of a closed network.

use serde_json::json;

use super::super::args::NetworkKeyCommand;
use super::super::context::Context;
use super::super::error::{CliResult, Context as _};
use crate::node::create_network_key;

/// Makes the key, and tells where it is; the key itself is shown nowhere.
pub(super) fn run(context: &Context, command: &NetworkKeyCommand) -> CliResult {
    let NetworkKeyCommand::New { out } = command;
    let path = match out {
        Some(path) => path.clone(),
        None => {
            let folder = context.folder.path();
            std::fs::create_dir_all(folder)
                .or_fail_to(format_args!("make the folder {}", folder.display()))?;
            folder.join("network.key")
        }
    };
    create_network_key(&path).or_fail()?;
    if context.out.is_json() {
        return context.out.json(&json!({ "network-key-file": path }));
    }
    context.out.line(path.display().to_string())
}
