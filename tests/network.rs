//! Real nodes (chain, mempool, network) on loopback, with mDNS off: what they must do together.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use quarry::{
    chain::{self, ChainHandle, ChainOptions, ChainWriter, system_clock},
    consensus::{BLOCK_VERSION, ChainSpec, height_push, required_bits},
    keys::{SecretKey, sign_input},
    mempool::{self, MempoolHandle, MempoolTask, Policy, TxSource},
    network::{self, NetworkConfig, NetworkError, NetworkHandle, sync::SyncState},
    primitives::{
        Amount, Block, BlockHash, BlockHeader, MerkleRoot, OutPoint, Script, Transaction, TxIn,
        TxOut, UncheckedAmount,
    },
};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Regtest with coinbases that can be spent in the next block.
fn spec() -> ChainSpec {
    ChainSpec {
        name: "loopback".into(),
        coinbase_maturity: 1,
        target_spacing: 5,
        ..ChainSpec::regtest()
    }
}

fn key() -> SecretKey {
    SecretKey::from_bytes(&[7; 32]).expect("a small number is a key")
}

/// A node's folder, kept over restarts.
struct Folder {
    dir: TempDir,
    /// 0 until the first start has chosen one.
    port: u16,
}

struct Node {
    chain: ChainHandle,
    writer: ChainWriter,
    mempool: MempoolHandle,
    mempool_task: MempoolTask,
    network: NetworkHandle,
    task: JoinHandle<Result<(), NetworkError>>,
    cancel: CancellationToken,
    folder: Folder,
    spec: ChainSpec,
}

impl Node {
    async fn new(peers: &[&Self]) -> Self {
        Self::start(spec(), None, peers).await
    }

    async fn start(spec: ChainSpec, folder: Option<Folder>, peers: &[&Self]) -> Self {
        let mut folder = folder.unwrap_or_else(|| Folder {
            dir: TempDir::new().expect("a temporary folder can be made"),
            port: 0,
        });
        let path: PathBuf = folder.dir.path().join("db");
        let options = ChainOptions {
            sync_writes: false,
            ..ChainOptions::default()
        };
        let (chain, writer) = chain::open(&path, spec.clone(), options).expect("the chain opens");
        let (mempool, mempool_task) =
            mempool::spawn(chain.clone(), Policy::default(), system_clock())
                .expect("the mempool starts");
        let listen = format!("127.0.0.1:{}", folder.port);
        let config = NetworkConfig {
            mdns: false,
            peers: peers.iter().map(|peer| peer.address()).collect(),
            ..NetworkConfig::new(folder.dir.path(), vec![listen.parse().expect("an address")])
        };
        let cancel = CancellationToken::new();
        let (network, task) =
            network::spawn(config, chain.clone(), mempool.clone(), cancel.clone())
                .expect("the network starts");
        until("the node listens", || {
            !network.listen_addresses().is_empty()
        })
        .await;
        let port = network.listen_addresses()[0]
            .split('/')
            .nth(4)
            .map(str::parse);
        folder.port = port.expect("a port").expect("a number");
        Self {
            chain,
            writer,
            mempool,
            mempool_task,
            network,
            task,
            cancel,
            folder,
            spec,
        }
    }

    fn address(&self) -> String {
        self.network.listen_addresses()[0].clone()
    }

    fn tip(&self) -> (u32, BlockHash) {
        let tip = self.chain.reader().tip();
        (tip.height, tip.hash)
    }

    fn peers(&self) -> usize {
        self.network.status().borrow().peers
    }

