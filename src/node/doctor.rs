//! A look at a data folder that changes nothing: what is wrong, why it matters, and the command that mends it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::folder::{ChainChoiceError, DataFolder, NetworkFolder};
use super::lock_holder::lock_holder;
use super::mending::{recorded_pid, size_of_folder};
use super::settings::Settings;
use crate::chain::{ChainError, inspect};
use crate::consensus::ChainSpec;
use crate::rpc::{Client, ClientError};
use crate::storage::StorageError;
use crate::wallet::{Wallet, WalletError};

/// Less free space than this is told: a node could soon not write any more.
const LITTLE_SPACE: u64 = 256 << 20;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Something does not work, or will not.
    Problem,
    /// Nothing to worry about, but worth knowing.
    Note,
}

/// Something found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// What was found.
    pub what: String,
    /// Why it matters.
    pub why: String,
    /// The command that mends it, as one types it; none where no single command does.
    pub mend: Option<String>,
}

/// What the doctor says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diagnosis {
    /// What is so, by name.
    pub facts: Vec<(&'static str, String)>,
    /// What is not as it should be.
    pub findings: Vec<Finding>,
}

impl Diagnosis {
    /// Whether no problem was found.
    pub fn is_sound(&self) -> bool {
        let mut findings = self.findings.iter();
        findings.all(|finding| finding.level == Level::Note)
    }

    fn problem(&mut self, what: impl Into<String>, why: &str, mend: Option<String>) {
        self.add(Level::Problem, what.into(), why, mend);
    }

    fn note(&mut self, what: impl Into<String>, why: &str, mend: Option<String>) {
        self.add(Level::Note, what.into(), why, mend);
    }

    fn add(&mut self, level: Level, what: String, why: &str, mend: Option<String>) {
        self.findings.push(Finding {
            level,
            what,
            why: why.to_owned(),
            mend,
        });
    }
}

/// Looks at a data folder. `choice` is the network that was asked for, `settings` a settings file that was named; `quarry` makes
/// the exact command line of a command for this folder; `progress` is told what is being read.
pub fn diagnose(
    folder: &DataFolder,
    choice: Option<&str>,
    settings: &Path,
    quarry: &dyn Fn(&str) -> String,
    progress: &mut dyn FnMut(&str),
) -> Diagnosis {
    let mut found = Diagnosis::default();
    let path = folder.path();
    found
        .facts
        .push(("Data folder", path.display().to_string()));
    match fs::metadata(path) {
        Ok(it) if it.is_dir() => check_mode(&mut found, path, &it),
        Ok(_) => {
            let why = "nothing can be stored in it: choose another --datadir";
            found.problem(format!("{} is not a folder", path.display()), why, None);
            return found;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let what = format!("{} does not exist yet", path.display());
            found.note(
                what,
                "the first command that needs it makes it",
                Some(quarry("up")),
            );
            return found;
        }
        Err(error) => {
            let what = format!("{} cannot be read: {error}", path.display());
            found.problem(
                what,
                "nothing works without it: run quarry as the user that owns it",
                None,
            );
            return found;
        }
    }
    check_space(&mut found, path);
    check_settings(&mut found, settings);
    check_wallet(&mut found, folder, quarry);
    leftover_files(&mut found, path, &["network.toml.new", "wallet.json.tmp"]);
    match folder.chain(choice) {
        Ok(spec) => check_network(&mut found, &folder.network(&spec), &spec, quarry, progress),
        Err(error) => {
            let mend = match &error {
                ChainChoiceError::Unknown(_) => None,
                ChainChoiceError::Unreadable { path, .. }
                | ChainChoiceError::Damaged { path, .. } => Some(put_aside(path)),
            };
            let why = "without it the folder's network is not known; another node of the network prints it with `quarry chain show`";
            found.problem(error.to_string(), why, mend);
        }
    }
    found
}

#[cfg(unix)]
fn check_mode(found: &mut Diagnosis, path: &Path, it: &fs::Metadata) {
    use std::os::unix::fs::PermissionsExt;

    let mode = it.permissions().mode() & 0o777;
    if mode & 0o022 != 0 {
        let what = format!("others may write into {} (mode {mode:03o})", path.display());
        let why = "they could put files of their own in the place of wallet and chain";
        found.problem(what, why, Some(format!("chmod go-w {}", shell_word(path))));
    }
}

#[cfg(not(unix))]
fn check_mode(_: &mut Diagnosis, _: &Path, _: &fs::Metadata) {}

