//! SIGKILL while the wallet file changes, and while a command without a node pays.

use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use crate::fixtures::wallet_template;
use crate::kills::kill_recoveries;
use crate::support::{Folder, Process, Random, SOMEBODY, watch_for};
use crate::tally::{Hit, Phase, Tally};

/// What the wallet is encrypted with, when it is.
const PASSPHRASE: &str = "open sesame";
/// What a command that only changes the wallet takes, and one that derives a key from a passphrase, and a payment.
const SHORT: Duration = Duration::from_millis(15);
const LONG: Duration = Duration::from_millis(250);
/// What writing the file takes.
const WRITE: Duration = Duration::from_millis(4);

/// A data folder whose wallet is changed by commands.
pub struct WalletScene {
    folder: Folder,
    phrase: String,
    /// Addresses that were printed.
    addresses: Vec<String>,
    /// Coins that were paid for sure.
    paid: u64,
}

impl WalletScene {
    pub fn new() -> Self {
        let folder = Folder::copy_of(&wallet_template().folder.path);
        let phrase = folder.ok(&["wallet", "phrase"]);
        Self {
            folder,
            phrase,
            addresses: vec![wallet_template().address.clone()],
            paid: 0,
        }
    }

    /// Starts a command that may need the passphrase.
    fn start(&self, words: &[&str]) -> Process {
        let passphrase = format!("QUARRY_PASSPHRASE={PASSPHRASE}");
        self.folder.start(&["env", &passphrase], words)
    }

    /// Runs one to its end.
    fn ok(&self, words: &[&str]) -> String {
        let mut command = self.folder.command(&[]);
        command.env("QUARRY_PASSPHRASE", PASSPHRASE).args(words);
        let output = command.stdin(Stdio::null()).output().expect("it starts");
        assert!(
            output.status.success(),
            "{words:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned()
    }

    fn is_encrypted(&self) -> bool {
        !self.folder.run(&["wallet", "phrase"]).status.success()
    }

    /// Kills a command that makes an address, or sets or removes the passphrase.
    pub fn kill_change(&mut self, random: &mut Random, tally: &mut Tally) {
        let (words, duration): (&[&str], _) = match random.below(3) {
            0 if self.is_encrypted() => (&["wallet", "passphrase", "--remove"], LONG),
            0 => (&["wallet", "passphrase"], LONG),
            _ => (&["create-wallet"], SHORT),
        };
        let temporary = self.folder.path.join("wallet.json.tmp");
        let mut command = self.start(words);
        if random.one_in(4) {
            sleep(random.moment(duration));
        } else {
            watch_for(duration * 4, || {
                temporary.exists() || command.has_ended().is_some()
            });
            if random.one_in(2) {
                sleep(random.moment(WRITE));
            }
        }
        let said = command.said();
        let ended = command.has_ended();
        assert!(ended.is_none_or(|status| status.success()), "{said}");
        let hit = match command.kill() {
            false => Hit::Missed,
            true if temporary.exists() => Hit::MidWrite,
            true => Hit::UnderWay,
        };
        tally.count(Phase::Wallet, hit);
        if let Some(address) = said.trim().strip_prefix("New address: ") {
            self.addresses.push(address.to_owned());
        }
        self.assert_whole();
    }

    /// Kills `send`, which without a node mines the payment's block itself.
    pub fn kill_send(&mut self, random: &mut Random, tally: &mut Tally) {
        let before = self.balance();
        assert!(
            before >= self.paid,
            "{} were paid, {before} arrived",
            self.paid
        );
        self.paid = before;
        let from = &wallet_template().address;
        let mut command = self.start(&["send", "--from", from, "--to", SOMEBODY, "--amount", "1"]);
        let log = self.folder.log_bytes();
        if random.one_in(3) {
            sleep(random.moment(LONG));
        } else {
            // The log is empty after an opening, and grows with the block.
            watch_for(LONG, || {
                let bytes = self.folder.log_bytes();
                (bytes > 0 && bytes != log) || command.has_ended().is_some()
            });
            sleep(random.moment(WRITE));
        }
        let said = command.said();
        let ended = command.has_ended();
        assert!(ended.is_none_or(|status| status.success()), "{said}");
        let alive = command.kill();
        let acknowledged = said.contains("Success!");
        let hit = match alive && !acknowledged {
            false => Hit::Missed,
            true if self.folder.log_bytes() > 0 => Hit::MidWrite,
            true => Hit::UnderWay,
        };
        tally.count(Phase::Send, hit);
        kill_recoveries(&self.folder, random, tally);
        self.folder.assert_sound("after a killed payment");
        let after = self.balance();
        let paid = self.paid + u64::from(acknowledged);
        assert!(
            (paid..=self.paid + 1).contains(&after),
            "{} were paid before, acknowledged: {acknowledged}, {after} arrived",
            self.paid
        );
        self.paid = after;
        self.assert_whole();
    }

    fn balance(&self) -> u64 {
        let said = self.folder.ok(&["get-balance", "--address", SOMEBODY]);
        let coins = said.rsplit(' ').next().and_then(|text| text.parse().ok());
        coins.unwrap_or_else(|| panic!("no balance in '{said}'"))
    }

    /// The wallet opens with the passphrase or without one, is the same wallet, and has each address that was printed, once.
    fn assert_whole(&self) {
        assert_eq!(self.ok(&["wallet", "phrase"]), self.phrase);
        let listed = self.folder.ok(&["list-addresses"]);
        let mut listed: Vec<_> = listed.lines().collect();
        for address in &self.addresses {
            assert!(
                listed.contains(&address.as_str()),
                "the address {address} was printed and is gone"
            );
        }
        listed.sort_unstable();
        let count = listed.len();
        listed.dedup();
        assert_eq!(listed.len(), count, "an address is there twice");
    }
}
