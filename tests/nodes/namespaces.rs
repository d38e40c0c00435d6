//! Nodes in network namespaces: a network of their own, with no configuration at all. Needs root and `ip`; skipped otherwise.

use std::process::Command;
use std::time::Instant;

use crate::support::{Node, eventually};

/// Namespaces joined by a bridge in one more namespace. Everything goes when this is dropped.
struct Lan {
    /// Begins every name, so that tests of several processes stay apart.
    prefix: String,
    hosts: usize,
}

fn ip(words: &str) -> Result<(), String> {
    let output = Command::new("ip")
        .args(words.split(' '))
        .output()
        .map_err(|error| format!("cannot run 'ip': {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "ip {words}: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    ))
}

impl Lan {
    /// `hosts` namespaces with addresses 10.77.0.1, 10.77.0.2, … that reach one another and nothing else.
    fn new(hosts: usize) -> Result<Self, String> {
        let lan = Self {
            prefix: format!("q{}", std::process::id()),
            hosts,
        };
        lan.build()?;
        Ok(lan)
    }

    fn build(&self) -> Result<(), String> {
        let bridge = self.bridge();
        ip(&format!("netns add {bridge}"))?;
        ip(&format!("-n {bridge} link add br0 type bridge"))?;
        ip(&format!("-n {bridge} link set br0 up"))?;
        for host in 0..self.hosts {
            let (name, link) = (self.host(host), self.link(host));
            ip(&format!("netns add {name}"))?;
            ip(&format!(
                "-n {name} link add eth0 type veth peer name {link} netns {bridge}"
            ))?;
            ip(&format!("-n {bridge} link set {link} master br0"))?;
            ip(&format!("-n {bridge} link set {link} up"))?;
            ip(&format!(
                "-n {name} addr add 10.77.0.{}/24 brd + dev eth0",
                host + 1
            ))?;
            ip(&format!("-n {name} link set lo up"))?;
            ip(&format!("-n {name} link set eth0 up"))?;
            ip(&format!("-n {name} route add 224.0.0.0/4 dev eth0"))?;
        }
        Ok(())
    }

    fn bridge(&self) -> String {
        format!("{}br", self.prefix)
    }

    fn host(&self, index: usize) -> String {
        format!("{}h{index}", self.prefix)
    }

    fn link(&self, index: usize) -> String {
        format!("veth{index}")
    }

    /// Takes a host off the network, or joins it again.
    fn set_link(&self, host: usize, up: bool) {
        let state = if up { "up" } else { "down" };
        ip(&format!(
            "-n {} link set {} {state}",
            self.bridge(),
            self.link(host)
        ))
        .expect("the link exists");
    }

    /// A stopped node in a host's namespace, with no flags but the number of threads.
    fn node(&self, host: usize) -> Node {
        Node::new(
            &["ip", "netns", "exec", &self.host(host)],
            &["--threads", "1"],
        )
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        for host in 0..self.hosts {
            let _ = ip(&format!("netns delete {}", self.host(host)));
        }
        let _ = ip(&format!("netns delete {}", self.bridge()));
    }
}

/// The network, or a message that says why there can be none here.
fn lan(hosts: usize) -> Option<Lan> {
    match Lan::new(hosts) {
        Ok(lan) => Some(lan),
        Err(reason) => {
            eprintln!("skipped: network namespaces need root and iproute2: {reason}");
            None
        }
    }
}

#[test]
fn two_nodes_without_configuration_find_each_other_mine_and_pay() {
    let Some(lan) = lan(2) else {
        return;
    };
    let (mut one, mut other) = (lan.node(0), lan.node(1));
    let start = Instant::now();
    one.up(&[]);
    other.up(&[]);
    eventually(60, "they are connected", || {
        one.call("getconnectioncount", &[]) == 1 && other.call("getconnectioncount", &[]) == 1
    });
    println!(
        "connected {:.1} s after the start of the first",
        start.elapsed().as_secs_f64()
    );

    // Agreement: a block that one has is soon the other's too, whoever made it.
    eventually(60, "they have one tip", || one.tip() == other.tip());
    let mut delays = Vec::new();
    for round in 0..6 {
        let (from, to) = if round % 2 == 0 {
            (&one, &other)
        } else {
            (&other, &one)
        };
        let height = from.height();
        eventually(120, "a new block", || from.height() > height);
        let seen = Instant::now();
        let hash = from.call("getblockhash", &[&(height + 1).to_string()]);
        let hash = hash.as_str().expect("a hash");
        eventually(30, "the other node knows it", || {
            to.rpc("getblockheader", &[hash]).is_ok()
        });
        delays.push(seen.elapsed().as_secs_f64());
    }
    println!("blocks reached the other node after {delays:.2?} s");

    let payee = other
        .ok(&["list-addresses"])
        .lines()
        .next()
        .expect("an address")
        .to_owned();
    let txid = one.call("sendtoaddress", &[&payee, "0.25"]);
    let txid = txid.as_str().expect("a txid").to_owned();
    eventually(120, "the payment confirms on the other node", || {
        other
            .rpc("getrawtransaction", &[&txid, "1"])
            .is_ok_and(|tx| tx["confirmations"].as_u64() >= Some(1))
    });

    // Cut apart, both mine on; joined again, they end on one chain.
    lan.set_link(1, false);
    let cut_at = one.height().max(other.height());
    eventually(180, "each mines alone", || {
        one.height() >= cut_at + 2 && other.height() >= cut_at + 2
    });
    assert_ne!(one.tip(), other.tip());
    lan.set_link(1, true);
    eventually(90, "they agree again", || one.tip() == other.tip());
    for node in [&mut one, &mut other] {
        node.stop();
        node.assert_sound();
    }
}
