//! A running node and its folder: start, stop, ports, settings.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::support::{Folder, wait_until};

#[test]
fn from_an_empty_folder_it_mines_to_a_wallet_of_its_own() {
    let folder = Folder::new();
    let start = Instant::now();
    let mut node = folder.up(&["--threads", "1"]);
    let address = folder.run(&["list-addresses"]).ok();
    assert_eq!(node.facts["mining_address"], address.as_str());
    assert_eq!(node.facts["network"], "dev");
    wait_until("the first block", || {
        folder.run(&["rpc", "getblockcount"]).ok() != "0"
    });
    assert!(
        start.elapsed() < Duration::from_secs(20),
        "{:?}",
        start.elapsed()
    );
    let balance: f64 = folder
        .run(&["rpc", "getbalance"])
        .ok()
        .parse()
        .expect("a number");
    assert!(balance >= 50.0);
    assert_eq!(folder.run(&["rpc", "stop"]).status, 0);
    assert_eq!(node.wait(), Some(0));
}

#[test]
fn signals_stop_it_in_order() {
    let folder = Folder::new();
    for signal in ["-TERM", "-INT"] {
        let mut node = folder.up(&["--no-mine"]);
        let network = folder.file("dev");
        assert!(network.join("node.json").exists() && network.join(".cookie").exists());
        let start = Instant::now();
        node.signal(signal);
        assert_eq!(node.wait(), Some(0), "{signal}");
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "{:?}",
            start.elapsed()
        );
        assert!(!network.join("node.json").exists() && !network.join(".cookie").exists());
    }
    assert!(
        !folder.file("wallet.json").exists(),
        "without mining no wallet is needed"
    );
}

/// A signal may come before the node is up, as when a supervisor changes its mind. Only before the program has touched anything
/// may it end it out of order.
#[test]
fn a_signal_while_it_starts_stops_it_in_order() {
    for delay in [0, 2, 5, 10, 20, 40, 80, 160, 320, 640] {
        let folder = Folder::new();
        let mut node = folder.start(&["--threads", "1"]);
        sleep(Duration::from_millis(delay));
        let start = Instant::now();
        node.signal("-TERM");
        let status = node.wait();
        let took = start.elapsed();
        assert!(took < Duration::from_secs(10), "{delay} ms: {took:?}");
        let untouched = !folder.file("wallet.json").exists() && !folder.file("dev").exists();
        assert!(
            status == Some(0) || status.is_none() && untouched,
            "{delay} ms: {status:?}"
        );
        assert!(!folder.file("dev/node.json").exists() && !folder.file("dev/.cookie").exists());
        if folder.file("dev/db").exists() {
            folder.run(&["verify-chain"]).ok();
        }
    }
}

#[test]
fn two_nodes_on_one_machine_take_different_ports() {
    // An offset of this test's own; the defaults may be taken by a node that runs on this machine.
    let offset = ["--port-offset", "21000", "--no-mine"];
    let (one, other) = (Folder::new(), Folder::new());
    let first = one.up_at(&offset);
    let second = other.up_at(&offset);
    let ports = |node: &super::support::Node| {
        ["p2p", "rpc", "explorer"]
            .map(|service| node.facts[service].as_str().expect("an address").to_owned())
    };
    for (a, b) in ports(&first).iter().zip(ports(&second)) {
        assert_ne!(*a, b);
    }
    let told = second.facts["stepped_over"].to_string();
    for port in ["28667", "28668", "28669"] {
        assert!(told.contains(port), "{told}");
    }
}

#[test]
fn an_explicit_busy_port_is_an_error() {
    let folder = Folder::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let place = taken.local_addr().expect("it is bound").to_string();
    for flag in ["--listen", "--rpc-listen", "--explorer-listen"] {
        let mut words = vec!["up", "--no-mine", "--no-mdns"];
        for other in ["--listen", "--rpc-listen", "--explorer-listen"] {
            words.extend([other, if other == flag { &place } else { "127.0.0.1:0" }]);
        }
        folder.run(&words).fails(1, &[&place, flag]);
        assert!(!folder.file("dev/node.json").exists());
    }
}

#[test]
fn a_folder_in_use_is_refused_with_the_process() {
    let folder = Folder::new();
    let node = folder.up(&["--no-mine"]);
    let pid = node.pid().to_string();
    folder
        .run(&["up", "--no-mine", "--no-mdns"])
        .fails(1, &["in use", &pid]);
    folder.run(&["verify-chain"]).fails(1, &[&pid, "rpc stop"]);
}

