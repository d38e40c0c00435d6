//! The state of a connection, against a miner written a second time: it knows the protocol from its description alone.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::difficulty::Difficulty;
use super::jobs::Work;
use super::limits::{IDLE_TIME, MAX_JOBS, MAX_NAMES, MAX_REFUSALS, UNAUTHORIZED_TIME};
use super::payout::Payouts;
use super::session::{Event, Now, Reaction, Session};
use crate::consensus::{ChainSpec, ParentContext, check_block_in_isolation};
use crate::keys::Address;
use crate::miner::template::Template;
use crate::primitives::{Block, BlockHash, CompactTarget, PubkeyHash, Script, sha256d};

const MINER: PubkeyHash = PubkeyHash::from_bytes([5; 20]);
const NODE: PubkeyHash = PubkeyHash::from_bytes([6; 20]);

fn parent(spec: &ChainSpec) -> ParentContext {
    ParentContext {
        hash: spec.genesis_block().hash(),
        height: 0,
        latest_time: spec.genesis.time,
        base: spec.genesis.bits,
        latest_time_before: None,
        median_time_past: spec.genesis.time,
    }
}

fn work_on(spec: &ChainSpec, parent: ParentContext, urgent: bool) -> Arc<Work> {
    let now = u64::from(parent.latest_time) + 10;
    let template = Template::assemble(spec, parent, Vec::new(), PubkeyHash::ZERO, now);
    Arc::new(Work {
        template: template.expect("the time fits"),
        urgent,
    })
}

/// A job as a miner understands it.
#[derive(Debug, Clone)]
struct Job {
    id: String,
    previous: Vec<u8>,
    head: Vec<u8>,
    tail: Vec<u8>,
    branch: Vec<Vec<u8>>,
    version: u32,
    bits: u32,
    time: u32,
    clean: bool,
}

impl Job {
    fn of(params: &Value) -> Self {
        let text = |index: usize| params[index].as_str().expect("a text").to_owned();
        let bytes = |index| hex::decode(text(index)).expect("hex");
        let number = |index| u32::from_str_radix(&text(index), 16).expect("hex");
        let branch = params[4].as_array().expect("a list").iter();
        Self {
            id: text(0),
            previous: bytes(1),
            head: bytes(2),
            tail: bytes(3),
            branch: branch
                .map(|node| hex::decode(node.as_str().expect("a text")).expect("hex"))
                .collect(),
            version: number(5),
            bits: number(6),
            time: number(7),
            clean: params[8].as_bool().expect("a flag"),
        }
    }

    fn hash(&self, extra_nonce: &str, share: &Share) -> [u8; 32] {
        let extra_nonce = hex::decode(format!("{extra_nonce}{:08x}", share.extra_nonce2));
        let coinbase = [&self.head[..], &extra_nonce.expect("hex"), &self.tail].concat();
        let root = self.branch.iter().fold(sha256d(&coinbase), |root, node| {
            sha256d(&[&root[..], node].concat())
        });
        let mut header = (self.version ^ share.version_bits).to_le_bytes().to_vec();
        for word in self.previous.chunks(4) {
            header.extend(word.iter().rev());
        }
        header.extend(root);
        header.extend(share.time.to_le_bytes());
        header.extend(self.bits.to_le_bytes());
        header.extend(share.nonce.to_le_bytes());
        sha256d(&header)
    }
}

#[derive(Debug, Clone, Copy)]
struct Share {
    extra_nonce2: u32,
    time: u32,
    nonce: u32,
    version_bits: u32,
}

/// A session, and what its miner has learned.
struct Rig {
    session: Session,
    now: Now,
    extra_nonce: String,
    difficulty: Option<f64>,
    jobs: Vec<Job>,
    last: Reaction,
}

