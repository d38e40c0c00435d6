//! Starting nodes, asking them, waiting for them. Every wait is bounded and says what it waited for.

use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// How long a started node may take until its RPC answers.
const START: Duration = Duration::from_secs(30);

/// A data folder, the place (host, namespace) where its commands run, and the node that may be running on it.
pub struct Node {
    prefix: Vec<String>,
    chain: &'static str,
    dir: TempDir,
    flags: Vec<String>,
    child: Option<Child>,
}

impl Node {
    /// A stopped node of a network on loopback with free ports and no discovery, and an empty data folder.
    pub fn on_loopback(chain: &'static str, flags: &[&str]) -> Self {
        let mut all = vec![
            "--no-mdns",
            "--listen",
            "127.0.0.1:0",
            "--rpc-listen",
            "127.0.0.1:0",
        ];
        all.extend(["--explorer-listen", "127.0.0.1:0"]);
        all.extend(flags);
        let mut node = Self::new(&[], &all);
        node.chain = chain;
        node
    }

    /// A stopped node of the `dev` network whose commands run behind `prefix`, with an empty data folder.
    pub fn new(prefix: &[&str], flags: &[&str]) -> Self {
        Self {
            prefix: prefix.iter().map(|&word| word.to_owned()).collect(),
            chain: "dev",
            dir: TempDir::new().expect("a folder for the node"),
            flags: flags.iter().map(|&word| word.to_owned()).collect(),
            child: None,
        }
    }

    fn command(&self) -> Command {
        let program = env!("CARGO_BIN_EXE_quarry");
        let mut command = match self.prefix.split_first() {
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
            None => Command::new(program),
        };
        command.arg("--datadir").arg(self.dir.path());
        command.args(["--chain", self.chain]);
        // Settings of the machine must not reach the tests.
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("QUARRY_")) {
            command.env_remove(name);
        }
        command
    }

    /// Runs a command of the program on the node's data folder.
    pub fn run(&self, words: &[&str]) -> Output {
        self.command()
            .args(words)
            .stdin(Stdio::null())
            .output()
            .expect("the program starts")
    }

    /// The same, which must succeed; its standard output without the line end.
    pub fn ok(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(
            output.status.success(),
            "quarry {} failed: {}{}",
            words.join(" "),
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned()
    }

    /// Starts the node without waiting.
    fn spawn(&mut self, more: &[&str]) {
        assert!(self.child.is_none(), "the node runs already");
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.dir.path().join("test.log"))
            .expect("the log can be opened");
        let child = self
            .command()
            .arg("up")
            .args(&self.flags)
            .args(more)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle of the log"))
            .stderr(log)
            .spawn()
            .expect("the node starts");
        self.child = Some(child);
    }

    /// Starts the node and waits until its RPC answers.
    pub fn up(&mut self, more: &[&str]) {
        self.spawn(more);
        let ready = wait_for(START, || self.rpc("getblockcount", &[]).ok());
        assert!(
            ready.is_some(),
            "the node's RPC does not answer:\n{}",
            self.log()
        );
    }

    /// What the node has written.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("test.log")).unwrap_or_default()
    }

    /// Kills the node with SIGKILL, if it runs.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // With a prefix the child has become the node: `ip netns exec` replaces itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Asks the node to stop, and waits until its process has ended well.
    pub fn stop(&mut self) {
        self.ok(&["rpc", "stop"]);
        self.await_end();
    }

    fn await_end(&mut self) {
        let mut child = self.child.take().expect("the node runs");
        let status = wait_for(Duration::from_secs(20), || {
            child.try_wait().expect("a child")
        });
        match status {
            Some(status) => assert!(
                status.success(),
                "the node ended with {status}:\n{}",
                self.log()
            ),
            None => {
                let _ = child.kill();
                panic!("the node does not stop:\n{}", self.log());
            }
        }
    }

    /// Calls an RPC method; the error is the program's message.
    pub fn rpc(&self, method: &str, params: &[&str]) -> Result<Value, String> {
        let output = self.run(&[&["rpc", method], params].concat());
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if !output.status.success() {
            return Err(format!("{text}{}", String::from_utf8_lossy(&output.stderr)));
        }
        // As with bitcoin-cli, a text comes without quotes, and nothing for null.
        Ok(serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// Calls an RPC method that must succeed.
    pub fn call(&self, method: &str, params: &[&str]) -> Value {
        self.rpc(method, params)
            .unwrap_or_else(|error| panic!("{method} failed: {error}\n{}", self.log()))
    }

    pub fn height(&self) -> u64 {
        self.call("getblockcount", &[]).as_u64().expect("a height")
    }

    pub fn tip(&self) -> String {
        text(&self.call("getbestblockhash", &[]))
    }

    /// The address to give to another node's `--peer`.
    pub fn peer_address(&self) -> String {
        let listening = self.node_file()["p2p"].clone();
        match listening {
            Value::Array(addresses) => text(&addresses[0]),
            one => text(&one),
        }
    }

    /// What the running node wrote about itself.
    pub fn node_file(&self) -> Value {
        let found = std::fs::read_dir(self.dir.path())
            .expect("the data folder")
            .filter_map(|entry| std::fs::read_to_string(entry.ok()?.path().join("node.json")).ok())
            .next()
            .expect("a running node writes node.json");
        serde_json::from_str(&found).expect("node.json is JSON")
    }

    /// Asks for blocks that pay `address`.
    pub fn generate(&self, count: u32, address: &str) {
        self.call("generatetoaddress", &[&count.to_string(), address]);
    }

    /// Recomputes the coins from the blocks and compares; the node must not be running.
    pub fn assert_sound(&self) {
        self.ok(&["verify-chain"]);
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- log of {}:\n{}", self.dir.path().display(), self.log());
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

/// Tries until there is an answer, or `limit` has passed.
pub fn wait_for<T>(limit: Duration, mut attempt: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        if let Some(found) = attempt() {
            return Some(found);
        }
        if start.elapsed() > limit {
            return None;
        }
        sleep(Duration::from_millis(100));
    }
}

/// Waits until `condition` holds; panics with `what` where it does not within `seconds`.
pub fn eventually(seconds: u64, what: &str, mut condition: impl FnMut() -> bool) {
    let met = wait_for(Duration::from_secs(seconds), || condition().then_some(()));
    assert!(met.is_some(), "not within {seconds} s: {what}");
}