#[test]
fn health_status_and_peers() {
    let folder = Folder::new();
    folder.run(&["health"]).fails(1, &["no node is running"]);
    folder.run(&["peers"]).fails(1, &["quarry up"]);
    let node = folder.up(&["--no-mine"]);
    assert_eq!(folder.run(&["health"]).ok(), "healthy");
    assert_eq!(folder.run(&["peers"]).ok(), "no peers");
    assert_eq!(folder.json(&["status"])["node"]["pid"], node.pid());
    // What the explorer serves is there for every program.
    let at = node.facts["explorer"]
        .as_str()
        .expect("a URL")
        .trim_matches('/')
        .replace("http://", "");
    let mut stream = TcpStream::connect(&at).expect("it listens");
    write!(
        stream,
        "GET /healthy HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n"
    )
    .expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn a_peer_is_added_once_and_removed_once_even_if_it_was_never_reached() {
    let folder = Folder::new();
    let _node = folder.up(&["--no-mine"]);
    // Nobody listens there.
    let addnode = |command| folder.run(&["rpc", "addnode", "127.0.0.1:9", command]);
    addnode("remove").fails(1, &["-24"]);
    addnode("add").ok();
    addnode("add").fails(1, &["-23", "already added"]);
    addnode("remove").ok();
    addnode("remove").fails(1, &["-24"]);
}

#[test]
fn peers_are_kept_and_banned_by_hand() {
    let folder = Folder::new();
    let _node = folder.up(&["--no-mine"]);
    let peers = |words: &[&str]| folder.run(&[&["peers"], words].concat());
    assert_eq!(peers(&["list-added"]).ok(), "no peer is kept");
    peers(&["add", "127.0.0.1:9"]).ok();
    assert!(peers(&["list-added"]).ok().contains("not connected"));
    peers(&["remove", "127.0.0.1:9"]).ok();
    peers(&["try", "127.0.0.1:9"]).ok();
    peers(&["ban", "10.1.2.3/8", "--hours", "2"]).ok();
    let bans = folder.json(&["peers", "list-banned"]);
    assert_eq!(bans[0]["address"], "10.0.0.0/8");
    assert_eq!(bans[0]["ban_duration"], 7_200);
    peers(&["ban", "10.0.0.0/8"]).fails(1, &["-23", "already banned"]);
    peers(&["ban", "nobody"]).fails(1, &["-30", "Invalid IP/Subnet"]);
    peers(&["ban", "7"]).fails(1, &["no peer has the number 7"]);
    peers(&["unban", "10.0.0.0/8"]).ok();
    peers(&["unban", "10.0.0.0/8"]).fails(1, &["-30"]);
    peers(&["disconnect", "10.0.0.1:1"]).fails(1, &["-29"]);
    let totals = folder.json(&["rpc", "getnettotals"]);
    assert_eq!(totals["totalbytesrecv"], 0);
}

#[test]
fn flag_beats_environment_beats_file_beats_default() {
    let mut folder = Folder::new();
    let chain = |folder: &Folder, words: &[&str]| {
        folder.json(&[words, &["chain", "show"]].concat())["name"].to_string()
    };
    assert_eq!(chain(&folder, &[]), "\"dev\"");
    let (own, ..) = Folder::with_network();
    let spec = own.file("network.toml");
    std::fs::write(
        folder.file("quarry.toml"),
        format!("chain = '{}'\nno-mine = true\n", spec.display()),
    )
    .expect("a file");
    assert_eq!(chain(&folder, &[]), "\"mine\"");
    folder.set("QUARRY_CHAIN", "regtest");
    assert_eq!(chain(&folder, &[]), "\"regtest\"");
    assert_eq!(chain(&folder, &["--chain", "dev"]), "\"dev\"");
    folder.set("QUARRY_CHAIN", "");
    assert_eq!(
        chain(&folder, &[]),
        "\"mine\"",
        "an empty variable says nothing"
    );
    let node = folder.up(&[]);
    assert_eq!(node.facts["mining_address"], serde_json::Value::Null);
}

#[test]
fn logs_can_be_json() {
    let folder = Folder::new();
    let mut node = folder.up(&["--no-mine", "--log-format", "json"]);
    node.signal("-TERM");
    node.wait();
    let log = std::fs::read_to_string(folder.file("test.log")).expect("the log");
    assert!(log.lines().count() >= 2, "{log}");
    for line in log.lines() {
        let event: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(
            event["level"].is_string() && event["timestamp"].is_string(),
            "{line}"
        );
    }
}

/// What lists of processes must not show comes by standard input, as with `bitcoin-cli -stdin`.
#[test]
fn r13_parameters_may_come_by_standard_input() {
    let folder = Folder::new();
    let node = folder.up(&["--no-mine"]);
    let words = ["rpc", "--stdin", "getblockhash"];
    let hash = folder.run_with_input(&words, "0\n");
    assert_eq!(hash.status, 0, "{}", hash.stderr);
    assert_eq!(
        hash.stdout,
        folder.run(&["rpc", "getblockhash", "0"]).stdout
    );
    let two = folder.run_with_input(&["rpc", "--stdin", "getblockhash", "0"], "1\n");
    assert_ne!(two.status, 0, "one parameter too many");
    drop(node);
}
