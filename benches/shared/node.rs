//! A node as a process of its own, for the benchmarks that need one.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

/// Starts a node of `chain` that listens on free ports of this machine and looks for no others.
pub fn start(datadir: &Path, chain: &str, flags: &[&str]) -> Child {
    let listen = ["--listen", "--rpc-listen", "--explorer-listen"];
    Command::new(env!("CARGO_BIN_EXE_quarry"))
        .arg("--datadir")
        .arg(datadir)
        .args(["--chain", chain, "up", "--no-mdns"])
        .args(listen.iter().flat_map(|flag| [flag, "127.0.0.1:0"]))
        .args(flags)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the node starts")
}

pub fn end(node: &mut Child) {
    let _ = node.kill();
    let _ = node.wait();
}

/// What the node's file tells, once it runs.
pub fn file(datadir: &Path, chain: &str) -> Option<Value> {
    let text = fs::read_to_string(datadir.join(chain).join("node.json")).ok()?;
    serde_json::from_str(&text).ok()
}

/// The height that the node's RPC tells, if it answers.
pub fn height(datadir: &Path, chain: &str) -> Option<u64> {
    let node = file(datadir, chain)?;
    let cookie = fs::read_to_string(datadir.join(chain).join(".cookie")).ok()?;
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