    /// Mines a block with `outputs` worthless outputs of 34 bytes; `salt` makes blocks differ.
    async fn mine(&self, salt: u32, outputs: usize) -> Block {
        let reader = self.chain.reader();
        let tip = reader.tip();
        let height = tip.height + 1;
        let time = tip.header.time.max(tip.median_time_past) + 1;
        let mut script = height_push(height);
        script.push(4);
        script.extend_from_slice(&salt.to_le_bytes());
        let to_us = Script::p2pkh(&key().public_key().pubkey_hash());
        let mut coinbase = Transaction {
            version: 1,
            inputs: vec![TxIn {
                previous_output: OutPoint::NULL,
                script_sig: Script::from(script),
                sequence: u32::MAX,
            }],
            outputs: vec![TxOut {
                value: self.spec.subsidy_at(height).into(),
                script_pubkey: to_us.clone(),
            }],
            lock_time: 0,
        };
        coinbase.outputs.extend(vec![
            TxOut {
                value: UncheckedAmount(0),
                script_pubkey: to_us,
            };
            outputs
        ]);
        let mut block = Block {
            header: BlockHeader {
                version: BLOCK_VERSION,
                prev_block: tip.hash,
                merkle_root: MerkleRoot::default(),
                time,
                bits: required_bits(&self.spec, &reader.parent_context(), time).bits,
                nonce: 0,
            },
            transactions: vec![coinbase],
        };
        block.header.merkle_root = block.compute_merkle_root().0;
        let target = block.header.bits.to_target().expect("our own target");
        while !target.is_met_by(&block.header.hash()) {
            block.header.nonce += 1;
        }
        self.chain
            .submit_block(block.clone())
            .await
            .expect("our own block is valid");
        block
    }

    async fn mine_many(&self, salt: u32, count: u32) {
        for _ in 0..count {
            self.mine(salt, 0).await;
        }
    }

    /// Stops the network without a farewell, as a crash would, and the rest in order.
    async fn crash(self) -> Folder {
        self.task.abort();
        let _ = self.task.await;
        Self::end(self.chain, self.writer, self.mempool, self.mempool_task).await;
        self.folder
    }

    async fn stop(self) -> Folder {
        self.cancel.cancel();
        self.task
            .await
            .expect("the task does not panic")
            .expect("the task ends well");
        Self::end(self.chain, self.writer, self.mempool, self.mempool_task).await;
        self.folder
    }

    async fn end(
        chain: ChainHandle,
        writer: ChainWriter,
        mempool: MempoolHandle,
        mempool_task: MempoolTask,
    ) {
        mempool.stop().await;
        tokio::task::spawn_blocking(move || {
            let _ = mempool_task.join();
        })
        .await
        .expect("the mempool ends");
        chain.stop().await;
        drop((chain, mempool));
        tokio::task::spawn_blocking(move || writer.join())
            .await
            .expect("the chain does not panic")
            .expect("the chain ends well");
    }
}

/// Waits until `condition` holds, 20 s at most.
async fn until(what: &str, condition: impl Fn() -> bool) -> Duration {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(20), "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    start.elapsed()
}

async fn agree(what: &str, nodes: &[&Node]) -> Duration {
    until(what, || {
        nodes.iter().all(|node| node.tip() == nodes[0].tip())
    })
    .await
}

/// A signed payment of the coinbase of `block` to ourselves.
fn spend(block: &Block, fee: u64) -> Transaction {
    let coinbase = &block.transactions[0];
    let owner = key().public_key().pubkey_hash();
    let value = coinbase.outputs[0].value.0 - fee;
    let mut payment = Transaction {
        version: 1,
        inputs: vec![TxIn {
            previous_output: OutPoint {
                txid: coinbase.txid(),
                vout: 0,
            },
            script_sig: Script::default(),
            sequence: u32::MAX,
        }],
        outputs: vec![TxOut {
            value: Amount::from_units(value).expect("less than it was").into(),
            script_pubkey: Script::p2pkh(&owner),
        }],
        lock_time: 0,
    };
    sign_input(&mut payment, 0, &key());
    payment
}

