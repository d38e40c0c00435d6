//! The first minute of a node, measured on the real binary: `cargo bench --profile release --bench first_minute`.
//!
//! From an empty data folder: how long until the RPC answers, how long until the first block is mined, and how much memory an
//! idle node has. Each is measured several times; medians and extremes are printed.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// Starts that are measured.
const RUNS: usize = 5;
/// How long an idle node runs before its memory is read.
const IDLE: Duration = Duration::from_secs(20);
/// No measurement waits longer.
const LIMIT: Duration = Duration::from_secs(60);

fn main() {
    let mut rpc = Vec::new();
    let mut block = Vec::new();
    for _ in 0..RUNS {
        let (dir, mut node, start) = start(&["--threads", "1"]);
        rpc.push(until(start, || height(dir.path()).map(|_| ())));
        block.push(until(start, || {
            height(dir.path()).filter(|height| *height > 0).map(|_| ())
        }));
        end(&mut node);
    }
    report("RPC answers after", "s", &mut rpc);
    report("first block after", "s", &mut block);

    let (dir, mut node, start) = start(&["--no-mine"]);
    until(start, || height(dir.path()).map(|_| ()));
    sleep(IDLE);
    let mut memory = vec![resident_mib(node.id())];
    end(&mut node);
    report("memory of an idle node", "MiB", &mut memory);
}

fn start(flags: &[&str]) -> (TempDir, Child, Instant) {
    let dir = TempDir::new().expect("a folder");
    let begin = Instant::now();
    let node = Command::new(env!("CARGO_BIN_EXE_quarry"))
        .arg("--datadir")
        .arg(dir.path())
        .args([
            "up",
            "--no-mdns",
            "--listen",
            "127.0.0.1:0",
            "--rpc-listen",
            "127.0.0.1:0",
        ])
        .args(["--explorer-listen", "127.0.0.1:0"])
        .args(flags)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the node starts");
    (dir, node, begin)
}

fn end(node: &mut Child) {
    let _ = node.kill();
    let _ = node.wait();
}

/// The height that the node's RPC tells, if it answers.
fn height(datadir: &Path) -> Option<u64> {
    let folder = datadir.join("dev");
    let node: Value =
        serde_json::from_str(&fs::read_to_string(folder.join("node.json")).ok()?).ok()?;
    let cookie = fs::read_to_string(folder.join(".cookie")).ok()?;
    let answer = ureq::post(format!("http://{}/", node["rpc"].as_str()?))
        .header(
            "Authorization",
            format!("Basic {}", base64(cookie.trim().as_bytes())),
        )
        .header("Content-Type", "application/json")
        .send(r#"{"jsonrpc":"2.0","id":1,"method":"getblockcount","params":[]}"#)
        .ok()?
        .body_mut()
        .read_to_string()
        .ok()?;
    serde_json::from_str::<Value>(&answer).ok()?["result"].as_u64()
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn until(start: Instant, mut met: impl FnMut() -> Option<()>) -> f64 {
    while met().is_none() {
        assert!(start.elapsed() < LIMIT, "nothing happens within {LIMIT:?}");
        sleep(Duration::from_millis(5));
    }
    start.elapsed().as_secs_f64()
}

/// Resident memory of a process (`VmRSS` of `/proc/<pid>/status`).
fn resident_mib(pid: u32) -> f64 {
    let status =
        fs::read_to_string(format!("/proc/{pid}/status")).expect("Linux tells a process's memory");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line
        .and_then(|line| line.split_whitespace().nth(1))
        .expect("a number of KiB");
    kib.parse::<f64>().expect("a number of KiB") / 1024.0
}

fn report(what: &str, unit: &str, values: &mut [f64]) {
    values.sort_by(f64::total_cmp);
    let (least, median, most) = (
        values[0],
        values[values.len() / 2],
        values[values.len() - 1],
    );
    println!(
        "{what:<24} {median:8.2} {unit:<4} (least {least:.2}, most {most:.2}, of {})",
        values.len()
    );
}
