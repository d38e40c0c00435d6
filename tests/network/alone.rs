//! A test in a process of its own: this program, called again. There its logs and memory are its alone, and where the system
//! allows it so is the network: then the node under attack has a public address, and bans apply, which spare local peers.

use std::{
    env, fs,
    future::Future,
    io::{self, Write},
    net::{IpAddr, Ipv4Addr},
    process::Command,
    sync::{Arc, Mutex},
};

use libp2p::PeerId;

use crate::namespace;

/// Set in the process that runs the test: to `public` where it has [`PUBLIC`], else to `local`.
const VARIABLE: &str = "QUARRY_TEST_ALONE";
/// An address that is neither loopback nor private (it is reserved for documentation).
const PUBLIC: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);

/// Where a test runs.
pub struct Ground {
    /// Where attackers connect.
    pub ip: IpAddr,
    logs: Logs,
}

#[derive(Clone, Default)]
struct Logs(Arc<Mutex<Vec<u8>>>);

impl Write for Logs {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .expect("nobody panics")
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Ground {
    /// Whether bans apply to those who connect to [`Ground::ip`].
    pub fn is_public(&self) -> bool {
        self.ip == IpAddr::V4(PUBLIC)
    }

    /// Lines of the log, at the default level, that name a peer.
    pub fn lines_about(&self, peer: PeerId) -> Vec<String> {
        self.lines_with(&peer.to_string())
    }

    /// Lines of the log, at the default level, with these words.
    pub fn lines_with(&self, words: &str) -> Vec<String> {
        let bytes = self.logs.0.lock().expect("nobody panics").clone();
        let text = String::from_utf8(bytes).expect("logs are text");
        let found = text.lines().filter(|line| line.contains(words));
        found.map(str::to_owned).collect()
    }
}

/// Runs `body`, a closure of the test, in a process of its own.
pub fn alone<F: Future<Output = ()>, B: FnOnce(Ground) -> F>(body: B) {
    // The type of a closure is named after the function that it is in, the test.
    let name = std::any::type_name::<B>();
    let name = name.trim_end_matches("::{{closure}}");
    let test = name.split_once("::").map_or(name, |(_, test)| test);
    match env::var(VARIABLE) {
        Ok(place) => inside(&place, body),
        Err(_) => outside(test),
    }
}

fn inside<F: Future<Output = ()>>(place: &str, body: impl FnOnce(Ground) -> F) {
    let logs = Logs::default();
    let writer = logs.clone();
    tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(tracing::Level::INFO)
        .with_writer(move || writer.clone())
        .init();
    let ip = match place {
        "public" => PUBLIC,
        _ => Ipv4Addr::LOCALHOST,
    };
    let runtime = tokio::runtime::Runtime::new().expect("threads can be had");
    runtime.block_on(body(Ground {
        ip: ip.into(),
        logs,
    }));
}

fn outside(name: &str) {
    let setup = format!("ip link set lo up && ip address add {PUBLIC}/32 dev lo");
    let program = env::current_exe().expect("this program has a path");
    let mut command = match namespace::command(&setup) {
        Some(mut command) => {
            command.arg(program).env(VARIABLE, "public");
            command
        }
        None => {
            println!(
                "skipped in {name}: bans of public addresses, since 'unshare' and 'ip' cannot make a network"
            );
            let mut command = Command::new(program);
            command.env(VARIABLE, "local");
            command
        }
    };
    let status = command
        .args([name, "--exact", "--nocapture"])
        .status()
        .expect("this program starts again");
    assert!(status.success(), "{name} failed in its own process");
}

/// The memory of this process in MiB; `None` where the system does not tell.
pub fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024)
}