/// `c` knows `b` only, `b` knows `a` only.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_joiner_catches_up_and_news_reach_everyone() {
    let a = Node::new(&[]).await;
    a.mine_many(0, 300).await;
    let b = Node::new(&[&a]).await;
    let c = Node::new(&[&b]).await;
    agree("the late joiners catch up", &[&a, &b, &c]).await;
    assert_eq!(c.tip().0, 300);

    for (salt, miner) in [&a, &b, &c].into_iter().enumerate() {
        let salt = u32::try_from(salt).expect("small");
        miner.mine(salt, 0).await;
        let time = agree("a small block arrives", &[&a, &b, &c]).await;
        assert!(time < Duration::from_secs(2), "small block after {time:?}");
        miner.mine(salt, 3_000).await;
        let time = agree("a block of 100 kB arrives", &[&a, &b, &c]).await;
        assert!(time < Duration::from_secs(2), "large block after {time:?}");
    }

    let mut coins = Vec::new();
    for salt in 0..20 {
        coins.push(c.mine(salt, 0).await);
    }
    c.mine(0, 0).await;
    agree("the coins arrive", &[&a, &b, &c]).await;
    let payments: Vec<_> = coins.iter().map(|block| spend(block, 1_000)).collect();
    let results = c
        .mempool
        .submit_many(payments.clone(), TxSource::Local)
        .await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    let start = Instant::now();
    loop {
        let there = a.mempool.ids().await;
        if payments
            .iter()
            .all(|payment| there.contains(&payment.txid()))
        {
            break;
        }
        assert!(
            start.elapsed() < Duration::from_secs(5),
            "the payments arrive"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    for peer in b.network.peers().await {
        assert!(peer.score < 1.0 && peer.gossip_score >= 0.0, "{peer:?}");
    }
    for node in [a, b, c] {
        node.stop().await;
    }
}

/// ```text
/// genesis ── 10 common ── 5  (a, b)
///                     └── 25 (c, d)     then b and c meet
/// ```
#[tokio::test(flavor = "multi_thread")]
async fn p17_two_partitions_heal_and_agree_on_the_most_work() {
    let a = Node::new(&[]).await;
    let b = Node::new(&[&a]).await;
    let c = Node::new(&[]).await;
    let d = Node::new(&[&c]).await;
    a.mine_many(1, 15).await;
    c.mine_many(1, 10).await;
    c.mine_many(2, 25).await;
    agree("one half", &[&a, &b]).await;
    agree("other half", &[&c, &d]).await;
    let best = d.tip();
    b.network.add_peer(&c.address()).await.expect("an address");
    let time = agree("all halves agree", &[&a, &b, &c, &d]).await;
    assert!(time < Duration::from_secs(10), "healed after {time:?}");
    assert_eq!(a.tip(), best);
    a.mine(9, 0).await;
    agree("news cross the former border", &[&a, &b, &c, &d]).await;
    for node in [a, b, c, d] {
        node.stop().await;
    }
}

/// Trap 4: a node that comes back with the same key must be heard.
#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_node_comes_back_into_the_gossip() {
    let a = Node::new(&[]).await;
    let b = Node::new(&[&a]).await;
    until("they meet", || a.peers() == 1 && b.peers() == 1).await;
    a.mine_many(0, 5).await;
    agree("before", &[&a, &b]).await;
    let folder = b.crash().await;
    a.mine_many(1, 5).await;
    let b = Node::start(spec(), Some(folder), &[&a]).await;
    agree("it catches up", &[&a, &b]).await;
    for salt in 0..3 {
        a.mine(salt, 0).await;
        let time = agree("it hears", &[&a, &b]).await;
        assert!(time < Duration::from_secs(2), "heard after {time:?}");
        b.mine(salt, 0).await;
        let time = agree("it is heard", &[&a, &b]).await;
        assert!(time < Duration::from_secs(2), "was heard after {time:?}");
    }
    a.stop().await;
    b.stop().await;
}

/// Addresses outlive restarts: nobody needs to be told twice.
#[tokio::test(flavor = "multi_thread")]
async fn known_peers_are_dialled_after_a_restart() {
    let a = Node::new(&[]).await;
    let b = Node::new(&[&a]).await;
    until("they meet", || a.peers() == 1 && b.peers() == 1).await;
    let folder = b.stop().await;
    until("it is gone", || a.peers() == 0).await;
    let b = Node::start(spec(), Some(folder), &[]).await;
    until("they meet again", || a.peers() == 1 && b.peers() == 1).await;
    a.stop().await;
    b.stop().await;
}

