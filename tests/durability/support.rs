//! Data folders, the program on them, and what is seen of it from outside: files, signals, exit status. Every wait is bounded.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use quarry::rpc::{Client, ClientError, NodeFile};
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long a started node may take until its RPC answers, and a command until it ends.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Nodes of these tests listen on loopback and look for nobody.
const ALONE: [&str; 8] = [
    "up",
    "--no-mdns",
    "--listen=127.0.0.1:0",
    "--rpc-listen=127.0.0.1:0",
    "--explorer-listen=127.0.0.1:0",
    "--threads=1",
    "--log-level=info",
    "--log-format=text",
];

/// Anybody's address on regtest: nothing is ever spent from it.
pub const SOMEBODY: &str = "mfWxJ45yp2SFn7UciZyNpvDKrzbhyfKrY8";

/// A whole number from the environment, or `otherwise`.
pub fn setting(name: &str, otherwise: u64) -> u64 {
    let text = std::env::var(name).ok();
    text.map_or(otherwise, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is '{text}', expected a whole number"))
    })
}

/// Says on the test's output why a part was not run.
pub fn skipped(what: &str, why: &str) {
    eprintln!("SKIPPED: {what}: {why}");
}

/// Whether the tests run as root.
pub fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|it| std::os::unix::fs::MetadataExt::uid(&it) == 0)
}

/// Whether a program can be found.
pub fn has_program(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|folder| folder.join(name).exists())
}

/// Runs a program of the system, which must succeed.
pub fn system(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{program} cannot be run: {error}"));
    assert!(
        output.status.success(),
        "{program} {}: {}",
        arguments.join(" "),
        text_of(&output)
    );
    String::from_utf8_lossy(&output.stdout)
        .trim_end()
        .to_owned()
}

/// Everything that a program has said.
pub fn text_of(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// A generator of numbers (xorshift64*), so that the choices of a run are the same each time.
pub struct Random(u64);

impl Random {
    pub const fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// A number below `limit`.
    pub const fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit
    }

    /// A time below `limit`, in steps of a microsecond.
    pub fn moment(&mut self, limit: Duration) -> Duration {
        let limit = u64::try_from(limit.as_micros()).unwrap_or(u64::MAX).max(1);
        Duration::from_micros(self.below(limit))
    }

    /// Whether a chance of one in `chances` is hit.
    pub const fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }
}

/// Height and hash of the best chain's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tip {
    pub height: u64,
    pub hash: String,
}

/// A data folder for one network.
pub struct Folder {
    pub path: PathBuf,
    /// The folder goes with it.
    _temporary: Option<TempDir>,
}

impl Folder {
    /// An empty one for `regtest`.
    pub fn new() -> Self {
        let temporary = TempDir::new().expect("a temporary folder");
        Self {
            path: temporary.path().join("data"),
            _temporary: Some(temporary),
        }
    }

    /// The one at `path` for `regtest`, which stays when this is dropped.
    pub const fn at(path: PathBuf) -> Self {
        Self {
            path,
            _temporary: None,
        }
    }

    /// A new one with the files of `template`.
    pub fn copy_of(template: &Path) -> Self {
        let folder = Self::new();
        copy_folder(template, &folder.path);
        folder
    }

    /// A copy of it on which a node runs.
    pub fn copy_started(&self) -> (Process, Self) {
        let copy = Self::copy_of(&self.path);
        let mut node = copy.up(&[]);
        node.client();
        (node, copy)
    }

    /// Throws everything in it away, and begins again with the files of `template`, if any.
    pub fn begin_again(&self, template: Option<&Path>) {
        fs::remove_dir_all(&self.path).expect("the old folder goes");
        if let Some(template) = template {
            copy_folder(template, &self.path);
        }
    }

    pub fn network(&self) -> PathBuf {
        self.path.join("regtest")
    }

    pub fn database(&self) -> PathBuf {
        self.network().join("db")
    }

    /// The program with the folder's flags. `wrapper` stands before it, and must become it.
    pub fn command(&self, wrapper: &[&str]) -> Command {
        let program = env!("CARGO_BIN_EXE_quarry");
        let mut command = match wrapper.split_first() {
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
            None => Command::new(program),
        };
        // Settings of the machine must not reach the tests.
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("QUARRY_")) {
            command.env_remove(name);
        }
        command.arg("--datadir").arg(&self.path);
        command.args(["--chain", "regtest"]).stdin(Stdio::null());
        command
    }

    pub fn run(&self, words: &[&str]) -> Output {
        let output = self.command(&[]).args(words).output();
        output.expect("the program starts")
    }

    /// Runs a command that must succeed; its output.
    pub fn ok(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(
            output.status.success(),
            "quarry {}: {}",
            words.join(" "),
            text_of(&output)
        );
        String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned()
    }

    /// Recomputes the coins from the blocks and compares; nothing may be running. Panics with `context` where they differ.
    pub fn assert_sound(&self, context: &str) -> Tip {
        let output = self.run(&["verify-chain", "--json"]);
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        assert!(
            output.status.success() && answer["sound"] == true,
            "{context}: the chain is not sound: {}",
            text_of(&output)
        );
        Tip {
            height: answer["height"].as_u64().expect("a height"),
            hash: answer["tip"].as_str().expect("a hash").to_owned(),
        }
    }

    /// Starts a node that does not mine.
    pub fn up(&self, more: &[&str]) -> Process {
        self.up_behind(&[], more)
    }

    /// The same with `wrapper` before the program.
    pub fn up_behind(&self, wrapper: &[&str], more: &[&str]) -> Process {
        let mut words = ALONE.to_vec();
        if !more.contains(&"--mine") {
            words.push("--no-mine");
        }
        words.extend(more.iter().filter(|word| **word != "--mine"));
        self.start(wrapper, &words)
    }

    /// Starts any command of the program.
    pub fn start(&self, wrapper: &[&str], words: &[&str]) -> Process {
        let mut command = self.command(wrapper);
        command.args(words);
        Process::start(command, self.network())
    }

    /// Bytes in the write-ahead logs.
    pub fn log_bytes(&self) -> u64 {
        files(&self.database(), ".log")
            .map(|(_, bytes)| bytes)
            .sum()
    }

    /// How many sorted files there are.
    pub fn sorted_files(&self) -> usize {
        files(&self.database(), ".sst").count()
    }

    /// Tells one opening of the database from the next: each begins a new log of RocksDB's own.
    pub fn opening(&self) -> Option<u64> {
        let log = fs::metadata(self.database().join("LOG")).ok()?;
        Some(std::os::unix::fs::MetadataExt::ino(&log))
    }
}

