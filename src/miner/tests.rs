//! Mining on a real chain: every template is valid, and the threads find blocks and end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::*;
use crate::chain::testing::{TestChain, coinbase_coin, key_hash, pay};
use crate::chain::{BlockAccepted, Clock};
use crate::consensus::ChainSpec;
use crate::mempool::{self, MempoolHandle, MempoolTask, Policy, TxSource};
use crate::primitives::{Block, COIN, CompactTarget, Encode, OutPoint, Transaction};

/// How long a test waits for what must come; only a broken build needs that long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A miner of this many threads that mines for nobody.
fn config(threads: usize) -> MinerConfig {
    MinerConfig {
        threads: ThreadCount::new(threads).unwrap(),
        kernel: None,
        share: CpuShare::WHOLE,
        niceness: Niceness::default(),
        payout: None,
        enabled: true,
    }
}

struct Node {
    mempool: Option<(MempoolHandle, MempoolTask)>,
    clock: Clock,
    chain: TestChain,
}

impl Node {
    fn new() -> Self {
        Self::with_spec(ChainSpec {
            name: "unit".into(),
            coinbase_maturity: 1,
            ..ChainSpec::regtest()
        })
    }

    fn with_spec(spec: ChainSpec) -> Self {
        let chain = TestChain::with_spec(spec);
        let time = Arc::clone(&chain.clock);
        let clock: Clock = Arc::new(move || time.load(Ordering::Relaxed));
        let mempool = mempool::spawn(
            chain.handle().clone(),
            Policy::default(),
            Arc::clone(&clock),
        )
        .unwrap();
        Self {
            mempool: Some(mempool),
            clock,
            chain,
        }
    }

    fn mempool(&self) -> &MempoolHandle {
        &self.mempool.as_ref().unwrap().0
    }

    fn generate(&self, count: u32) -> Vec<Block> {
        let cancel = AtomicBool::new(false);
        let mempool = Some(self.mempool());
        let hashes = generate_blocking(
            self.chain.handle(),
            mempool,
            key_hash(1),
            count,
            &self.clock,
            &cancel,
        )
        .unwrap();
        hashes
            .iter()
            .map(|hash| self.chain.reader().block(hash).unwrap().unwrap())
            .collect()
    }

    fn take(&self, tx: &Transaction) {
        self.mempool()
            .submit_blocking(tx.clone(), TxSource::Local)
            .unwrap();
    }

    /// Solves the template on the tip and hands it in.
    fn mine_template(&self) -> Block {
        let now = (self.clock)();
        let template =
            build_template_blocking(self.chain.reader(), Some(self.mempool()), key_hash(4), now)
                .unwrap();
        let search = Search::new(&template.header(7), template.target());
        let nonce = search
            .run(SearchRange {
                first: 0,
                count: u32::MAX,
            })
            .unwrap();
        let block = template.block(7, nonce);
        let height = template.height();
        assert_eq!(
            self.chain.submit(&block),
            Ok(BlockAccepted::NewTip { height })
        );
        block
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some((handle, task)) = self.mempool.take() {
            handle.stop_blocking();
            task.join().unwrap();
        }
    }
}

#[test]
fn generated_blocks_take_what_waits_and_its_fees() {
    let node = Node::new();
    let blocks = node.generate(2);
    let parent = pay(1, &[coinbase_coin(&blocks[0])], &[(2, 49 * COIN)]);
    let child = pay(
        2,
        &[OutPoint {
            txid: parent.txid(),
            vout: 0,
        }],
        &[(3, 47 * COIN)],
    );
    node.take(&parent);
    node.take(&child);
    let found = node.generate(3);
    assert_eq!(found[0].transactions[1..], [parent, child]);
    assert_eq!(found[0].transactions[0].outputs[0].value.0, 53 * COIN);
    assert!(node.mempool().ids_blocking().is_empty());
    assert_eq!(node.chain.reader().tip().height, 5);
}

