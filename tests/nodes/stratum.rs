//! External miners on a node whose blocks a second node takes.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};

use crate::stratum_client::Miner;
use crate::support::{Node, eventually, wait_for};

/// Anybody's address on regtest, and one on `dev`.
const ON_REGTEST: &str = "mfWxJ45yp2SFn7UciZyNpvDKrzbhyfKrY8";
const ON_DEV: &str = "1111111111111111111114oLvT2";

/// A node that serves miners, and where.
fn serving(chain: &'static str, flags: &[&str]) -> (Node, SocketAddr) {
    let mut node = Node::on_loopback(chain, &["--no-mine", "--stratum-listen", "127.0.0.1:0"]);
    node.up(flags);
    let info = node.call("getstratuminfo", &[]);
    let address = info["listening"].as_str().expect("an address");
    (node, address.parse().expect("an address"))
}

fn follower(of: &Node, chain: &'static str) -> Node {
    let mut node = Node::on_loopback(chain, &["--no-mine"]);
    node.up(&["--peer", &of.peer_address()]);
    node
}

fn coinbase_address(node: &Node) -> String {
    let block = node.call("getblock", &[&node.tip(), "2"]);
    let address = &block["tx"][0]["vout"][0]["scriptPubKey"]["address"];
    address.as_str().expect("an address").to_owned()
}

#[test]
fn a_miner_finds_blocks_that_another_node_takes() {
    let (node, address) = serving("regtest", &["--mining-address", ON_REGTEST]);
    let other = follower(&node, "regtest");
    let payee = node.ok(&["create-wallet"]);
    let payee = payee.strip_prefix("New address: ").expect("the address");
    let name = format!("{payee}.rig 1").replace(' ', "-");
    let mut miner = Miner::start(address, &name, "x");
    for height in 1..=20 {
        let job = miner.job.clone().expect("a job");
        let share = miner.solve_block(&job, 0);
        assert_eq!(miner.submit(&job, share)["result"], true);
        assert_eq!(node.height(), height);
        assert!(miner.job_after(&job).clean, "a new tip");
    }
    assert_eq!(coinbase_address(&node), payee);
    eventually(60, "the other node has the blocks", || {
        other.tip() == node.tip()
    });
    // A worker whose name is no address mines for the node.
    let mut nameless = Miner::start(address, "bitaxe", "x");
    let job = nameless.job.clone().expect("a job");
    let share = nameless.solve_block(&job, 0);
    assert_eq!(nameless.submit(&job, share)["result"], true);
    assert_eq!(coinbase_address(&node), ON_REGTEST);
    miner.job_after(&miner.job.clone().expect("a job"));
    let info = node.call("getstratuminfo", &[]);
    assert_eq!(
        (&info["blocks_found"], &info["accepted"]),
        (&json!(21), &json!(21))
    );
    assert_eq!(
        (&info["connections"], &info["active_workers"]),
        (&json!(2), &json!(2))
    );
    let workers = info["workers"].as_array().expect("a list");
    let own = workers.iter().find(|worker| worker["name"] == json!(name));
    let own = own.expect("it is listed");
    assert_eq!(
        (&own["address"], &own["blocks_found"]),
        (&json!(payee), &json!(20))
    );
    assert_eq!(own["agent"], "test miner/1");
    assert!(own["hashrate"].as_f64() > Some(0.0) && own["last_share"].is_u64());
    drop(miner);
    drop(nameless);
    eventually(60, "the connections are gone", || {
        node.call("getstratuminfo", &[])["connections"] == 0
    });
}

/// Every block has another target there, and shares are below 1.
#[test]
fn blocks_of_a_chain_that_retargets_every_block() {
    let (node, address) = serving("dev", &[]);
    let other = follower(&node, "dev");
    let mut miner = Miner::start(address, ON_DEV, "x");
    for height in 1..=3 {
        let job = miner.job.clone().expect("a job");
        assert!(job.difficulty > 0.0 && job.difficulty < 1.0, "{job:?}");
        let share = miner.solve_block(&job, 0);
        assert_eq!(miner.submit(&job, share)["error"], Value::Null);
        assert_eq!(node.height(), height);
        miner.job_after(&job);
    }
    eventually(60, "the other node has the blocks", || {
        other.tip() == node.tip()
    });
    // Somebody else's block is news to the miner, too.
    let job = miner.job.clone().expect("a job");
    other.generate(1, ON_DEV);
    assert!(miner.job_after(&job).clean);
    assert_eq!(node.tip(), other.tip());
}

#[test]
fn shares_that_are_duplicate_stale_low_or_wrong_are_told_by_their_numbers() {
    // Without a share's difficulty of its own every share on `dev` would be a block.
    let (node, address) = serving("dev", &[]);
    let mut miner = Miner::start(address, ON_DEV, "d=0.00001");
    let job = miner.job.clone().expect("a job");
    assert_eq!(job.difficulty, 0.00001);
    let code = |answer: &Value| answer["error"][0].as_u64();
    let share = miner.solve(&job);
    assert_eq!(miner.submit(&job, share)["result"], true);
    assert_eq!(code(&miner.submit(&job, share)), Some(22));
    let low = miner.search(&job, 0, |hash| hash[31] > 0);
    assert_eq!(code(&miner.submit(&job, low)), Some(23));
    let mut early = share;
    early.time = 1_000_000;
    assert_eq!(code(&miner.submit(&job, early)), Some(20));
    let mut rolled = share;
    rolled.version_bits = 0x2000;
    assert_eq!(code(&miner.submit(&job, rolled)), Some(20));
    node.generate(1, ON_DEV);
    miner.job_after(&job);
    assert_eq!(code(&miner.submit(&job, share)), Some(21));
    let info = node.call("getstratuminfo", &[]);
    let figures = [&info["accepted"], &info["stale"], &info["rejected"]];
    assert_eq!(figures, [&json!(1), &json!(1), &json!(4)]);

    let mut stranger = Miner::connect(address);
    let nothing = crate::stratum_client::Share::default();
    assert_eq!(code(&stranger.submit(&job, nothing)), Some(25));
    stranger.subscribe();
    assert_eq!(code(&stranger.submit(&job, nothing)), Some(24));
    let foreign = stranger.authorize(ON_REGTEST, "x");
    assert_eq!(code(&foreign), Some(24));
    assert!(foreign["error"][1].to_string().contains("another network"));
    let nobody = stranger.authorize("bitaxe", "x");
    assert!(
        nobody["error"][1]
            .to_string()
            .contains("must be an address")
    );
}