impl Rig {
    fn new(work: &Arc<Work>, spec: &ChainSpec) -> Self {
        let now = Now {
            unix: u64::from(work.template.time()),
            uptime: Duration::ZERO,
        };
        let payouts = Payouts {
            address_version: spec.address_version,
            node: Some(NODE),
        };
        let work = Some(Arc::clone(work));
        Self {
            session: Session::new(Arc::new(spec.clone()), payouts, [1, 2, 3, 4], work, now),
            now,
            extra_nonce: String::new(),
            difficulty: None,
            jobs: Vec::new(),
            last: Reaction::default(),
        }
    }

    /// On regtest, where half of all hashes are blocks; subscribed and authorized.
    fn mining() -> Self {
        let spec = ChainSpec::regtest();
        let mut rig = Self::new(&work_on(&spec, parent(&spec), true), &spec);
        rig.join("worker");
        rig
    }

    fn join(&mut self, name: &str) {
        self.ok("mining.subscribe", json!(["test"]));
        self.ok("mining.authorize", json!([name, "x"]));
    }

    /// Takes in what the session wants sent; returns the answer, if there is one.
    fn learn(&mut self, reaction: Reaction) -> Option<Value> {
        let mut answer = None;
        for line in &reaction.lines {
            let message: Value = serde_json::from_str(line).expect("JSON");
            match message["method"].as_str() {
                Some("mining.set_difficulty") => {
                    self.difficulty = message["params"][0].as_f64();
                }
                Some("mining.notify") => self.jobs.push(Job::of(&message["params"])),
                Some(other) => panic!("{other}"),
                None => {
                    assert!(answer.is_none(), "one answer");
                    answer = Some(message);
                }
            }
        }
        self.last = reaction;
        answer
    }

    fn ask(&mut self, method: &str, params: Value) -> Value {
        let line = json!({ "id": 9, "method": method, "params": params }).to_string();
        let reaction = self.session.on_line(line.as_bytes(), self.now);
        self.learn(reaction).expect("an answer")
    }

    #[track_caller]
    fn ok(&mut self, method: &str, params: Value) -> Value {
        let mut answer = self.ask(method, params);
        assert_eq!(answer["error"], Value::Null, "{method}: {answer}");
        if method == "mining.subscribe" {
            self.extra_nonce = answer["result"][1].as_str().expect("hex").to_owned();
            assert_eq!(answer["result"][2], 4);
        }
        answer["result"].take()
    }

    fn job(&self) -> Job {
        self.jobs.last().expect("a job").clone()
    }

    /// A share of the latest job for which `fits` holds.
    fn find(&self, fits: impl Fn(BlockHash) -> bool) -> Share {
        let job = self.job();
        let share = |nonce| Share {
            extra_nonce2: 7,
            time: job.time,
            nonce,
            version_bits: 0,
        };
        let hash = |share| BlockHash::from_bytes(job.hash(&self.extra_nonce, &share));
        (0..100_000)
            .map(share)
            .find(|share| fits(hash(*share)))
            .expect("one of many fits")
    }

    /// A share that is a block on regtest.
    fn good(&self) -> Share {
        self.find(|hash| hash.to_bytes()[31] < 0x7f)
    }

    fn send_to(&mut self, worker: &str, job: &str, share: Share) -> Value {
        let hex = |number: u32| format!("{number:08x}");
        let mut params = json!([
            worker,
            job,
            hex(share.extra_nonce2),
            hex(share.time),
            hex(share.nonce)
        ]);
        if let (true, Some(list)) = (share.version_bits != 0, params.as_array_mut()) {
            list.push(json!(hex(share.version_bits)));
        }
        self.ask("mining.submit", params)
    }

    fn send(&mut self, share: Share) -> Value {
        self.send_to("worker", &self.job().id, share)
    }

    /// The number of the refusal, or 0.
    fn code(&mut self, share: Share) -> u64 {
        self.send(share)["error"][0].as_u64().unwrap_or(0)
    }

    fn pass(&mut self, time: Duration) -> Option<&'static str> {
        self.now.uptime += time;
        let reaction = self.session.on_tick(self.now);
        self.learn(reaction);
        self.last.close
    }
}

fn block_of(reaction: &mut Reaction) -> Block {
    reaction.block.take().expect("a block").block
}