// Heights around each length of BIP34's push, and the halving of regtest, all by the rules of the chain.
#[test]
fn templates_are_valid_at_every_height() {
    let node = Node::with_spec(ChainSpec::regtest());
    assert_eq!(node.generate(301).len(), 301);
    assert_eq!(node.chain.reader().tip().height, 301);
}

// B26: a pool that is larger than a block, by bytes and by signature operations.
#[test]
fn b26_templates_fill_a_block_and_stay_within_its_limits() {
    let limits = |max_block_size, max_block_sigops| ChainSpec {
        name: "unit".into(),
        coinbase_maturity: 1,
        max_block_size,
        max_block_sigops,
        ..ChainSpec::regtest()
    };
    for (spec, outputs) in [
        (limits(3000, 20_000), 1),
        (limits(1_000_000, 40), 3),
        // Each as many signature operations as policy takes, and 85 kB.
        (limits(1_000_000, 20_000), 2_500),
    ] {
        let node = Node::with_spec(spec.clone());
        let blocks = node.generate(21);
        for block in &blocks[..20] {
            let outputs = vec![(2, 40 * COIN / outputs as u64); outputs];
            node.take(&pay(1, &[coinbase_coin(block)], &outputs));
        }
        let mut left = 20;
        while left > 0 {
            let block = node.mine_template();
            let taken = block.transactions.len() - 1;
            let sigops: usize = block.transactions.iter().map(|tx| tx.outputs.len()).sum();
            let size = block.encoded_len();
            assert!(
                size <= spec.max_block_size as usize && sigops <= spec.max_block_sigops as usize
            );
            let largest = block
                .transactions
                .iter()
                .map(Encode::encoded_len)
                .max()
                .unwrap();
            let full = size + largest + 9 > spec.max_block_size as usize
                || sigops + outputs > spec.max_block_sigops as usize;
            assert!(
                full || taken == left,
                "{taken} of {left} in {size} bytes with {sigops} signature operations"
            );
            left -= taken;
        }
    }
}

/// The chosen transactions, in their order, and no others; their fees go to nobody.
#[test]
fn a_block_of_chosen_transactions_holds_them_alone() {
    let node = Node::new();
    let blocks = node.generate(3);
    let [first, second, third] =
        [0, 1, 2].map(|at| pay(1, &[coinbase_coin(&blocks[at])], &[(2, 49 * COIN)]));
    let child = pay(
        2,
        &[OutPoint {
            txid: second.txid(),
            vout: 0,
        }],
        &[(3, 49 * COIN)],
    );
    node.take(&first);
    node.take(&second);
    let never = AtomicBool::new(false);
    let make = |transactions: &[&Transaction]| {
        let transactions = transactions.iter().map(|tx| Arc::new((*tx).clone()));
        generate_block_blocking(
            node.chain.handle(),
            transactions.collect(),
            key_hash(5),
            &node.clock,
            &never,
        )
    };
    let before = node.chain.reader().tip();
    let block = make(&[&third, &second, &child]).unwrap();
    assert_eq!(node.chain.reader().tip(), before, "it was handed to nobody");
    assert_eq!(
        block.transactions[1..],
        [third.clone(), second.clone(), child.clone()]
    );
    let coinbase = &block.transactions[0].outputs[0];
    assert_eq!(coinbase.value.0, 50 * COIN);
    assert_eq!(coinbase.script_pubkey.as_p2pkh(), Some(key_hash(5)));

    let refused = make(&[&child, &second]).unwrap_err();
    let GenerateError::Proposal { reason, .. } = &refused else {
        panic!("{refused}")
    };
    assert_eq!(*reason, "bad-txns-inputs-missingorspent");
    assert_eq!(node.chain.reader().tip(), before);

    assert_eq!(
        node.chain.submit(&block),
        Ok(BlockAccepted::NewTip { height: 4 })
    );
    assert_eq!(node.mempool().ids_blocking(), [first.txid()]);
}

