//! Quarry as programs for Bitcoin Core meet it: one running node on chain `regtest`, known by its address and its cookie file.
//!
//! The program is taken from the target folder that this workspace shares with the product's, where `cargo build --release` of
//! the product leaves it; `make test` does that first.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// How long the node may take until its RPC answers. A busy machine is slow.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running node with an empty chain; it ends when it is dropped.
pub struct Node {
    dir: TempDir,
    child: Child,
    address: String,
}

impl Node {
    /// Starts a node that neither mines nor looks for peers.
    ///
    /// # Panics
    /// Where the program is missing or does not come up.
    pub fn start() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let program = program();
        assert!(
            program.exists(),
            "{} is missing: `cargo build --release --bin quarry` makes it",
            program.display()
        );
        let mut command = Command::new(program);
        // Settings of the machine must not reach the tests.
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("QUARRY_")) {
            command.env_remove(name);
        }
        command
            .arg("--datadir")
            .arg(dir.path())
            .args(["--chain", "regtest", "up", "--no-mine", "--no-mdns"])
            .args(["--listen", "127.0.0.1:0", "--rpc-listen", "127.0.0.1:0"])
            .args(["--explorer-listen", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = command.spawn().expect("the program starts");
        let begun = Instant::now();
        let address = loop {
            if let Some(address) = address(dir.path()) {
                break address;
            }
            assert!(begun.elapsed() < PATIENCE, "the node does not come up");
            sleep(Duration::from_millis(50));
        };
        Self {
            dir,
            child,
            address,
        }
    }

    /// `127.0.0.1:PORT` of the JSON-RPC.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The file with user and password.
    #[must_use]
    pub fn cookie_file(&self) -> PathBuf {
        self.dir.path().join("regtest").join(".cookie")
    }

    /// A folder for the test's own files.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.dir.path()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program, beside the folder of the test's own executable.
///
/// # Panics
/// In a test that has no executable of its own.
#[must_use]
pub fn program() -> PathBuf {
    let test = std::env::current_exe().expect("a running test has a file");
    let release = test
        .ancestors()
        .nth(2)
        .expect("it is in target/release/deps");
    release.join(format!("quarry{}", std::env::consts::EXE_SUFFIX))
}

/// Where the node says that it answers; it writes that when it does.
fn address(datadir: &Path) -> Option<String> {
    let text = std::fs::read_to_string(datadir.join("regtest").join("node.json")).ok()?;
    let node: Value = serde_json::from_str(&text).ok()?;
    node["rpc"].as_str().map(str::to_owned)
}

/// A Python of its own, with packages from PyPI.
pub struct Python {
    folder: TempDir,
}

impl Python {
    /// Makes a virtual environment and installs `packages` into it.
    ///
    /// # Errors
    /// Why this machine has no usable Python.
    ///
    /// # Panics
    /// Where there is one, and the packages cannot be installed.
    pub fn with_packages(packages: &[&str]) -> Result<Self, String> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let made = Command::new("python3")
            .args(["-m", "venv"])
            .arg(folder.path())
            .output()
            .map_err(|error| format!("python3 does not start: {error}"))?;
        if !made.status.success() {
            return Err(format!(
                "python3 makes no virtual environment: {}",
                told(&made)
            ));
        }
        let python = Self { folder };
        let installed = python
            .command()
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
            ])
            .args(packages)
            .output()
            .expect("the environment's python starts");
        assert!(installed.status.success(), "pip: {}", told(&installed));
        Ok(python)
    }

    /// Runs a script with arguments; returns what it printed.
    ///
    /// # Panics
    /// Where it fails.
    pub fn run(&self, script: &Path, arguments: &[&str]) -> String {
        let output = self
            .command()
            .arg(script)
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("the environment's python starts");
        assert!(
            output.status.success(),
            "{}: {}",
            script.display(),
            told(&output)
        );
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn command(&self) -> Command {
        Command::new(self.folder.path().join("bin").join("python"))
    }
}

fn told(output: &Output) -> String {
    let streams = [&output.stdout, &output.stderr];
    streams
        .map(|stream| String::from_utf8_lossy(stream))
        .concat()
}