#[test]
fn a_share_that_meets_the_target_is_the_block_that_its_miner_meant() {
    let spec = ChainSpec::regtest();
    let mut rig = Rig::new(&work_on(&spec, parent(&spec), true), &spec);
    let name = format!("{}.shed", Address::new(MINER, spec.address_version));
    rig.join(&name);
    assert!(rig.job().clean);
    let share = rig.good();
    let expected = rig.job().hash(&rig.extra_nonce, &share);
    let answer = rig.send_to(&name, &rig.job().id, share);
    assert_eq!(answer["result"], true);
    let (who, event) = rig.last.event.take().expect("an event");
    assert!(matches!(event, Event::Accepted { .. }) && *who == *name);
    let block = block_of(&mut rig.last);
    assert_eq!(block.hash().to_bytes(), expected);
    assert_eq!(
        block.transactions[0].outputs[0].script_pubkey,
        Script::p2pkh(&MINER)
    );
    check_block_in_isolation(&spec, Arc::new(block)).expect("it obeys the rules");
}

#[test]
fn a_name_that_is_no_address_mines_for_the_node() {
    let mut rig = Rig::mining();
    let share = rig.good();
    rig.send(share);
    let block = block_of(&mut rig.last);
    let paid = &block.transactions[0].outputs[0].script_pubkey;
    assert_eq!(*paid, Script::p2pkh(&NODE));
}

#[test]
fn steps_out_of_order_are_refused_by_their_numbers() {
    let spec = ChainSpec::regtest();
    let mut rig = Rig::new(&work_on(&spec, parent(&spec), true), &spec);
    let share = Share {
        extra_nonce2: 0,
        time: 0,
        nonce: 0,
        version_bits: 0,
    };
    let code = |answer: &Value| answer["error"][0].as_u64();
    assert_eq!(code(&rig.send_to("worker", "0", share)), Some(25));
    rig.ok("mining.authorize", json!(["worker", ""]));
    assert_eq!(code(&rig.send_to("worker", "0", share)), Some(25));
    assert!(rig.jobs.is_empty());
    rig.ok("mining.subscribe", json!([]));
    assert_eq!(rig.jobs.len(), 1);
    assert_eq!(code(&rig.send_to("another", "0", share)), Some(24));
    let mut other = Rig::new(&work_on(&spec, parent(&spec), true), &spec);
    other.ok("mining.subscribe", json!([]));
    assert_eq!(code(&other.send_to("worker", "0", share)), Some(24));
    assert!(other.jobs.is_empty());
    let foreign = Address::new(MINER, 0).to_string();
    let refused = other.ask("mining.authorize", json!([foreign, "x"]));
    assert_eq!(code(&refused), Some(24));
    assert!(refused["error"][1].to_string().contains("another network"));
}

#[test]
fn shares_are_refused_as_duplicate_stale_and_low() {
    let mut rig = Rig::mining();
    let share = rig.good();
    assert_eq!(rig.code(share), 0);
    assert_eq!(rig.code(share), 22);
    assert!(matches!(rig.last.event, Some((_, Event::Rejected))));
    let low = rig.find(|hash| hash.to_bytes()[31] > 0x7f);
    assert_eq!(rig.code(low), 23);
    assert_eq!(rig.send_to("worker", "99", share)["error"][0], 21);
    assert_eq!(rig.send_to("worker", "no number", share)["error"][0], 21);

    let spec = ChainSpec::regtest();
    let next = ParentContext {
        hash: BlockHash::from_bytes([9; 32]),
        height: 1,
        ..parent(&spec)
    };
    let old = rig.job().id;
    let reaction = rig.session.on_work(work_on(&spec, next, true));
    rig.learn(reaction);
    assert!(rig.job().clean && rig.job().id != old);
    assert_eq!(rig.send_to("worker", &old, share)["error"][0], 21);
    assert!(matches!(rig.last.event, Some((_, Event::Stale))));
    assert_eq!(rig.code(rig.good()), 0);
}

