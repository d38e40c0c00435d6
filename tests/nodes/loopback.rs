//! Several nodes on loopback, on `regtest`, where blocks are made on demand: every test decides itself who mines what.

use crate::support::{Node, eventually};

/// Anybody's address on regtest: nothing is ever spent from it.
const SOMEBODY: &str = "mfWxJ45yp2SFn7UciZyNpvDKrzbhyfKrY8";

fn node() -> Node {
    Node::on_loopback("regtest", &["--no-mine"])
}

fn started() -> Node {
    let mut node = node();
    node.up(&[]);
    node
}

#[test]
fn a_late_joiner_catches_up_and_then_follows() {
    let first = started();
    first.generate(150, SOMEBODY);
    let mut late = node();
    late.up(&["--peer", &first.peer_address()]);
    eventually(30, "the late joiner has the tip", || {
        late.tip() == first.tip()
    });
    first.generate(1, SOMEBODY);
    eventually(15, "it follows the next block", || {
        late.tip() == first.tip()
    });
    late.generate(1, SOMEBODY);
    eventually(15, "and the other way round", || late.tip() == first.tip());
}

/// ```text
/// 0 ── a1 … a5          made by one while they did not know each other
///  └── b1 ……… b8        made by the other: more work, so both end here
/// ```
#[test]
fn two_partitions_that_meet_agree_on_the_most_work() {
    let (mut one, mut other) = (started(), started());
    one.generate(5, SOMEBODY);
    other.generate(8, SOMEBODY);
    let most_work = other.tip();
    assert_ne!(one.tip(), most_work);
    one.call("addnode", &[&other.peer_address(), "add"]);
    eventually(30, "both have the tip with the most work", || {
        one.tip() == most_work && other.tip() == most_work
    });
    let tips = one.call("getchaintips", &[]);
    assert_eq!(
        tips.as_array().expect("a list").len(),
        2,
        "the lost branch is still known: {tips}"
    );
    for node in [&mut one, &mut other] {
        node.stop();
        node.assert_sound();
    }
}

#[test]
fn a_restarted_node_comes_back_into_the_gossip() {
    let first = started();
    let mut second = node();
    second.up(&["--peer", &first.peer_address()]);
    first.generate(3, SOMEBODY);
    eventually(15, "the second follows", || second.tip() == first.tip());
    // The same identity comes back before the first has noticed that it was gone.
    second.kill();
    second.up(&["--peer", &first.peer_address()]);
    eventually(30, "it is connected again", || {
        second.call("getconnectioncount", &[]) != 0
    });
    first.generate(1, SOMEBODY);
    eventually(30, "it hears of the next block", || {
        second.tip() == first.tip()
    });
    second.generate(1, SOMEBODY);
    eventually(30, "and is heard", || second.tip() == first.tip());
}

#[test]
fn a_payment_made_on_one_node_is_mined_by_the_other() {
    let first = started();
    let address = first.ok(&["create-wallet"]);
    let address = address.strip_prefix("New address: ").expect("the address");
    let mut second = node();
    second.up(&["--peer", &first.peer_address()]);
    // Coinbases mature after 100 blocks.
    first.generate(101, address);
    eventually(30, "the second follows", || second.tip() == first.tip());
    let txid = first.call("sendtoaddress", &[SOMEBODY, "12.5"]);
    let txid = txid.as_str().expect("a txid");
    eventually(15, "the other node knows the payment", || {
        second.call("getrawmempool", &[]).to_string().contains(txid)
    });
    second.generate(1, SOMEBODY);
    eventually(15, "it confirms on the first", || {
        first.call("getrawtransaction", &[txid, "1"])["confirmations"] == 1
    });
    assert_eq!(first.call("getrawmempool", &[]), serde_json::json!([]));
}

#[test]
fn nodes_of_two_networks_do_not_mix() {
    let first = started();
    let mut stranger = Node::on_loopback("dev", &["--no-mine"]);
    stranger.up(&["--peer", &first.peer_address()]);
    first.generate(2, SOMEBODY);
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert_eq!(stranger.height(), 0);
    assert_eq!(stranger.call("getconnectioncount", &[]), 0);
    assert_eq!(first.call("getconnectioncount", &[]), 0);
}