fn check_space(found: &mut Diagnosis, path: &Path) {
    match fs4::available_space(path) {
        Ok(free) => {
            found
                .facts
                .push(("Free space", format!("{} MiB", free >> 20)));
            if free < LITTLE_SPACE {
                let what = format!("the disk has {} MiB left", free >> 20);
                found.problem(
                    what,
                    "a node stops when it cannot write any more: make room",
                    None,
                );
            }
        }
        Err(error) => {
            let what = format!("the free space of the disk is not known: {error}");
            found.note(what, "a node stops when the disk is full", None);
        }
    }
}

fn check_settings(found: &mut Diagnosis, file: &Path) {
    if file.exists()
        && let Err(error) = Settings::read(file)
    {
        let why = "every command reads it: correct the line, or put the file aside";
        found.problem(error.to_string(), why, Some(put_aside(file)));
    }
}

fn check_wallet(found: &mut Diagnosis, folder: &DataFolder, quarry: &dyn Fn(&str) -> String) {
    let file = folder.wallet_file();
    match Wallet::open(&file) {
        Ok(wallet) => {
            let protection = match wallet.is_encrypted() {
                true => "encrypted",
                false => "without passphrase",
            };
            found
                .facts
                .push(("Wallet", format!("{}, {protection}", file.display())));
        }
        Err(WalletError::NotFound { .. }) => {
            found.facts.push(("Wallet", "none".to_owned()));
        }
        Err(error @ WalletError::WrongMode { .. }) => {
            let why = "whoever reads it owns its coins";
            found.problem(
                error.to_string(),
                why,
                Some(format!("chmod 600 {}", shell_word(&file))),
            );
        }
        Err(error) => {
            let why = "nothing can be paid from it; put it aside (never delete it) and make it again from its words";
            let mend = format!("{} && {}", put_aside(&file), quarry("restore-wallet"));
            found.problem(error.to_string(), why, Some(mend));
        }
    }
}

/// Temporary files of writes that a kill interrupted.
fn leftover_files(found: &mut Diagnosis, folder: &Path, names: &[&str]) {
    for path in names.iter().map(|name| folder.join(name)) {
        if fs::symlink_metadata(&path).is_ok() {
            let what = format!("{} is left from an interrupted write", path.display());
            let why = "the next write replaces it; the file itself is whole";
            found.note(what, why, Some(format!("rm {}", shell_word(&path))));
        }
    }
}

fn check_network(
    found: &mut Diagnosis,
    folder: &NetworkFolder,
    spec: &ChainSpec,
    quarry: &dyn Fn(&str) -> String,
    progress: &mut dyn FnMut(&str),
) {
    let id = spec.chain_id();
    found.facts.push((
        "Network",
        format!("{} (chain id {})", spec.name, id.short()),
    ));
    if !folder.path().exists() {
        let what = format!("there is no chain of network '{}' yet", spec.name);
        found.note(what, "a node makes it", Some(quarry("up")));
        return;
    }
    let is_used = check_node(found, folder);
    let names = [
        "node.json.new",
        ".cookie.new",
        "peers.json.tmp",
        "node.key.tmp",
    ];
    leftover_files(found, folder.path(), &names);
    leftover_folders(found, folder, is_used);
    if folder.has_unfinished_reindex() {
        match lock_holder(&folder.rebuild()) {
            Some(pid) => found.note(
                format!("process {pid} is reindexing this chain"),
                "it is not usable before that is done",
                None,
            ),
            None => found.problem(
                "a reindex was begun and not finished",
                "no command uses the chain before it is; it goes on where it stopped",
                Some(quarry("reindex")),
            ),
        }
    }
    check_database(found, folder, spec, is_used, quarry, progress);
}

/// Whether somebody works on the folder.
fn check_node(found: &mut Diagnosis, folder: &NetworkFolder) -> bool {
    let holder = lock_holder(&folder.database());
    match Client::find(folder.path()) {
        Ok(client) => {
            let pid = client.node().pid;
            found.facts.push((
                "Node",
                format!("running (process {pid}); its chain is looked at only in part"),
            ));
            return true;
        }
        Err(ClientError::Stale { .. }) if holder.is_none() => found.note(
            format!(
                "{} and .cookie are left from a node that was killed{}",
                folder.node_file().display(),
                recorded_pid(folder).map_or_else(String::new, |pid| format!(" (process {pid})"))
            ),
            "no command takes them for a running node, and the next node replaces them",
            None,
        ),
        Err(error) if error.is_offline() => {}
        Err(error) => found.note(
            error.to_string(),
            "commands cannot tell whether a node runs here",
            Some(format!("rm {}", shell_word(&folder.node_file()))),
        ),
    }
    match holder {
        Some(pid) => found
            .facts
            .push(("Node", format!("process {pid} has the database open"))),
        None => found.facts.push(("Node", "not running".to_owned())),
    }
    holder.is_some()
}

