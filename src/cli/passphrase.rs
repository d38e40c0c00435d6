//! Where passphrases and recovery phrases come from: a file, `QUARRY_PASSPHRASE`, or the terminal. Never a flag, which
//! every user of the machine could read.

use std::env;
use std::fs;
use std::io::{self, IsTerminal, Read};
use std::path::PathBuf;

use zeroize::Zeroizing;

use super::error::{CliError, CliResult, Context as _};
use crate::node::read_small_file;

/// The environment variable.
const VARIABLE: &str = "QUARRY_PASSPHRASE";

/// The most that is read for a recovery phrase: 24 words of 8 letters are 215 bytes.
const MAX_PHRASE_BYTES: u64 = 4096;

/// A secret text, wiped when dropped.
pub(super) type Secret = Zeroizing<String>;

/// Where a passphrase comes from.
#[derive(Debug)]
pub(super) struct PassphraseSource {
    file: Option<PathBuf>,
}

impl PassphraseSource {
    /// The file given with `--passphrase-file`, if any. It must exist, although a wallet without a passphrase will not
    /// need it.
    pub(super) fn new(file: Option<PathBuf>) -> CliResult<Self> {
        let file = file.filter(|path| !path.as_os_str().is_empty());
        if let Some(path) = &file {
            fs::metadata(path)
                .or_fail_to(format!("find the passphrase file {}", path.display()))?;
        }
        Ok(Self { file })
    }

    /// The passphrase in the file or the variable, if one is given.
    pub(super) fn given(&self) -> CliResult<Option<Secret>> {
        if let Some(path) = &self.file {
            let what = format!("read the passphrase file {}", path.display());
            let text = Zeroizing::new(read_small_file(path).or_fail_to(what)?);
            let line = text.lines().next().unwrap_or_default();
            return Ok(Some(Zeroizing::new(line.to_owned())));
        }
        // An empty variable is as good as none: compose files often set those.
        let variable = env::var(VARIABLE).ok().map(Zeroizing::new);
        Ok(variable.filter(|text| !text.is_empty()))
    }

    /// The passphrase of a wallet that exists.
    pub(super) fn existing(&self) -> CliResult<Secret> {
        if let Some(given) = self.given()? {
            return Ok(given);
        }
        if !io::stdin().is_terminal() {
            return Err(CliError::Failure(format!(
                "the wallet is encrypted: give its passphrase with --passphrase-file FILE or {VARIABLE}"
            )));
        }
        ask("Passphrase: ")
    }

    /// A passphrase for a new wallet; asked for twice on the terminal.
    pub(super) fn new_one(&self) -> CliResult<Secret> {
        if let Some(given) = self.given()? {
            return Ok(given);
        }
        self.ask_new()
    }

    /// A new passphrase from the terminal, whatever file and variable say.
    pub(super) fn ask_new(&self) -> CliResult<Secret> {
        if !io::stdin().is_terminal() {
            return Err(CliError::Failure(format!(
                "there is no terminal to ask for a new passphrase on: give it with --passphrase-file FILE or {VARIABLE}"
            )));
        }
        let first = ask("New passphrase: ")?;
        let again = ask("The same again: ")?;
        if first != again {
            return Err(CliError::failure(
                "the two passphrases differ; nothing was changed",
            ));
        }
        Ok(first)
    }
}

fn ask(prompt: &str) -> CliResult<Secret> {
    let text = rpassword::prompt_password(prompt).or_fail_to("ask for a passphrase")?;
    Ok(Zeroizing::new(text))
}

/// A recovery phrase, from the terminal unseen or from standard input.
pub(super) fn recovery_phrase() -> CliResult<Secret> {
    if io::stdin().is_terminal() {
        return ask("Recovery phrase (unseen): ");
    }
    let mut text = Zeroizing::new(String::new());
    io::stdin()
        .take(MAX_PHRASE_BYTES)
        .read_to_string(&mut text)
        .or_fail_to("read the recovery phrase from standard input")?;
    Ok(text)
}
