//! Real nodes (chain, mempool, network) on loopback, with mDNS off, in this process. Shared by tests and benches.

use std::{
    net::SocketAddr,
    path::PathBuf,
    time::{Duration, Instant},
};

use quarry::{
    chain::{self, ChainHandle, ChainOptions, ChainWriter, system_clock},
    consensus::{BLOCK_VERSION, ChainSpec, height_push, required_bits},
    keys::{SecretKey, sign_input},
    mempool::{self, MempoolHandle, MempoolTask, Policy},
    network::{self, NetworkConfig, NetworkError, NetworkHandle},
    primitives::{
        Block, BlockHash, BlockHeader, MerkleRoot, OutPoint, Script, Transaction, TxIn, TxOut,
        UncheckedAmount,
    },
};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Regtest with coinbases that can be spent in the next block.
pub fn spec() -> ChainSpec {
    ChainSpec {
        name: "loopback".into(),
        coinbase_maturity: 1,
        target_spacing: 5,
        ..ChainSpec::regtest()
    }
}

pub fn key() -> SecretKey {
    SecretKey::from_bytes(&[7; 32]).expect("a small number is a key")
}

/// A node's folder, kept over restarts.
pub struct Folder {
    pub dir: TempDir,
    /// 0 until the first start has chosen one.
    pub port: u16,
}

pub struct Node {
    pub chain: ChainHandle,
    pub writer: ChainWriter,
    pub mempool: MempoolHandle,
    pub mempool_task: MempoolTask,
    pub network: NetworkHandle,
    pub task: JoinHandle<Result<(), NetworkError>>,
    pub cancel: CancellationToken,
    pub folder: Folder,
    pub spec: ChainSpec,
}

impl Node {
    pub async fn new(peers: &[&Self]) -> Self {
        Self::start(spec(), None, peers).await
    }

    pub async fn start(spec: ChainSpec, folder: Option<Folder>, peers: &[&Self]) -> Self {
        let peers = peers.iter().map(|peer| peer.address()).collect();
        Self::start_with(spec, folder, |config| config.peers = peers).await
    }

