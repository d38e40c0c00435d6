//! Python libraries from PyPI: `python-bitcoinlib` as client and signer, `embit` as a signer that never meets the node.
//!
//! Where there is no Python that makes virtual environments, the tests say so and do nothing.

use std::path::PathBuf;

use bitcoincore_rpc::{Auth, Client, RpcApi};
use quarry_clients::{Node, Python};
use serde_json::{Value, json};

/// Blocks until the first coinbase may be spent.
const MATURITY: u64 = 100;

fn script(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "scripts", name]
        .iter()
        .collect()
}

fn python(packages: &[&str]) -> Option<Python> {
    match Python::with_packages(packages) {
        Ok(python) => Some(python),
        Err(reason) => {
            eprintln!("skipped: {reason}");
            None
        }
    }
}

#[test]
fn python_bitcoinlib_pays() {
    let Some(python) = python(&["python-bitcoinlib==0.12.2"]) else {
        return;
    };
    let node = Node::start();
    let cookie = node.cookie_file();
    let cookie = cookie.to_str().expect("a path in ASCII");
    let told = python.run(&script("python_bitcoinlib.py"), &[node.address(), cookie]);
    assert!(told.starts_with("paid "), "{told}");
}

#[test]
fn embit_signs_offline() {
    let Some(python) = python(&["embit==0.8.0"]) else {
        return;
    };
    let offline = script("embit_offline.py");
    let address = python.run(&offline, &["address"]);

    let node = Node::start();
    let url = format!("http://{}", node.address());
    let client =
        Client::new(&url, Auth::CookieFile(node.cookie_file())).expect("the cookie is readable");
    let call = |method: &str, params: &[Value]| -> Value {
        client
            .call(method, params)
            .unwrap_or_else(|error| panic!("{method}: {error}"))
    };
    let hashes = call("generatetoaddress", &[json!(MATURITY + 1), json!(address)]);
    let block = call("getblock", &[hashes[0].clone(), json!(2)]);
    let coinbase = &block["tx"][0];
    let previous = coinbase["hex"].as_str().expect("hex");
    let to = "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn";

    let signed = python.run(&offline, &["sign", previous, "0", to]);

    let txid = call("sendrawtransaction", &[json!(signed)]);
    call("generatetoaddress", &[json!(1), json!(address)]);
    let coin = call("gettxout", &[txid, json!(0)]);
    assert_eq!(coin["confirmations"], json!(1));
    assert_eq!(coin["scriptPubKey"]["address"], json!(to));
}