#[test]
fn older_jobs_of_the_same_tip_stay_good_up_to_a_number() {
    let spec = ChainSpec::regtest();
    let mut rig = Rig::mining();
    let (first, share) = (rig.job().id, rig.good());
    for _ in 1..MAX_JOBS {
        let reaction = rig.session.on_work(work_on(&spec, parent(&spec), false));
        rig.learn(reaction);
        assert!(!rig.job().clean);
    }
    assert_eq!(rig.send_to("worker", &first, share)["result"], true);
    let reaction = rig.session.on_work(work_on(&spec, parent(&spec), false));
    rig.learn(reaction);
    assert_eq!(rig.send_to("worker", &first, share)["error"][0], 21);
}

#[test]
fn only_the_agreed_bits_of_the_version_are_rolled() {
    let mut rig = Rig::mining();
    let rolled = Share {
        version_bits: 0x0000_2000,
        ..rig.good()
    };
    assert_eq!(rig.code(rolled), 20, "it was not agreed on");
    let asked = json!([["version-rolling"], { "version-rolling.mask": "1fffffff" }]);
    let agreed = rig.ok("mining.configure", asked);
    assert_eq!(agreed["version-rolling"], true);
    assert_eq!(agreed["version-rolling.mask"], "1fffe000");
    let outside = Share {
        version_bits: 1,
        ..rolled
    };
    assert_eq!(rig.code(outside), 20);
    let job = rig.job();
    let good = (0..1000)
        .map(|nonce| Share { nonce, ..rolled })
        .find(|share| job.hash(&rig.extra_nonce, share)[31] < 0x7f)
        .expect("half of them are good");
    assert_eq!(rig.code(good), 0);
    assert_eq!(block_of(&mut rig.last).header.version, 0x2000_2000);
}

// The target follows the time where a network has a stall rule: a time that asks for another is refused.
#[test]
fn the_time_is_rolled_within_what_the_target_holds_for() {
    let spec = ChainSpec::dev();
    let hard = ParentContext {
        base: CompactTarget(0x1d00_ffff),
        ..parent(&spec)
    };
    let mut rig = Rig::new(&work_on(&spec, hard, true), &spec);
    rig.join("worker");
    let genesis = spec.genesis.time;
    let mut at = |time: u32, unix: u32| {
        rig.now.unix = unix.into();
        let share = Share {
            extra_nonce2: 0,
            time,
            nonce: 0,
            version_bits: 0,
        };
        rig.code(share)
    };
    // 23: the time is fine, and only the hash is not.
    assert_eq!(at(genesis + 1, genesis + 10), 23);
    assert_eq!(at(genesis, genesis + 10), 20, "the median");
    assert_eq!(at(genesis + 70, genesis + 10), 23, "the drift");
    assert_eq!(at(genesis + 71, genesis + 10), 20);
    assert_eq!(at(genesis + 129, genesis + 130), 23);
    assert_eq!(at(genesis + 130, genesis + 130), 20, "an easier target");
}

