//! How many payments a second five nodes on this machine take: `make bench-payments`. `QUARRY_BENCH_RATE` (2000) payments a second
//! for `QUARRY_BENCH_SECONDS` (60); `QUARRY_BENCH_RATE=most` looks for the highest rate at which none is lost.
//!
//! The nodes are real (chain, mempool, network), stand in a ring, and share this process and its cores. Payments enter at all of
//! them in turn, made beforehand; every ten seconds a block of at most 4 MB takes what waits. In the end each must be in a block or
//! in the mempool of every node, and every link must be the one that was there at the start.

use std::{
    collections::BTreeMap,
    env, fs,
    time::{Duration, Instant},
};

use quarry::{consensus::ChainSpec, mempool::TxSource, network::PeerInfo, primitives::Transaction};

#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../../tests/network/node.rs"]
mod node;

use node::{Node, agree, pay, spec, to_us};

const NODES: usize = 5;
/// How often payments enter, at the next node each time.
const STEP: Duration = Duration::from_millis(20);
const BLOCK_EVERY: Duration = Duration::from_secs(10);
/// How long a payment may be on its way once the last has entered.
const PATIENCE: Duration = Duration::from_secs(20);
/// For how long a rate is tried when the highest is looked for.
const TRIAL: u64 = 15;

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("threads can be had");
    runtime.block_on(async {
        let seconds = number("QUARRY_BENCH_SECONDS").unwrap_or(60);
        if env::var("QUARRY_BENCH_RATE").as_deref() != Ok("most") {
            let rate = number("QUARRY_BENCH_RATE").unwrap_or(2_000);
            let outcome = run(rate, seconds).await;
            assert!(outcome, "payments were lost or links have died");
            return;
        }
        let mut rate = 2_000;
        while run(rate, TRIAL).await {
            rate += 500;
        }
    });
}

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok()?.parse().ok()
}

/// Sends `rate` payments a second for `seconds`; whether all arrived everywhere over links that lived.
async fn run(rate: u64, seconds: u64) -> bool {
    let spec = ChainSpec {
        target_spacing: 10,
        max_block_size: 4_000_000,
        max_block_sigops: 80_000,
        ..spec()
    };
    let mut nodes: Vec<Node> = Vec::new();
    for place in 0..NODES {
        let peers: Vec<&Node> = match place {
            0 => Vec::new(),
            4 => vec![&nodes[3], &nodes[0]],
            place => vec![&nodes[place - 1]],
        };
        let node = Node::start(spec.clone(), None, &peers).await;
        nodes.push(node);
    }
    let all: Vec<&Node> = nodes.iter().collect();
    let total = usize::try_from(rate * seconds).expect("not that many");
    let payments = make_payments(&nodes[0], total).await;
    agree("the coins arrive", &all).await;
    let (links_before, links_from) = (links(&all).await, Instant::now());

    let cpu = CpuTimes::read();
    let start = Instant::now();
    let (late, mut blocks) = send(&all, &payments, rate).await;
    let sent = start.elapsed();
    let deadline = Instant::now() + PATIENCE;
    let mut counts = counts(&all).await;
    while counts.iter().any(|count| *count < total) && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(50)).await;
        counts = self::counts(&all).await;
    }
    let arrived = start.elapsed();
    let used = cpu.until_now();
    for (salt, node) in (5_000_000..).zip(&all) {
        node.mine(salt, 0).await;
        agree("news arrive", &all).await;
        blocks += 1;
    }
    let alive = are_alive(&links_before, &links(&all).await, links_from.elapsed());
    let lost: Vec<_> = counts
        .iter()
        .map(|count| total.saturating_sub(*count))
        .collect();
    println!(
        "{rate} a second for {seconds} s: {total} sent in {:.1} s (latest step {} ms late), everywhere after {:.1} s, {blocks} blocks; lost at each node: {lost:?}; links {}",
        sent.as_secs_f64(),
        late.as_millis(),
        arrived.as_secs_f64(),
        if alive { "alive" } else { "changed" }
    );
    println!(
        "  processor seconds a thousand payments: {}",
        used.per(total)
    );
    for node in nodes {
        node.stop().await;
    }
    alive && lost.iter().all(|lost| *lost == 0) && late < Duration::from_secs(2)
}

/// Signed payments of as many coins, in the chain of `node`.
async fn make_payments(node: &Node, total: usize) -> Vec<Transaction> {
    let mut payments = Vec::new();
    let mut salt = 1;
    while payments.len() < total {
        let count = (total - payments.len()).min(40_000);
        let coins = node.mine_coins(salt, count).await;
        payments.extend(coins.iter().map(|coin| pay(*coin, 1_000)));
        salt += 1;
    }
    payments
}

