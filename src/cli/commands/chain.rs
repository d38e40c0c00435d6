//! `chain show`.

use serde_json::json;

use super::super::args::ChainCommand;
use super::super::context::Context;
use super::super::error::CliResult;

/// Prints the spec in the form that `--chain` takes; the rest stands in comments.
pub(super) fn run(context: &Context, command: ChainCommand) -> CliResult {
    let ChainCommand::Show = command;
    let spec = &context.spec;
    let (id, genesis, magic) = (
        spec.chain_id(),
        spec.genesis_block().hash(),
        hex::encode(spec.magic()),
    );
    context.out.show(
        || {
            json!({
                "name": spec.name,
                "chain_id": id.to_string(),
                "genesis": genesis,
                "magic": magic,
                "spec": spec.to_toml(),
            })
        },
        || {
            let toml = spec.to_toml();
            format!(
                "# chain id: {id}\n# genesis block: {genesis}\n# magic of block files: {magic}\n{}",
                toml.trim_end()
            )
        },
    )
}
