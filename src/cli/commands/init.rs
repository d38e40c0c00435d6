//! `init-blockchain`: a network of one's own.

use std::fs;
use std::io::Write;

use serde_json::json;

use super::super::args::{GlobalArgs, InitArgs};
use super::super::context::{self};
use super::super::error::{CliError, CliResult, Context as _};
use super::super::output::Output;
use super::super::progress;
use crate::consensus::ChainSpec;
use crate::keys::Address;
use crate::node::{DataFolder, OfflineChain, Settings};
use crate::primitives::unix_now;

/// Makes the network, writes its spec into the data folder, and its first block into the database.
pub(super) fn run(global: &GlobalArgs, args: &InitArgs) -> CliResult {
    let out = Output::new(global.json);
    let (folder, settings) = context::folder_and_settings(global, Settings::default())?;
    if let Some(chain) = settings.chain {
        return Err(CliError::Usage(format!(
            "--chain {chain}: init-blockchain makes a network of its own; leave it out, and name the new one with --name"
        )));
    }
    // A new network has the version bytes of `dev`.
    let version = ChainSpec::dev().address_version;
    let address = Address::parse(&args.address, version).or_bad("--address")?;
    check_name(&args.name)?;
    check_vacant(&folder, &args.name)?;

    let time = u32::try_from(unix_now()).or_fail_to("use this computer's clock")?;
    let spinner = progress::spinner("Searching the first block");
    let spec = ChainSpec::new_network(&args.name, address.pubkey_hash(), time);
    spinner.finish_and_clear();

    let network = folder.network(&spec);
    network
        .create()
        .or_fail_to(format!("make the folder {}", network.path().display()))?;
    write_spec(&folder, &spec)?;
    let opened = OfflineChain::open(&network, &spec).or_fail();
    if let Err(error) = opened.and_then(|chain| chain.close().or_fail()) {
        // Without its chain the spec would only be in the way.
        let _ = fs::remove_file(folder.spec_file());
        return Err(error);
    }
    let genesis = spec.genesis_block().hash();
    let file = folder.spec_file();
    out.show(
        || {
            json!({
                "genesis": genesis,
                "network": spec.name,
                "chain_id": spec.chain_id().to_string(),
                "spec": file,
            })
        },
        || format!("Genesis block: {genesis}\nSpec: {}\nDone", file.display()),
    )
}

/// The spec's own check, before work is done for it; built-in names would share a folder with another network.
fn check_name(name: &str) -> CliResult {
    let expected = "expected 1 to 32 of the characters a-z, 0-9 and -, and not dev or regtest";
    let good = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    let fits = (1..=32).contains(&name.len()) && name.bytes().all(good);
    if !fits || matches!(name, "dev" | "regtest") {
        return Err(CliError::Usage(format!(
            "--name: '{name}' cannot name a network: {expected}"
        )));
    }
    Ok(())
}

fn check_vacant(folder: &DataFolder, name: &str) -> CliResult {
    let spec = folder.spec_file();
    let network = folder.path().join(name);
    for path in [spec, network] {
        if path.exists() {
            return Err(CliError::Failure(format!(
                "{} has a network of its own already ({} exists): use another --datadir",
                folder.path().display(),
                path.display()
            )));
        }
    }
    Ok(())
}

/// Writes the spec; it is whole or absent at any moment.
fn write_spec(folder: &DataFolder, spec: &ChainSpec) -> CliResult {
    let path = folder.spec_file();
    let temporary = path.with_extension("toml.new");
    let write = || {
        let mut file = fs::File::create(&temporary)?;
        file.write_all(spec.to_toml().as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, &path)
    };
    write().or_fail_to(format!("write {}", path.display()))
}
