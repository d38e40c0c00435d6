//! A miner written a second time: it knows the protocol from its description alone.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::jobs::Work;
use super::super::payout::Payouts;
use super::super::session::{Now, Reaction, Session};
use crate::consensus::{ChainSpec, ParentContext};
use crate::miner::template::Template;
use crate::primitives::{BlockHash, PubkeyHash, sha256d};

pub(super) const MINER: PubkeyHash = PubkeyHash::from_bytes([5; 20]);
pub(super) const NODE: PubkeyHash = PubkeyHash::from_bytes([6; 20]);

pub(super) fn parent(spec: &ChainSpec) -> ParentContext {
    ParentContext {
        hash: spec.genesis_block().hash(),
        height: 0,
        latest_time: spec.genesis.time,
        base: spec.genesis.bits,
        latest_time_before: None,
        median_time_past: spec.genesis.time,
    }
}

pub(super) fn work_on(spec: &ChainSpec, parent: ParentContext, urgent: bool) -> Arc<Work> {
    let now = u64::from(parent.latest_time) + 10;
    let template = Template::assemble(spec, parent, Vec::new(), PubkeyHash::ZERO, now);
    Arc::new(Work {
        template: template.expect("the time fits"),
        urgent,
    })
}

/// A job as a miner understands it.
#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) id: String,
    pub(super) previous: Vec<u8>,
    pub(super) head: Vec<u8>,
    pub(super) tail: Vec<u8>,
    pub(super) branch: Vec<Vec<u8>>,
    pub(super) version: u32,
    pub(super) bits: u32,
    pub(super) time: u32,
    pub(super) clean: bool,
}

impl Job {
    pub(super) fn of(params: &Value) -> Self {
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

    pub(super) fn hash(&self, extra_nonce: &str, share: &Share) -> [u8; 32] {
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
pub(super) struct Share {
    pub(super) extra_nonce2: u32,
    pub(super) time: u32,
    pub(super) nonce: u32,
    pub(super) version_bits: u32,
}

/// A session, and what its miner has learned.
pub(super) struct Rig {
    pub(super) session: Session,
    pub(super) now: Now,
    pub(super) extra_nonce: String,
    pub(super) difficulty: Option<f64>,
    pub(super) jobs: Vec<Job>,
    pub(super) last: Reaction,
}

impl Rig {
    pub(super) fn new(work: &Arc<Work>, spec: &ChainSpec) -> Self {
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
    pub(super) fn mining() -> Self {
        let spec = ChainSpec::regtest();
        let mut rig = Self::new(&work_on(&spec, parent(&spec), true), &spec);
        rig.join("worker");
        rig
    }

    pub(super) fn join(&mut self, name: &str) {
        self.ok("mining.subscribe", json!(["test"]));
        self.ok("mining.authorize", json!([name, "x"]));
    }

    /// Takes in what the session wants sent; returns the answer, if there is one.
    pub(super) fn learn(&mut self, reaction: Reaction) -> Option<Value> {
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

    pub(super) fn ask(&mut self, method: &str, params: Value) -> Value {
        let line = json!({ "id": 9, "method": method, "params": params }).to_string();
        let reaction = self.session.on_line(line.as_bytes(), self.now);
        self.learn(reaction).expect("an answer")
    }

    #[track_caller]
    pub(super) fn ok(&mut self, method: &str, params: Value) -> Value {
        let mut answer = self.ask(method, params);
        assert_eq!(answer["error"], Value::Null, "{method}: {answer}");
        if method == "mining.subscribe" {
            self.extra_nonce = answer["result"][1].as_str().expect("hex").to_owned();
            assert_eq!(answer["result"][2], 4);
        }
        answer["result"].take()
    }

    pub(super) fn job(&self) -> Job {
        self.jobs.last().expect("a job").clone()
    }

    /// A share of the latest job for which `fits` holds.
    pub(super) fn find(&self, fits: impl Fn(BlockHash) -> bool) -> Share {
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
    pub(super) fn good(&self) -> Share {
        self.find(|hash| hash.to_bytes()[31] < 0x7f)
    }

    pub(super) fn send_to(&mut self, worker: &str, job: &str, share: Share) -> Value {
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

    pub(super) fn send(&mut self, share: Share) -> Value {
        self.send_to("worker", &self.job().id, share)
    }

    /// The number of the refusal, or 0.
    pub(super) fn code(&mut self, share: Share) -> u64 {
        self.send(share)["error"][0].as_u64().unwrap_or(0)
    }

    pub(super) fn pass(&mut self, time: Duration) -> Option<&'static str> {
        self.now.uptime += time;
        let reaction = self.session.on_tick(self.now);
        self.learn(reaction);
        self.last.close
    }
}