#[test]
fn the_version_is_rolled_and_the_block_has_it() {
    let (node, address) = serving("regtest", &[]);
    let mut miner = Miner::connect(address);
    let asked = json!([["version-rolling"], { "version-rolling.mask": "ffffffff" }]);
    let agreed = miner.ask("mining.configure", asked);
    assert_eq!(agreed["result"]["version-rolling.mask"], "1fffe000");
    miner.subscribe();
    miner.authorize(ON_REGTEST, "x");
    let job = miner.next_job();
    let share = miner.solve_block(&job, 0x0bcd_e000);
    assert_eq!(miner.submit(&job, share)["result"], true);
    let header = node.call("getblockheader", &[&node.tip()]);
    assert_eq!(header["versionHex"], "2bcde000");
}

#[test]
fn hundreds_of_miners_at_once_each_with_headers_of_its_own() {
    let (node, address) = serving("regtest", &[]);
    let mut miners: Vec<Miner> = (0..300)
        .map(|number| Miner::start(address, &format!("{ON_REGTEST}.{number}"), "x"))
        .collect();
    let mut nonces: Vec<_> = miners
        .iter()
        .map(|miner| miner.extra_nonce1().to_owned())
        .collect();
    nonces.sort();
    nonces.dedup();
    assert_eq!(nonces.len(), 300);
    let info = node.call("getstratuminfo", &[]);
    assert_eq!(info["active_workers"], 300);
    // Each in turn finds a block, and all hear of it.
    for turn in [0, 150, 299] {
        let job = miners[turn].job.clone().expect("a job");
        let share = miners[turn].solve_block(&job, 0);
        assert_eq!(miners[turn].submit(&job, share)["result"], true);
        for miner in &mut miners {
            assert!(miner.job_after(&job).clean);
        }
    }
    assert_eq!(node.height(), 3);
    drop(miners);
    eventually(60, "all have gone", || {
        node.call("getstratuminfo", &[])["connections"] == 0
    });
}

#[test]
fn floods_and_nonsense_are_bounded_and_others_go_on() {
    let (node, address) = serving("regtest", &[]);
    let mut honest = Miner::start(address, ON_REGTEST, "x");
    // A line without an end.
    let mut endless = Miner::connect(address);
    endless.send_raw(&[b'x'; 100_000]);
    assert_eq!(endless.line(), None);
    // What is no request is told so, until it is too much.
    let mut nonsense = Miner::connect(address);
    nonsense.send_raw("GET / HTTP/1.1\n".repeat(64).as_bytes());
    let mut told = 0;
    while let Some(line) = nonsense.line() {
        assert_eq!(line["error"][0], 20);
        told += 1;
    }
    assert_eq!(told, 64);
    // A flood of well formed requests that are never read: the server waits with it, not the others.
    let mut flood = Miner::connect(address);
    flood.never_wait();
    let pings = "{\"id\":1,\"method\":\"mining.ping\",\"params\":[]}\n".repeat(50_000);
    let filled = wait_for(Duration::from_secs(30), || {
        (!flood.send_raw(pings.as_bytes())).then_some(())
    });
    assert!(
        filled.is_some(),
        "the server reads no faster than it answers"
    );
    let job = honest.job.clone().expect("a job");
    let share = honest.solve_block(&job, 0);
    assert_eq!(honest.submit(&job, share)["result"], true);
    assert_eq!(node.height(), 1);
}

#[test]
fn it_is_off_unless_asked_for_and_a_busy_port_is_an_error() {
    let mut plain = Node::on_loopback("regtest", &["--no-mine"]);
    plain.up(&[]);
    let info = plain.call("getstratuminfo", &[]);
    assert_eq!(info, json!({ "enabled": false, "workers": [] }));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let place = taken.local_addr().expect("it is bound").to_string();
    let busy = Node::on_loopback("regtest", &[]);
    let ended = busy.run(&[
        "up",
        "--no-mine",
        "--no-mdns",
        "--listen",
        "127.0.0.1:0",
        "--rpc-listen",
        "127.0.0.1:0",
        "--explorer-listen",
        "127.0.0.1:0",
        "--stratum-listen",
        &place,
    ]);
    let told = String::from_utf8_lossy(&ended.stderr);
    assert!(
        !ended.status.success() && told.contains(&place) && told.contains("--stratum-listen"),
        "{told}"
    );
}

#[test]
fn a_node_stops_with_miners_connected() {
    let (mut node, address) = serving("regtest", &[]);
    let mut miner = Miner::start(address, ON_REGTEST, "x");
    node.stop();
    while miner.line().is_some() {}
}