/// P16: another network is cut off at the handshake.
#[tokio::test(flavor = "multi_thread")]
async fn p16_nodes_of_two_networks_do_not_mix() {
    let a = Node::new(&[]).await;
    let other = ChainSpec {
        name: "another".into(),
        halving_interval: 151,
        ..spec()
    };
    let b = Node::start(other, None, &[&a]).await;
    let c = Node::new(&[&a]).await;
    until("those of one network meet", || {
        a.peers() == 1 && c.peers() == 1
    })
    .await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!((a.peers(), b.peers(), c.peers()), (1, 0, 1));
    for node in [a, b, c] {
        node.stop().await;
    }
}

/// What was published while nobody was there is published again.
#[tokio::test(flavor = "multi_thread")]
async fn a_payment_made_alone_arrives_when_somebody_comes() {
    let a = Node::new(&[]).await;
    let coin = a.mine(0, 0).await;
    a.mine(0, 0).await;
    let payment = spend(&coin, 1_000);
    a.mempool
        .submit(payment.clone(), TxSource::Local)
        .await
        .expect("a valid payment");
    tokio::time::sleep(Duration::from_millis(500)).await;
    let b = Node::new(&[&a]).await;
    agree("blocks", &[&a, &b]).await;
    let start = Instant::now();
    while !b.mempool.contains(payment.txid()).await {
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "the payment arrives"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    a.stop().await;
    b.stop().await;
}

/// Trap 1: with too little headroom a burst of messages near the limit kills the link for good.
#[tokio::test(flavor = "multi_thread")]
async fn a_burst_of_large_messages_leaves_the_gossip_alive() {
    let a = Node::new(&[]).await;
    let b = Node::new(&[&a]).await;
    a.mine(0, 0).await;
    agree("they meet", &[&a, &b]).await;
    for salt in 0..60 {
        // About 60,000 bytes: whole in gossip, just below its limit.
        a.mine(salt, 1_760).await;
    }
    agree("the burst arrives", &[&a, &b]).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    for salt in 0..3 {
        a.mine(salt, 0).await;
        let time = agree("gossip is alive", &[&a, &b]).await;
        assert!(time < Duration::from_secs(1), "after {time:?}");
    }
    a.stop().await;
    b.stop().await;
}

/// Headers with more work whose bodies nobody has: they silenced a node, and stopped its miner, for ever.
///
/// ```text
/// genesis ── 3            (a, b)
///        └── 12 headers   (a; the node that had the bodies is gone)
/// ```
#[tokio::test(flavor = "multi_thread")]
async fn withheld_bodies_do_not_silence_a_node() {
    let a = Node::new(&[]).await;
    let b = Node::new(&[&a]).await;
    a.mine_many(1, 3).await;
    agree("before", &[&a, &b]).await;

    let gone = Node::new(&[]).await;
    gone.mine_many(2, 12).await;
    let headers = gone
        .chain
        .reader()
        .headers_after(&[], &BlockHash::ZERO, 100);
    gone.stop().await;
    a.chain.submit_headers(headers).await.expect("good headers");
    assert_eq!(a.chain.reader().best_header().height, 12);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let sync = a.network.status().borrow().sync;
    assert_eq!(sync, SyncState::Synced { height: 3 });

    for salt in 3..6 {
        a.mine(salt, 0).await;
        let time = agree("its blocks are announced", &[&a, &b]).await;
        assert!(time < Duration::from_secs(2), "after {time:?}");
        b.mine(salt, 0).await;
        agree("and it takes those of others", &[&a, &b]).await;
    }
    a.stop().await;
    b.stop().await;
}

/// A port that is taken is told as such, so that the caller can step over it.
#[tokio::test(flavor = "multi_thread")]
async fn a_busy_port_is_an_error_that_says_so() {
    let a = Node::new(&[]).await;
    let dir = TempDir::new().expect("a temporary folder can be made");
    let listen = format!("127.0.0.1:{}", a.folder.port);
    let config = NetworkConfig {
        mdns: false,
        ..NetworkConfig::new(dir.path(), vec![listen.parse().expect("an address")])
    };
    let result = network::spawn(
        config,
        a.chain.clone(),
        a.mempool.clone(),
        CancellationToken::new(),
    );
    assert!(matches!(result, Err(NetworkError::PortBusy { .. })));
    a.stop().await;
}