/// Names and sizes of the files of a folder that end in `suffix`.
fn files<'a>(folder: &Path, suffix: &'a str) -> impl Iterator<Item = (String, u64)> + use<'a> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(move |entry| {
        let name = entry.file_name().into_string().ok()?;
        // It may be gone by now.
        let bytes = entry.metadata().ok()?.len();
        name.ends_with(suffix).then_some((name, bytes))
    })
}

/// Copies a folder with everything in it.
pub fn copy_folder(from: &Path, to: &Path) {
    let from = format!("{}/.", from.display());
    fs::create_dir_all(to).expect("a folder");
    system("cp", &["--archive", &from, &to.display().to_string()]);
}

/// The program as it runs. It is killed when this is dropped.
pub struct Process {
    child: Child,
    network: PathBuf,
    output: TempDir,
}

impl Process {
    fn start(mut command: Command, network: PathBuf) -> Self {
        let output = TempDir::new().expect("a temporary folder");
        let log = fs::File::create(output.path().join("log")).expect("a log");
        let child = command
            .stdout(log.try_clone().expect("a second handle of the log"))
            .stderr(log)
            .spawn()
            .expect("the program starts");
        Self {
            child,
            network,
            output,
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has said.
    pub fn said(&self) -> String {
        fs::read_to_string(self.output.path().join("log")).unwrap_or_default()
    }

    /// Whether the node has come up; `node.json` is the last thing that it writes.
    pub fn is_up(&self) -> bool {
        let pid = self.pid();
        NodeFile::read(&self.network).is_ok_and(|file| file.is_some_and(|file| file.pid == pid))
    }

    /// Waits until the node answers.
    pub fn client(&mut self) -> Client {
        match self.try_client() {
            Ok(client) => client,
            Err(why) => panic!("the node does not come up: {why}\n{}", self.said()),
        }
    }

    /// The same for a node that may fail.
    pub fn try_client(&mut self) -> Result<Client, String> {
        let start = Instant::now();
        while !self.is_up() {
            if let Some(status) = self.has_ended() {
                return Err(format!("it ended with {status}"));
            }
            if start.elapsed() > PATIENCE {
                return Err(format!("not within {PATIENCE:?}"));
            }
            sleep(Duration::from_millis(2));
        }
        Client::find(&self.network).map_err(|error| error.to_string())
    }

    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child")
    }

    /// Waits until it has ended; panics where it does not within `limit`.
    pub fn end_within(&mut self, limit: Duration) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.has_ended() {
                return status;
            }
            assert!(
                start.elapsed() < limit,
                "not ended within {limit:?}:\n{}",
                self.said()
            );
            sleep(Duration::from_millis(2));
        }
    }

    /// SIGKILL. Returns whether it was still running.
    pub fn kill(mut self) -> bool {
        let alive = self.has_ended().is_none();
        let _ = self.child.kill();
        let _ = self.child.wait();
        alive
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        system("kill", &["-s", name, &self.pid().to_string()]);
    }

    /// SIGTERM, after which it must end well within the ten seconds that are promised.
    pub fn stop(mut self) {
        self.signal("TERM");
        let status = self.end_within(Duration::from_secs(10));
        assert!(status.success(), "ended with {status}:\n{}", self.said());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let said = self.said();
            let start = said.len().saturating_sub(3_000);
            eprintln!(
                "--- the program said:\n{}",
                &said[said.ceil_char_boundary(start)..]
            );
        }
    }
}

/// The end of a node's best chain.
pub fn tip(client: &Client) -> Tip {
    let info = client
        .call("getblockchaininfo", json!([]))
        .expect("the node answers");
    Tip {
        height: info["blocks"].as_u64().expect("a height"),
        hash: info["bestblockhash"].as_str().expect("a hash").to_owned(),
    }
}

/// The hash of the best chain's block at a height, if it is that long.
pub fn hash_at(client: &Client, height: u64) -> Option<String> {
    let answer = client.call("getblockhash", json!([height])).ok()?;
    answer.as_str().map(str::to_owned)
}

/// Mines a block to `address`; its hash is the acknowledgement.
pub fn mine(client: &Client, address: &str) -> Result<String, ClientError> {
    let hashes: Vec<String> = client.get("generatetoaddress", json!([1, address]))?;
    Ok(hashes.into_iter().next().expect("one block was asked for"))
}

/// Waits until something is seen, looking all the time, so that little time is lost between an event and the next step; gives
/// up after `limit`.
pub fn watch_for(limit: Duration, mut seen: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while !seen() {
        if start.elapsed() > limit {
            return false;
        }
        sleep(Duration::from_micros(20));
    }
    true
}

/// Removes a file that may not be there.
pub fn remove(path: &Path) {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => panic!("{error}"),
        _ => {}
    }
}
