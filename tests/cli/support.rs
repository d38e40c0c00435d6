//! A data folder and the program that works on it.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// How long a node may take to start or stop. A busy machine is slow; the node's own limits are shorter.
const PATIENCE: Duration = Duration::from_secs(30);

/// Loopback ports that nobody else has.
const FREE_PORTS: [&str; 6] = [
    "--listen",
    "127.0.0.1:0",
    "--rpc-listen",
    "127.0.0.1:0",
    "--explorer-listen",
    "127.0.0.1:0",
];

/// What a run of the program left.
#[derive(Debug)]
pub struct Run {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    /// The output, without the last line end, of a run that succeeded.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.status, 0, "{self:?}");
        self.stdout.trim_end().to_owned()
    }

    /// Asserts that the run failed with `status`, printed no result, and named `parts` in its message.
    #[track_caller]
    pub fn fails(self, status: i32, parts: &[&str]) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.stdout, "", "{self:?}");
        for part in parts {
            assert!(self.stderr.contains(part), "'{part}' is not in {self:?}");
        }
    }
}

/// A data folder.
pub struct Folder {
    dir: TempDir,
    variables: Vec<(&'static str, String)>,
}

impl Folder {
    pub fn new() -> Self {
        Self {
            dir: tempfile::tempdir().expect("a temporary folder"),
            variables: Vec::new(),
        }
    }

    /// A folder with a network of its own whose first block pays its first address; and its first two addresses.
    pub fn with_network() -> (Self, String, String) {
        let folder = Self::new();
        let addresses = [(); 2].map(|()| folder.new_address());
        folder
            .run(&["init-blockchain", "--address", &addresses[0]])
            .ok();
        let [a, b] = addresses;
        (folder, a, b)
    }

    /// The same folder with another environment.
    pub fn set(&mut self, name: &'static str, value: impl Into<String>) {
        self.variables.retain(|(other, _)| *other != name);
        self.variables.push((name, value.into()));
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The program, ready to run here; nothing of the machine's own settings reaches it.
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_quarry"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("QUARRY_")) {
            command.env_remove(name);
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.env("QUARRY_DATADIR", self.path()).args(words);
        command
    }

    pub fn run(&self, words: &[&str]) -> Run {
        self.run_with_input(words, "")
    }

    pub fn run_with_input(&self, words: &[&str], input: &str) -> Run {
        let mut child = self
            .command(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut stdin = child.stdin.take().expect("it is piped");
        // A command that reads nothing may have ended already.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        let output = child.wait_with_output().expect("the program ends");
        Run {
            status: output.status.code().expect("no signal ended it"),
            stdout: String::from_utf8(output.stdout).expect("the output is text"),
            stderr: String::from_utf8(output.stderr).expect("the messages are text"),
        }
    }

    pub fn new_address(&self) -> String {
        let line = self.run(&["create-wallet"]).ok();
        let address = line
            .strip_prefix("New address: 1")
            .expect("the original's line");
        format!("1{address}")
    }

    #[track_caller]
    pub fn json(&self, words: &[&str]) -> Value {
        let text = self.run(&[words, &["--json"]].concat()).ok();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    #[track_caller]
    pub fn balance(&self, address: &str) -> String {
        let line = self.run(&["get-balance", "--address", address]).ok();
        let start = format!("Balance of '{address}': ");
        line.strip_prefix(&start)
            .expect("the original's line")
            .to_owned()
    }

    /// Starts a node on free loopback ports that neither mines nor looks for others.
    pub fn up(&self, more: &[&str]) -> Node {
        self.up_at(&[&FREE_PORTS, more].concat())
    }

    /// The same, without waiting for it.
    pub fn start(&self, more: &[&str]) -> Node {
        self.start_at(&[&FREE_PORTS, more].concat())
    }

    fn start_at(&self, more: &[&str]) -> Node {
        let log = std::fs::File::create(self.file("test.log")).expect("a log");
        let words = [&["up", "--json", "--no-mdns"], more].concat();
        let child = self
            .command(&words)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the node starts");
        Node {
            child,
            facts: Value::Null,
        }
    }

    /// Starts a node and waits until it says that it is up.
    pub fn up_at(&self, more: &[&str]) -> Node {
        let mut node = self.start_at(more);
        let stdout = BufReader::new(node.child.stdout.take().expect("it is piped"));
        let mut text = String::new();
        for line in stdout.lines() {
            let line = line.expect("the output is text");
            text += &line;
            if line == "}" {
                break;
            }
        }
        node.facts = serde_json::from_str(&text).unwrap_or_else(|error| {
            let log = std::fs::read_to_string(self.file("test.log")).unwrap_or_default();
            panic!("the node did not start ({error}): {text}\n{log}")
        });
        node
    }

    /// The folder's files and their contents, without the database and what a node leaves for the next start.
    pub fn snapshot(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = Vec::new();
        let mut folders = vec![self.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("it can be listed") {
                let path = entry.expect("it can be listed").path();
                if path.is_dir() && path.file_name().is_some_and(|name| name != "db") {
                    folders.push(path);
                } else if path.is_file() && !path.ends_with("wallet.json.lock") {
                    let contents = std::fs::read(&path).expect("it can be read");
                    files.push((path, contents));
                }
            }
        }
        files.sort();
        files
    }
}

/// A running node; killed when dropped.
pub struct Node {
    child: Child,
    pub facts: Value,
}

impl Node {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its number.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([name, &self.pid().to_string()])
            .status();
        assert!(sent.expect("kill is there").success());
    }

    /// Waits for the end; its exit status, if no signal ended it.
    pub fn wait(&mut self) -> Option<i32> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                return status.code();
            }
            assert!(start.elapsed() < PATIENCE, "the node does not end");
            sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Both fail for a node that has ended, which is as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until `done`.
#[track_caller]
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "not in time: {what}");
        sleep(Duration::from_millis(50));
    }
}