/// Lets the payments enter at the rate, and mines; tells by how much the latest step was late, and the number of blocks.
async fn send(nodes: &[&Node], payments: &[Transaction], rate: u64) -> (Duration, u32) {
    let start = Instant::now();
    let each_step = rate as f64 * STEP.as_secs_f64();
    let (mut late, mut blocks, mut entered) = (Duration::ZERO, 0, 0);
    for step in 1_u32.. {
        let due = ((f64::from(step) * each_step) as usize).min(payments.len());
        let node = nodes[step as usize % NODES];
        let batch = payments[entered..due].to_vec();
        let results = node.mempool.submit_many(batch, TxSource::Local).await;
        assert!(results.iter().all(Result::is_ok), "refused at its origin");
        entered = due;
        if entered == payments.len() {
            break;
        }
        if start.elapsed() > BLOCK_EVERY * (blocks + 1) {
            blocks += 1;
            mine(node, blocks).await;
        }
        let next = start + STEP * step;
        late = late.max(Instant::now().saturating_duration_since(next));
        tokio::time::sleep_until(next.into()).await;
    }
    (late, blocks)
}

/// Mines what waits at `node`.
async fn mine(node: &Node, salt: u32) {
    let template = node
        .mempool
        .template(3_900_000, 79_000)
        .await
        .expect("it runs");
    if template.tip != node.tip().1 {
        return;
    }
    let transactions = template
        .transactions
        .iter()
        .map(|tx| (*tx.tx).clone())
        .collect();
    let block = node.next_block(salt, vec![to_us(node.subsidy())], transactions);
    node.submit(&block).await;
}

/// How many payments each node has, in blocks or waiting.
async fn counts(nodes: &[&Node]) -> Vec<usize> {
    let mut counts = Vec::new();
    for node in nodes {
        let reader = node.chain.reader();
        let heights = 0..=reader.tip().height;
        let in_blocks = heights.filter_map(|height| {
            let info = reader.header_info(&reader.hash_at(height)?)?;
            info.tx_count.map(|count| count as usize - 1)
        });
        let in_blocks: usize = in_blocks.sum();
        let waiting = node.mempool.info().await.map_or(0, |info| info.count);
        counts.push(in_blocks + waiting);
    }
    counts
}

/// The peers of every node.
async fn links(nodes: &[&Node]) -> Vec<Vec<PeerInfo>> {
    let mut links = Vec::new();
    for node in nodes {
        links.push(node.network.peers().await);
    }
    links
}

/// Whether each link of `before`, so long ago, is still the same.
fn are_alive(before: &[Vec<PeerInfo>], now: &[Vec<PeerInfo>], ago: Duration) -> bool {
    let lives = |link: &PeerInfo, links: &[PeerInfo]| {
        let mut links = links.iter();
        links.any(|now| now.peer_id == link.peer_id && now.connected_seconds >= ago.as_secs())
    };
    let mut both = before.iter().zip(now);
    both.all(|(before, now)| before.iter().all(|link| lives(link, now)))
}

/// Processor time of this process's threads, by name, in ticks of 10 ms.
struct CpuTimes(BTreeMap<String, u64>);

impl CpuTimes {
    fn read() -> Self {
        let mut times = BTreeMap::new();
        let threads = fs::read_dir("/proc/self/task")
            .into_iter()
            .flatten()
            .flatten();
        for thread in threads {
            let Ok(stat) = fs::read_to_string(thread.path().join("stat")) else {
                continue;
            };
            // Number, name in brackets, then fields; the 12th and 13th of these are user and system time.
            let Some((name, fields)) = stat.rsplit_once(") ") else {
                continue;
            };
            let name = name.split_once('(').map_or(name, |(_, name)| name);
            let used = fields.split(' ').skip(11).take(2);
            let ticks: u64 = used.filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
            *times.entry(name.to_owned()).or_default() += ticks;
        }
        Self(times)
    }

    /// What was used since.
    fn until_now(&self) -> Self {
        let now = Self::read();
        let used = now.0.into_iter().map(|(name, ticks)| {
            let before = self.0.get(&name).copied().unwrap_or(0);
            (name, ticks.saturating_sub(before))
        });
        Self(used.collect())
    }

    /// Seconds by thread for a thousand of `count`.
    fn per(&self, count: usize) -> String {
        let seconds = |ticks: u64| ticks as f64 / 100.0 * 1_000.0 / count as f64;
        let used = self.0.iter().filter(|(_, ticks)| **ticks > 0);
        let parts: Vec<_> = used
            .map(|(name, ticks)| format!("{name} {:.3}", seconds(*ticks)))
            .collect();
        parts.join(", ")
    }
}
