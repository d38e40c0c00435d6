//! Chains that tests begin with, made once: old blocks with payments in a file, and a wallet with coins to spend.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use quarry::chain::{self, ChainHandle, ChainOptions, Clock};
use quarry::consensus::ChainSpec;
use quarry::keys::{Address, SecretKey, sign_input};
use quarry::mempool::{self, MempoolHandle, Policy, TxSource};
use quarry::miner::generate_blocking;
use quarry::node::write_record;
use quarry::primitives::{
    Amount, Block, Encode, OutPoint, PubkeyHash, SEQUENCE_FINAL, Script, Transaction, TxIn, TxOut,
};
use tempfile::TempDir;

use crate::support::Folder;

/// Blocks of the old chain.
pub const OLD_BLOCKS: u32 = 900;
/// From here on each block of it holds a payment.
const MATURE: u32 = 101;
/// Its first block's time: in 2011, so that importing it is catching up.
const OLD_TIME: u64 = 1_300_000_000;
/// Blocks that the wallet is given.
pub const WALLET_BLOCKS: u32 = 130;

/// A block file of [`OLD_BLOCKS`] blocks, and a data folder that holds them.
pub struct OldChain {
    pub file: PathBuf,
    pub folder: Folder,
    /// The blocks, the first block first.
    pub blocks: Vec<Block>,
    /// Their hashes.
    pub hashes: Vec<String>,
    _temporary: TempDir,
}

/// The old chain.
pub fn old_chain() -> &'static OldChain {
    static MADE: OnceLock<OldChain> = OnceLock::new();
    MADE.get_or_init(|| {
        let temporary = TempDir::new().expect("a temporary folder");
        let folder = Folder::new();
        let blocks = make_old_chain(&folder);
        let path = temporary.path().join("blocks.dat");
        let mut file = BufWriter::new(File::create(&path).expect("a file"));
        for block in &blocks {
            let magic = ChainSpec::regtest().magic();
            write_record(&mut file, magic, &block.to_bytes()).expect("written");
        }
        file.flush().expect("written");
        OldChain {
            file: path,
            folder,
            hashes: blocks
                .iter()
                .map(|block| block.hash().to_string())
                .collect(),
            blocks,
            _temporary: temporary,
        }
    })
}

/// A data folder with a wallet, its first address, and [`WALLET_BLOCKS`] blocks that pay it.
pub struct Template {
    pub folder: Folder,
    pub address: String,
}

/// The folder with the wallet.
pub fn wallet_template() -> &'static Template {
    static MADE: OnceLock<Template> = OnceLock::new();
    MADE.get_or_init(|| {
        let folder = Folder::new();
        let said = folder.ok(&["create-wallet"]);
        let address = said.strip_prefix("New address: ").expect("an address");
        let version = ChainSpec::regtest().address_version;
        let hash = Address::parse(address, version)
            .expect("an address of this network")
            .pubkey_hash();
        let now = Arc::new(AtomicU64::new(OLD_TIME));
        with_chain(&folder, &now, |chain, clock| {
            mine(chain, None, hash, WALLET_BLOCKS, clock);
        });
        Template {
            address: address.to_owned(),
            folder,
        }
    })
}

fn make_old_chain(folder: &Folder) -> Vec<Block> {
    let now = Arc::new(AtomicU64::new(OLD_TIME));
    let key = SecretKey::from_bytes(&[7; 32]).expect("a key");
    let owner = key.public_key().pubkey_hash();
    with_chain(folder, &now, |chain, clock| {
        let (pool, task) = mempool::spawn(chain.clone(), Policy::default(), Arc::clone(clock))
            .expect("the mempool starts");
        let mut blocks = vec![ChainSpec::regtest().genesis_block()];
        for height in 1..OLD_BLOCKS {
            now.fetch_add(600, Ordering::Relaxed);
            if height >= MATURE {
                let spent = &blocks[(height - MATURE + 1) as usize];
                pool.submit_blocking(payment(spent, &key), TxSource::Local)
                    .expect("a payment of a mature coin");
            }
            mine(chain, Some(&pool), owner, 1, clock);
            let reader = chain.reader();
            let block = reader.block(&reader.tip().hash).expect("the disk works");
            blocks.push(block.expect("the tip is stored"));
        }
        pool.stop_blocking();
        task.join().expect("the mempool ends well");
        blocks
    })
}

/// Splits the coin of a block's coinbase in two.
fn payment(block: &Block, key: &SecretKey) -> Transaction {
    let coinbase = &block.transactions[0];
    let owner = key.public_key().pubkey_hash();
    let output = |units| TxOut {
        value: Amount::from_units(units).expect("an amount").into(),
        script_pubkey: Script::p2pkh(&owner),
    };
    let mut tx = Transaction {
        version: 1,
        inputs: vec![TxIn {
            previous_output: OutPoint {
                txid: coinbase.txid(),
                vout: 0,
            },
            script_sig: Script::default(),
            sequence: SEQUENCE_FINAL,
        }],
        // The subsidy falls to 12.5 coins and below at the heights used here; the rest of what there is becomes fee.
        outputs: vec![output(10_000_000), output(20_000_000)],
        lock_time: 0,
    };
    sign_input(&mut tx, 0, key);
    tx
}

fn mine(
    chain: &ChainHandle,
    pool: Option<&MempoolHandle>,
    payout: PubkeyHash,
    count: u32,
    clock: &Clock,
) {
    let never = AtomicBool::new(false);
    generate_blocking(chain, pool, payout, count, clock, &never).expect("blocks are found");
}

/// Works with the chain of a folder in this process, under a clock of its own.
fn with_chain<T>(
    folder: &Folder,
    now: &Arc<AtomicU64>,
    work: impl FnOnce(&ChainHandle, &Clock) -> T,
) -> T {
    let clock: Clock = {
        let now = Arc::clone(now);
        Arc::new(move || now.load(Ordering::Relaxed))
    };
    let options = ChainOptions {
        sync_writes: false,
        clock: Arc::clone(&clock),
    };
    let (chain, writer) =
        chain::open(&folder.database(), ChainSpec::regtest(), options).expect("a new chain");
    let result = work(&chain, &clock);
    chain.stop_blocking();
    drop(chain);
    writer.join().expect("the chain ends well");
    result
}