    /// With settings of the network changed by `change`.
    pub async fn start_with(
        spec: ChainSpec,
        folder: Option<Folder>,
        change: impl FnOnce(&mut NetworkConfig),
    ) -> Self {
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
        let listen = vec![listen.parse().expect("an address")];
        let mut config = NetworkConfig::new(folder.dir.path(), listen);
        config.mdns = false;
        // The links are those that a test draws.
        config.ask_addresses = false;
        change(&mut config);
        let places = config.listen.len();
        let cancel = CancellationToken::new();
        let (network, task) =
            network::spawn(config, chain.clone(), mempool.clone(), cancel.clone())
                .expect("the network starts");
        until("the node listens", || {
            network.listen_addresses().len() == places
        })
        .await;
        let port = on_loopback(&network).split('/').nth(4).map(str::parse);
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

    pub fn address(&self) -> String {
        on_loopback(&self.network)
    }

    /// Where it listens on loopback.
    pub fn socket(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.folder.port))
    }

    pub fn tip(&self) -> (u32, BlockHash) {
        let tip = self.chain.reader().tip();
        (tip.height, tip.hash)
    }

    pub fn peers(&self) -> usize {
        self.network.status().borrow().peers
    }

    /// What the next block pays.
    pub fn subsidy(&self) -> u64 {
        let height = self.chain.reader().tip().height + 1;
        self.spec.subsidy_at(height).units()
    }

    /// The next block, solved: its coinbase has `outputs`, behind it come `transactions`; `salt` makes blocks differ.
    pub fn next_block(
        &self,
        salt: u32,
        outputs: Vec<TxOut>,
        transactions: Vec<Transaction>,
    ) -> Block {
        let reader = self.chain.reader();
        let tip = reader.tip();
        let time = tip.header.time.max(tip.median_time_past) + 1;
        let mut script = height_push(tip.height + 1);
        script.push(4);
        script.extend_from_slice(&salt.to_le_bytes());
        let coinbase = Transaction {
            version: 1,
            inputs: vec![TxIn {
                previous_output: OutPoint::NULL,
                script_sig: Script::from(script),
                sequence: u32::MAX,
            }],
            outputs,
            lock_time: 0,
        };
        let mut block = Block {
            header: BlockHeader {
                version: BLOCK_VERSION,
                prev_block: tip.hash,
                merkle_root: MerkleRoot::default(),
                time,
                bits: required_bits(&self.spec, &reader.parent_context(), time).bits,
                nonce: 0,
            },
            transactions: [vec![coinbase], transactions].concat(),
        };
        block.header.merkle_root = block.compute_merkle_root().0;
        solve(&mut block.header);
        block
    }

    pub async fn submit(&self, block: &Block) {
        self.chain
            .submit_block(block.clone())
            .await
            .expect("our own block is valid");
    }

    /// Mines a block with `outputs` worthless outputs of 34 bytes.
    pub async fn mine(&self, salt: u32, outputs: usize) -> Block {
        let mut all = vec![to_us(self.subsidy())];
        all.extend(vec![to_us(0); outputs]);
        let block = self.next_block(salt, all, Vec::new());
        self.submit(&block).await;
        block
    }

    /// Mines a block that makes `count` coins, and one that lets them be spent.
    pub async fn mine_coins(&self, salt: u32, count: usize) -> Vec<OwnCoin> {
        let value = self.subsidy() / count as u64;
        let block = self.next_block(salt, vec![to_us(value); count], Vec::new());
        self.submit(&block).await;
        self.mine(salt, 0).await;
        let txid = block.transactions[0].txid();
        let coin = |vout| OwnCoin {
            outpoint: OutPoint { txid, vout },
            value,
        };
        (0..).map(coin).take(count).collect()
    }

    /// Mines a block of `transactions`.
    pub async fn mine_payments(&self, salt: u32, transactions: Vec<Transaction>) -> Block {
        let block = self.next_block(salt, vec![to_us(self.subsidy())], transactions);
        self.submit(&block).await;
        block
    }

    pub async fn mine_many(&self, salt: u32, count: u32) {
        for _ in 0..count {
            self.mine(salt, 0).await;
        }
    }

    /// Stops the network without a farewell, as a crash would, and the rest in order.
    pub async fn crash(self) -> Folder {
        self.task.abort();
        let _ = self.task.await;
        Self::end(self.chain, self.writer, self.mempool, self.mempool_task).await;
        self.folder
    }

    pub async fn stop(self) -> Folder {
        self.cancel.cancel();
        self.task
            .await
            .expect("the task does not panic")
            .expect("the task ends well");
        Self::end(self.chain, self.writer, self.mempool, self.mempool_task).await;
        self.folder
    }

    pub async fn end(
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

/// No wait takes longer. Generous, since machines that run tests are busy; nothing is decided by it.
pub const LIMIT: Duration = Duration::from_secs(60);

/// Waits until `condition` holds.
pub async fn until(what: &str, condition: impl Fn() -> bool) -> Duration {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < LIMIT, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    start.elapsed()
}

pub async fn agree(what: &str, nodes: &[&Node]) -> Duration {
    until(what, || {
        nodes.iter().all(|node| node.tip() == nodes[0].tip())
    })
    .await
}

/// The address on loopback; there may be others.
fn on_loopback(network: &NetworkHandle) -> String {
    let mut all = network.listen_addresses().into_iter();
    let address = all.find(|address| address.starts_with("/ip4/127.0.0.1/"));
    address.expect("the node listens on loopback")
}

/// Finds the nonce of a header.
pub fn solve(header: &mut BlockHeader) {
    let target = header.bits.to_target().expect("our own target");
    while !target.is_met_by(&header.hash()) {
        header.nonce += 1;
    }
}

/// An output to ourselves.
pub fn to_us(value: u64) -> TxOut {
    TxOut {
        value: UncheckedAmount(value),
        script_pubkey: Script::p2pkh(&key().public_key().pubkey_hash()),
    }
}

/// A coin of ours.
#[derive(Debug, Clone, Copy)]
pub struct OwnCoin {
    pub outpoint: OutPoint,
    pub value: u64,
}

impl OwnCoin {
    /// The first output of a transaction.
    pub fn first_of(transaction: &Transaction) -> Self {
        Self {
            outpoint: OutPoint {
                txid: transaction.txid(),
                vout: 0,
            },
            value: transaction.outputs[0].value.0,
        }
    }
}

/// A signed payment of `coin` to ourselves, 191 or 192 bytes.
pub fn pay(coin: OwnCoin, fee: u64) -> Transaction {
    let mut payment = Transaction {
        version: 1,
        inputs: vec![TxIn {
            previous_output: coin.outpoint,
            script_sig: Script::default(),
            sequence: u32::MAX,
        }],
        outputs: vec![to_us(coin.value - fee)],
        lock_time: 0,
    };
    sign_input(&mut payment, 0, &key());
    payment
}

/// A signed payment of the coinbase of `block` to ourselves.
pub fn spend(block: &Block, fee: u64) -> Transaction {
    pay(OwnCoin::first_of(&block.transactions[0]), fee)
}

/// Waits until the mempools of all nodes hold `count` transactions.
pub async fn all_hold(what: &str, count: usize, nodes: &[&Node]) {
    let start = Instant::now();
    for node in nodes {
        while node
            .mempool
            .info()
            .await
            .is_none_or(|info| info.count != count)
        {
            assert!(start.elapsed() < LIMIT, "in vain: {what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