#[test]
fn generating_can_be_cancelled() {
    let node = Node::new();
    let cancel = AtomicBool::new(true);
    let result = generate_blocking(
        node.chain.handle(),
        None,
        key_hash(1),
        5,
        &node.clock,
        &cancel,
    );
    assert_eq!(result, Err(GenerateError::Cancelled { found: Vec::new() }));
    let result = generate_block_blocking(
        node.chain.handle(),
        Vec::new(),
        key_hash(1),
        &node.clock,
        &cancel,
    );
    assert_eq!(result, Err(GenerateError::Cancelled { found: Vec::new() }));
}

#[test]
fn threads_mine_pause_and_end() {
    let node = Node::new();
    let config = MinerConfig {
        payout: Some(key_hash(9)),
        enabled: false,
        ..config(2)
    };
    let chain = node.chain.handle().clone();
    let (miner, task) = spawn(
        config,
        chain,
        node.mempool().clone(),
        Arc::clone(&node.clock),
    )
    .unwrap();
    assert!(!miner.status().enabled && miner.status().blocks_found == 0);
    miner.set_enabled(true);
    let begin = Instant::now();
    while miner.status().blocks_found < 5 && begin.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(miner.status().blocks_found >= 5);
    miner.set_enabled(false);
    miner.stop();
    task.join().unwrap();
    let tip = node.chain.reader().tip();
    assert!(u64::from(tip.height) >= miner.status().blocks_found);
    let block = node.chain.reader().block(&tip.hash).unwrap().unwrap();
    assert_eq!(
        block.transactions[0].outputs[0].script_pubkey.as_p2pkh(),
        Some(key_hash(9))
    );
    assert!(!miner.status().running);
}

/// A chain on which nobody finds a block, of 2^72 hashes each: the work stays, and so do the numbers.
fn hopeless() -> Node {
    Node::with_spec(ChainSpec {
        name: "unit".into(),
        pow_limit: CompactTarget(0x1800_ffff),
        ..ChainSpec::regtest()
    })
}

