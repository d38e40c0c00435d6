//! How a block of 1 MB whose payments are known travels through ten nodes, announced by short ids and by its header:
//! `make bench-propagation`. `QUARRY_BENCH_BLOCKS` (20) chooses how many blocks.
//!
//! The nodes are real (chain, mempool, network) and share this process and its cores. In a network namespace of their own, the
//! counters of the loopback device tell every byte that they send, TCP and its acknowledgements included; what they send in an
//! idle time of the same length is subtracted.

use std::{
    env, fs,
    process::Command,
    time::{Duration, Instant},
};

use quarry::{
    consensus::ChainSpec,
    mempool::TxSource,
    primitives::{Encode, Transaction},
};

#[path = "../../tests/network/namespace.rs"]
mod namespace;
#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../../tests/network/node.rs"]
mod node;

use node::{Node, OwnCoin, agree, all_hold, pay, spec};

const NODES: usize = 10;
/// Some 192 bytes each, which fills the block.
const PAYMENTS: usize = 5_200;
/// Set in the process that measures.
const INSIDE: &str = "QUARRY_BENCH_INSIDE";
/// For how long the nodes are left alone before and after each block.
const QUIET: Duration = Duration::from_millis(1_500);

fn main() {
    if env::var_os(INSIDE).is_some() {
        let runtime = tokio::runtime::Runtime::new().expect("threads can be had");
        return runtime.block_on(measure());
    }
    let program = env::current_exe().expect("this program has a path");
    let command = namespace::command("ip link set lo up");
    let mut command = command.map_or_else(
        || {
            println!("bytes are not counted: 'unshare' and 'ip' cannot make a network here");
            Command::new(&program)
        },
        |mut command| {
            command.arg(&program).env("QUARRY_BENCH_COUNTED", "1");
            command
        },
    );
    let status = command.env(INSIDE, "1").status();
    assert!(status.is_ok_and(|status| status.success()));
}

async fn measure() {
    let blocks = env::var("QUARRY_BENCH_BLOCKS").ok();
    let blocks = blocks.and_then(|text| text.parse().ok()).unwrap_or(20);
    println!("{NODES} nodes, {blocks} blocks of {PAYMENTS} known payments");
    println!(
        "announced by | KiB a block and node: median, largest | ms to the last node: median, 95th percentile, largest"
    );
    for (name, compact) in [("short ids", true), ("header", false)] {
        let mut figures = Figures::default();
        round_trips(compact, blocks, &mut figures).await;
        println!("{name:12} | {} | {}", figures.bytes(), figures.times());
    }
}

#[derive(Default)]
struct Figures {
    bytes: Vec<f64>,
    times: Vec<f64>,
}

impl Figures {
    fn bytes(&mut self) -> String {
        if self.bytes.is_empty() {
            return "not counted".into();
        }
        self.bytes.sort_by(f64::total_cmp);
        format!("{:.1}, {:.1}", at(&self.bytes, 0.5), at(&self.bytes, 1.0))
    }

    fn times(&mut self) -> String {
        self.times.sort_by(f64::total_cmp);
        let [median, high, most] = [0.5, 0.95, 1.0].map(|part| at(&self.times, part));
        format!("{median:.0}, {high:.0}, {most:.0}")
    }
}

/// The smallest value that `part` of the sorted values do not exceed.
fn at(sorted: &[f64], part: f64) -> f64 {
    let place = (sorted.len() as f64 * part).ceil() as usize;
    sorted[place.saturating_sub(1)]
}

async fn round_trips(compact: bool, blocks: usize, figures: &mut Figures) {
    let spec = ChainSpec {
        target_spacing: 10,
        ..spec()
    };
    let mut nodes: Vec<Node> = Vec::new();
    for place in 0..NODES {
        // Each is told of the one before it and of one half as far from the first: two ways to everywhere, few steps.
        let mut peers: Vec<String> = Vec::new();
        if let Some(before) = place.checked_sub(1) {
            peers.push(nodes[before].address());
            peers.extend((place / 2 != before).then(|| nodes[place / 2].address()));
        }
        let node = Node::start_with(spec.clone(), None, |config| {
            config.peers = peers;
            config.compact_blocks = compact;
        });
        nodes.push(node.await);
    }
    let all: Vec<&Node> = nodes.iter().collect();
    let mut coins = nodes[0].mine_coins(0, PAYMENTS).await;
    agree("the coins arrive", &all).await;
    tokio::time::sleep(2 * QUIET).await;

    for round in 0..blocks {
        let payments: Vec<Transaction> = coins.iter().map(|coin| pay(*coin, 500)).collect();
        let origin = &nodes[round % NODES];
        for batch in payments.chunks(256) {
            let results = origin
                .mempool
                .submit_many(batch.to_vec(), TxSource::Local)
                .await;
            assert!(results.iter().all(Result::is_ok), "{results:?}");
        }
        all_hold("the payments arrive", PAYMENTS, &all).await;
        coins = payments.iter().map(OwnCoin::first_of).collect();

        tokio::time::sleep(QUIET).await;
        let idle = sent_while_idle().await;
        let miner = &nodes[(round * 3 + 1) % NODES];
        let salt = u32::try_from(round).expect("small");
        let outputs = vec![node::to_us(miner.subsidy())];
        let block = miner.next_block(salt, outputs, payments);
        assert!(block.encoded_len() > 990_000, "{}", block.encoded_len());
        let (before, start) = (sent(), Instant::now());
        miner.submit(&block).await;
        agree("the block arrives", &all).await;
        figures.times.push(start.elapsed().as_secs_f64() * 1_000.0);
        tokio::time::sleep_until((start + QUIET).into()).await;
        if let (Some(before), Some(after), Some(idle)) = (before, sent(), idle) {
            let bytes = (after - before).saturating_sub(idle);
            figures.bytes.push(bytes as f64 / NODES as f64 / 1024.0);
        }
    }
    for node in nodes {
        node.stop().await;
    }
}

async fn sent_while_idle() -> Option<u64> {
    let before = sent()?;
    tokio::time::sleep(QUIET).await;
    Some(sent()? - before)
}

/// Bytes that the loopback device has sent, if it is ours alone.
fn sent() -> Option<u64> {
    env::var_os("QUARRY_BENCH_COUNTED")?;
    let devices = fs::read_to_string("/proc/self/net/dev").ok()?;
    let loopback = devices
        .lines()
        .find_map(|line| line.trim().strip_prefix("lo:"))?;
    loopback.split_whitespace().nth(8)?.parse().ok()
}