/// Databases beside the one in use.
fn leftover_folders(found: &mut Diagnosis, folder: &NetworkFolder, is_used: bool) {
    let entries = fs::read_dir(folder.path()).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        let Some(name) = name else {
            continue;
        };
        let why = if name.starts_with("db.damaged-") {
            "reindex kept it because not all of it could be taken over; the chain does not need it"
        } else if path == folder.salvage() || (path == folder.scratch() && !is_used) {
            "an interrupted command left it; the chain does not need it"
        } else {
            continue;
        };
        let kib = size_of_folder(&path) >> 10;
        let what = format!("{} takes {kib} KiB", path.display());
        found.note(what, why, Some(format!("rm -r {}", shell_word(&path))));
    }
}

fn check_database(
    found: &mut Diagnosis,
    folder: &NetworkFolder,
    spec: &ChainSpec,
    is_used: bool,
    quarry: &dyn Fn(&str) -> String,
    progress: &mut dyn FnMut(&str),
) {
    let unusable = "no command can use the chain before it is mended; the wallet is not concerned";
    let path = folder.database();
    if folder.has_lost_database() {
        let what = format!("{} has lost its file CURRENT", path.display());
        found.problem(what, unusable, Some(quarry("reindex --salvage")));
        return;
    }
    if !path.join("CURRENT").exists() {
        if !folder.has_unfinished_reindex() {
            found.note(
                "there is no database yet",
                "a node makes it",
                Some(quarry("up")),
            );
        }
        return;
    }
    let inspection = match inspect(&path, spec, !is_used, &mut |column| progress(column)) {
        Ok(inspection) => inspection,
        Err(error) if is_used => {
            let what = format!("the database cannot be looked at while it is in use: {error}");
            found.note(what, "stop the node to see more", Some(quarry("rpc stop")));
            return;
        }
        Err(error) => {
            let mend = mend_of(&error, &path, folder, quarry);
            found.problem(error.to_string(), unusable, mend);
            return;
        }
    };
    if let Some(stats) = &inspection.stats {
        found.facts.push((
            "Chain",
            format!("height {}, tip {}", stats.height, stats.tip),
        ));
        found
            .facts
            .push(("Coins", format!("{}, {} units", stats.coins, stats.total)));
    }
    let rows: u64 = inspection.columns.iter().map(|(_, scan)| scan.rows).sum();
    if !inspection.columns.is_empty() {
        found.facts.push(("Database", format!("{rows} rows read")));
    }
    if let Some(what) = &inspection.contradiction {
        found.problem(what.clone(), unusable, Some(quarry("reindex")));
    }
    for (column, scan) in inspection.unreadable() {
        let error = scan.first_error.as_deref().unwrap_or_default();
        let what = format!("a part of the column '{column}' cannot be read: {error}");
        let why = "the node ends when it comes upon it; blocks that are lost are fetched from peers again";
        found.problem(what, why, Some(quarry("reindex")));
    }
}

/// What helps against a database that cannot be opened.
fn mend_of(
    error: &ChainError,
    path: &Path,
    folder: &NetworkFolder,
    quarry: &dyn Fn(&str) -> String,
) -> Option<String> {
    match error {
        ChainError::Storage(StorageError::Database(error)) => {
            let text = error.to_string();
            if text.contains("Permission denied") {
                return Some(format!("chmod -R u+rwX {}", shell_word(folder.path())));
            }
            Some(quarry("reindex --salvage"))
        }
        ChainError::Storage(StorageError::OlderSchema { .. }) => Some(quarry("reindex")),
        ChainError::Damaged(_) | ChainError::Storage(StorageError::Damaged { .. }) => {
            Some(quarry("reindex"))
        }
        ChainError::OtherNetwork { .. } => {
            let aside = folder.free_damaged_name();
            Some(format!("mv {} {}", shell_word(path), shell_word(&aside)))
        }
        ChainError::Storage(_) | ChainError::Thread(_) => None,
    }
}

fn put_aside(path: &Path) -> String {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".damaged");
    format!("mv {} {}", shell_word(path), shell_word(Path::new(&aside)))
}

/// A path as one word of a shell command.
pub fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@,=".contains(c);
    match !text.is_empty() && text.chars().all(plain) {
        true => text,
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_one_word_each() {
        assert_eq!(shell_word(Path::new("/a/b-1.c")), "/a/b-1.c");
        assert_eq!(shell_word(Path::new("/a b")), "'/a b'");
        assert_eq!(shell_word(Path::new("/a'b")), r"'/a'\''b'");
    }
}