fn wait_until(what: &str, done: impl Fn() -> bool) {
    let begin = Instant::now();
    while !done() {
        assert!(begin.elapsed() < PATIENCE, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

// The clock goes on: the search gets a header with the new time, in which all nonces are unsearched.
#[test]
fn work_follows_the_clock_and_tells_how_long_a_block_takes() {
    let node = hopeless();
    let config = MinerConfig {
        payout: Some(key_hash(9)),
        share: CpuShare::new(0.5).unwrap(),
        ..config(2)
    };
    let (miner, task) = spawn(
        config,
        node.chain.handle().clone(),
        node.mempool().clone(),
        Arc::clone(&node.clock),
    )
    .unwrap();
    let first = miner.board.wait(None).unwrap();
    let now = (node.clock)();
    assert_eq!(u64::from(first.template.time()), now);
    node.chain.clock.store(now + 7, Ordering::Relaxed);
    let latest = || miner.board.wait(None).unwrap().template;
    wait_until("the new time", || u64::from(latest().time()) == now + 7);
    assert_eq!(latest().parent(), first.template.parent());

    wait_until("a hash rate", || miner.status().hash_rate > 0.0);
    let status = miner.status();
    let work = first.template.target().work().to_f64();
    let expected = Duration::from_secs_f64(work / status.hash_rate);
    assert_eq!(status.expected_time, Some(expected));
    assert_eq!((status.blocks_found, status.stale_blocks), (0, 0));
    miner.set_enabled(false);
    wait_until("rest", || miner.status().hash_rate == 0.0);
    assert_eq!(miner.status().expected_time, None);
    miner.stop();
    task.join().unwrap();
}

// A block is found, but the tip has passed: it is counted as stale and handed to nobody.
#[test]
fn a_block_for_a_tip_that_has_passed_is_stale() {
    let node = Node::new();
    let (miner, task) = spawn(
        config(1),
        node.chain.handle().clone(),
        node.mempool().clone(),
        Arc::clone(&node.clock),
    )
    .unwrap();
    let reader = node.chain.reader();
    let stale = build_template_blocking(reader, None, key_hash(1), 0).unwrap();
    node.generate(1);
    // Without a payee the miner has no work of its own; the threads take what is on the board.
    miner.board.post(Arc::new(stale));
    wait_until("a stale block", || miner.status().stale_blocks == 1);
    assert_eq!(miner.status().blocks_found, 0);
    assert_eq!(reader.tip().height, 1);
    assert_eq!(reader.header_count(), 2);
    miner.stop();
    task.join().unwrap();
}

/// The niceness of each thread of this process, by name.
#[cfg(target_os = "linux")]
fn niceness_of_threads() -> Vec<(String, i32)> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let stats = tasks.filter_map(|task| {
        // A thread may have ended meanwhile.
        std::fs::read_to_string(task.ok()?.path().join("stat")).ok()
    });
    let fields = stats.map(|stat| {
        // The name is in parentheses; of the fields after it, niceness is the seventeenth (proc(5)).
        let (front, rest) = stat.rsplit_once(')').unwrap();
        let name = front.split_once('(').unwrap().1.to_owned();
        let niceness = rest.split_whitespace().nth(16).unwrap();
        (name, niceness.parse().unwrap())
    });
    fields.collect()
}

// The searching threads alone yield, not the one that hands their blocks in, nor anything else.
#[cfg(target_os = "linux")]
#[test]
fn only_the_searching_threads_are_nice() {
    let node = hopeless();
    let config = MinerConfig {
        payout: Some(key_hash(9)),
        niceness: Niceness::new(13).unwrap(),
        ..config(2)
    };
    let (miner, task) = spawn(
        config,
        node.chain.handle().clone(),
        node.mempool().clone(),
        Arc::clone(&node.clock),
    )
    .unwrap();
    let nice = || {
        let mut threads = niceness_of_threads();
        threads.retain(|(_, niceness)| *niceness == 13);
        threads.sort();
        threads
    };
    let expected = [("miner-0".to_owned(), 13), ("miner-1".to_owned(), 13)];
    wait_until("two nice threads", || nice() == expected);
    miner.stop();
    task.join().unwrap();
}

// Two miners on one chain search different headers even where they pay the same key.
#[test]
fn a_block_of_another_miner_moves_the_search_on() {
    let node = Node::new();
    let config = MinerConfig {
        payout: Some(key_hash(9)),
        ..config(1)
    };
    let start = || {
        let chain = node.chain.handle().clone();
        spawn(
            config,
            chain,
            node.mempool().clone(),
            Arc::clone(&node.clock),
        )
        .unwrap()
    };
    let miners = [start(), start()];
    let begin = Instant::now();
    let found = |miner: &MinerHandle| miner.status().blocks_found;
    while !miners.iter().all(|(miner, _)| found(miner) >= 2) && begin.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(5));
    }
    for (miner, task) in miners {
        assert!(found(&miner) >= 2);
        miner.stop();
        task.join().unwrap();
    }
}

// S2: a panic of a searching thread ends the others, and their owner learns of it.
#[test]
fn s02_a_panic_reaches_whoever_joins() {
    let node = Node::new();
    let chain = node.chain.handle().clone();
    let (miner, task) = spawn(
        config(2),
        chain,
        node.mempool().clone(),
        Arc::clone(&node.clock),
    )
    .unwrap();
    let template = build_template_blocking(node.chain.reader(), None, key_hash(1), 0).unwrap();
    miner.board.post(Arc::new(template.broken()));
    assert_eq!(task.join(), Err(MinerError::WorkerPanicked));
}