#[test]
fn difficulty_comes_before_the_job_it_holds_for_and_never_exceeds_the_block() {
    let spec = ChainSpec {
        pow_limit: CompactTarget(0x1d00_ffff),
        ..ChainSpec::dev()
    };
    let hard = ParentContext {
        base: CompactTarget(0x1b00_ffff),
        ..parent(&spec)
    };
    let mut rig = Rig::new(&work_on(&spec, hard, true), &spec);
    rig.join("worker");
    assert_eq!(rig.difficulty, Some(Difficulty::START.value()));
    let lines = rig.last.lines.clone();
    assert!(lines[0].contains("\"result\":true") && lines[1].contains("set_difficulty"));
    assert!(lines[2].contains("mining.notify"));
    rig.ok("mining.suggest_difficulty", json!([100]));
    assert_eq!((rig.difficulty, rig.jobs.len()), (Some(100.0), 2));
    assert!(rig.last.lines[1].contains("[100]"), "a whole number");
    rig.ok(
        "mining.suggest_target",
        json!(["00000000ffff".to_owned() + &"00".repeat(26)]),
    );
    assert_eq!(rig.difficulty, Some(1.0));
    rig.ok("mining.suggest_difficulty", json!([1e12]));
    assert_eq!(
        rig.difficulty,
        Some(65535.0),
        "just below the block's 65536"
    );
    let floor = json!([["minimum-difficulty"], { "minimum-difficulty.value": 70000 }]);
    rig.ok("mining.configure", floor);
    assert_eq!(
        rig.difficulty,
        Some(70000.0),
        "hardware that can do no less"
    );
    let mut other = Rig::new(&work_on(&spec, hard, true), &spec);
    other.ok("mining.subscribe", json!([]));
    other.ok("mining.authorize", json!(["worker", "x,d=2.5"]));
    assert_eq!(other.difficulty, Some(2.0));
    other.ok("mining.suggest_difficulty", json!([1]));
    assert_eq!(other.difficulty, Some(2.0), "the password decides");
    // Nothing comes for minutes: the server eases, but not for one that chose.
    let mut eased = Rig::new(&work_on(&spec, hard, true), &spec);
    eased.join("worker");
    eased.pass(Duration::from_secs(61));
    assert_eq!(eased.difficulty, Some(Difficulty::START.value() / 4.0));
    assert_eq!(eased.jobs.len(), 2);
    other.pass(Duration::from_secs(61));
    assert_eq!(other.difficulty, Some(2.0));
}

#[test]
fn a_proxy_has_many_workers_of_one_address() {
    let mut rig = Rig::mining();
    for number in 1..MAX_NAMES {
        rig.ok("mining.authorize", json!([format!("w{number}"), "x"]));
    }
    rig.ok("mining.authorize", json!(["w1", "x"]));
    let more = rig.ask("mining.authorize", json!(["one more", "x"]));
    assert_eq!(more["error"][0], 24);
    let address = Address::new(MINER, ChainSpec::regtest().address_version);
    let other = rig.ask("mining.authorize", json!([address.to_string(), "x"]));
    assert!(other["error"][1].to_string().contains("another address"));
    let share = rig.good();
    assert_eq!(rig.send_to("w3", &rig.job().id, share)["result"], true);
    assert_eq!(rig.session.names().len(), MAX_NAMES);
}

#[test]
fn connections_that_do_nothing_or_nothing_right_are_closed() {
    let spec = ChainSpec::regtest();
    let late = UNAUTHORIZED_TIME + Duration::from_secs(1);
    let mut silent = Rig::new(&work_on(&spec, parent(&spec), true), &spec);
    assert_eq!(silent.pass(UNAUTHORIZED_TIME), None);
    assert!(silent.pass(Duration::from_secs(1)).is_some());
    let mut half = Rig::new(&work_on(&spec, parent(&spec), true), &spec);
    half.ok("mining.subscribe", json!([]));
    assert!(half.pass(late).is_some());
    let mut idle = Rig::mining();
    assert_eq!(idle.pass(late), None);
    assert!(idle.pass(IDLE_TIME).is_some());
    let mut wrong = Rig::mining();
    let (good, low) = (wrong.good(), wrong.find(|hash| hash.to_bytes()[31] > 0x80));
    for round in 1..2 * MAX_REFUSALS - 1 {
        assert_eq!(wrong.code(low), 23);
        wrong.send_to("worker", "ff", low);
        assert_eq!(wrong.last.close, None, "late ones do not count");
        if round == MAX_REFUSALS - 1 {
            assert_eq!(wrong.code(good), 0, "one good share forgives");
        }
    }
    wrong.code(low);
    assert!(wrong.last.close.is_some());
}

#[test]
fn small_questions_are_answered() {
    let mut rig = Rig::mining();
    assert_eq!(rig.ok("mining.extranonce.subscribe", json!([])), true);
    assert_eq!(rig.ok("mining.ping", json!([])), "pong");
    let version = rig.ok("mining.get_version", json!([]));
    assert!(version.as_str().expect("a text").starts_with("Quarry/"));
    let unknown = rig.ask("mining.get_transactions", json!([]));
    assert_eq!(unknown["error"][0], 20);
}
