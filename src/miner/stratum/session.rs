//! A connection's state: what it is told, and what becomes of what it sends. No I/O; time is an argument.
//!
//! A miner subscribes (and learns its extra nonce) and authorizes a worker (which says whom to pay), in any order; then it gets
//! jobs. The first worker decides whom the connection's jobs pay; others, as a proxy names them, must be paid alike.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::difficulty::Difficulty;
use super::jobs::{EXTRA_NONCE1_LEN, Jobs, Rules, Share, Work};
use super::limits::{IDLE_TIME, MAX_NAMES, MAX_REFUSALS, UNAUTHORIZED_TIME};
use super::payout::Payouts;
use super::protocol::{
    self, Call, Code, EXTRA_NONCE2_LEN, Extension, Refusal, Request, Submission,
};
use super::vardiff::Vardiff;
use crate::consensus::ChainSpec;
use crate::primitives::{Block, PubkeyHash};

/// The bits of a version that miners may vary (BIP320).
const ROLLABLE: u32 = 0x1fff_e000;

/// The time, on both clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    /// Seconds since 1970, for blocks.
    pub(super) unix: u64,
    /// Since the server started, for everything else.
    pub(super) uptime: Duration,
}

/// Who mines here.
#[derive(Debug)]
struct Account {
    payout: PubkeyHash,
    /// The workers' names; never empty.
    names: Vec<Arc<str>>,
}

/// How far a connection has come.
#[derive(Debug)]
enum Stage {
    New,
    Subscribed,
    Authorized(Account),
    Mining(Account),
}

/// What happened to a worker, for its statistics.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Event {
    /// It was authorized.
    Joined { payout: PubkeyHash, agent: String },
    /// A share was taken.
    Accepted {
        difficulty: Difficulty,
        reached: Difficulty,
    },
    /// A share came too late.
    Stale,
    /// A share was refused for another reason.
    Rejected,
}

/// A block, to be given to the chain.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) block: Block,
    pub(super) worker: Arc<str>,
}

/// What is to be done, in the order of the fields.
#[derive(Debug, Default)]
pub(super) struct Reaction {
    /// A block for the chain.
    pub(super) block: Option<Found>,
    /// For the statistics.
    pub(super) event: Option<(Arc<str>, Event)>,
    /// What to send, one line each.
    pub(super) lines: Vec<String>,
    /// Why the connection is to be closed, once the lines are sent.
    pub(super) close: Option<&'static str>,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Session {
    payouts: Payouts,
    rules: Rules,
    stage: Stage,
    agent: String,
    vardiff: Vardiff,
    /// The difficulty that was sent last.
    sent: Option<Difficulty>,
    jobs: Jobs,
    work: Option<Arc<Work>>,
    began: Duration,
    heard: Duration,
    /// Refusals in a row.
    refusals: u32,
}

impl Session {
    /// A new connection. No two have the same `extra_nonce1`, so none repeats another's hashes.
    pub(super) fn new(
        spec: Arc<ChainSpec>,
        payouts: Payouts,
        extra_nonce1: [u8; EXTRA_NONCE1_LEN],
        work: Option<Arc<Work>>,
        now: Now,
    ) -> Self {
        Self {
            payouts,
            rules: Rules {
                spec,
                extra_nonce1,
                version_mask: 0,
            },
            stage: Stage::New,
            agent: String::new(),
            vardiff: Vardiff::new(now.uptime),
            sent: None,
            jobs: Jobs::default(),
            work,
            began: now.uptime,
            heard: now.uptime,
            refusals: 0,
        }
    }

    /// The names of the workers that were authorized.
    pub(super) fn names(&self) -> &[Arc<str>] {
        match &self.stage {
            Stage::New | Stage::Subscribed => &[],
            Stage::Authorized(account) | Stage::Mining(account) => &account.names,
        }
    }

    /// A line has come.
    pub(super) fn on_line(&mut self, line: &[u8], now: Now) -> Reaction {
        self.heard = now.uptime;
        let mut reaction = Reaction::default();
        let (id, result) = match protocol::parse(line) {
            Ok(None) => return reaction,
            Ok(Some(Request { id, call })) => {
                let result = self.answer(call, &mut reaction, now);
                (id, result)
            }
            Err(malformed) => (malformed.id, Err(malformed.refusal)),
        };
        match result {
            Ok(result) => {
                self.refusals = 0;
                // The answer comes before what follows from it: miners wait for it first.
                reaction.lines.insert(0, protocol::answer(&id, &result));
            }
            Err(refusal) => {
                // A share may come late for no fault of the miner.
                self.refusals += u32::from(refusal.code != Code::Stale);
                reaction.lines.insert(0, protocol::refuse(&id, &refusal));
                if self.refusals >= MAX_REFUSALS {
                    reaction.close = Some("too many refused requests in a row");
                }
            }
        }
        reaction
    }

    /// There is other work.
    pub(super) fn on_work(&mut self, work: Arc<Work>) -> Reaction {
        self.work = Some(work);
        let mut reaction = Reaction::default();
        self.send_job(&mut reaction);
        reaction
    }

    /// Time has passed.
    pub(super) fn on_tick(&mut self, now: Now) -> Reaction {
        let mut reaction = Reaction::default();
        let since = |then: Duration| now.uptime.saturating_sub(then);
        match self.stage {
            Stage::Mining(_) if since(self.heard) > IDLE_TIME => {
                reaction.close = Some("nothing came for too long");
            }
            Stage::Mining(_) => self.adjust(&mut reaction, now),
            Stage::New | Stage::Subscribed | Stage::Authorized(_) => {
                if since(self.began) > UNAUTHORIZED_TIME {
                    reaction.close = Some("it did not subscribe and authorize in time");
                }
            }
        }
        reaction
    }

    fn answer(&mut self, call: Call, reaction: &mut Reaction, now: Now) -> Result<Value, Refusal> {
        match call {
            Call::Subscribe { agent } => Ok(self.subscribe(agent, reaction)),
            Call::Authorize { name, password } => {
                self.authorize(&name, &password, reaction, now)?;
                Ok(json!(true))
            }
            Call::Submit(submission) => {
                self.submit(&submission, reaction, now)?;
                Ok(json!(true))
            }
            Call::Configure(extensions) => Ok(self.configure(extensions, reaction)),
            Call::Suggest(difficulty) => {
                self.vardiff.suggest(difficulty, now.uptime);
                self.resend_job(reaction);
                Ok(json!(true))
            }
            // Extra nonces never change, so there is never news of it.
            Call::SubscribeExtraNonce => Ok(json!(true)),
            Call::Ping => Ok(json!("pong")),
            Call::GetVersion => Ok(json!(concat!("Quarry/", env!("CARGO_PKG_VERSION")))),
        }
    }

    fn subscribe(&mut self, agent: String, reaction: &mut Reaction) -> Value {
        self.agent = agent;
        self.stage = match mem::replace(&mut self.stage, Stage::New) {
            Stage::New | Stage::Subscribed => Stage::Subscribed,
            Stage::Authorized(account) | Stage::Mining(account) => Stage::Mining(account),
        };
        self.send_job(reaction);
        let id = hex::encode(self.rules.extra_nonce1);
        json!([
            [["mining.set_difficulty", id], ["mining.notify", id]],
            id,
            EXTRA_NONCE2_LEN,
        ])
    }

    fn authorize(
        &mut self,
        name: &str,
        password: &str,
        reaction: &mut Reaction,
        now: Now,
    ) -> Result<(), Refusal> {
        let unauthorized = |message: String| Refusal::new(Code::Unauthorized, message);
        let payout = self
            .payouts
            .of(name)
            .map_err(|error| unauthorized(error.to_string()))?;
        let is_known = self.names().iter().any(|known| &**known == name);
        if is_known {
            return Ok(());
        }
        let new: Arc<str> = name.into();
        self.stage = match mem::replace(&mut self.stage, Stage::New) {
            Stage::New => Stage::Authorized(Account::new(payout, &new)),
            Stage::Subscribed => Stage::Mining(Account::new(payout, &new)),
            Stage::Authorized(account) => Stage::Authorized(account),
            Stage::Mining(account) => Stage::Mining(account),
        };
        if let Stage::Authorized(account) | Stage::Mining(account) = &mut self.stage {
            account.add(&new, payout).map_err(unauthorized)?;
        }
        if let Some(difficulty) = password_difficulty(password) {
            self.vardiff.keep(difficulty, now.uptime);
        }
        let agent = self.agent.clone();
        reaction.event = Some((new, Event::Joined { payout, agent }));
        self.resend_job(reaction);
        Ok(())
    }

    fn configure(&mut self, extensions: Vec<Extension>, reaction: &mut Reaction) -> Value {
        let mut result = serde_json::Map::new();
        for extension in extensions {
            match extension {
                Extension::VersionRolling { mask } => {
                    self.rules.version_mask = mask & ROLLABLE;
                    let mask = format!("{:08x}", self.rules.version_mask);
                    result.insert("version-rolling".into(), json!(true));
                    result.insert("version-rolling.mask".into(), json!(mask));
                }
                Extension::MinimumDifficulty(floor) => {
                    self.vardiff.at_least(floor);
                    result.insert("minimum-difficulty".into(), json!(true));
                }
                Extension::SubscribeExtraNonce => {
                    result.insert("subscribe-extranonce".into(), json!(true));
                }
                Extension::Unknown(name) => {
                    result.insert(name, json!(false));
                }
            }
        }
        self.resend_job(reaction);
        Value::Object(result)
    }

    fn submit(
        &mut self,
        submission: &Submission,
        reaction: &mut Reaction,
        now: Now,
    ) -> Result<(), Refusal> {
        let account = match &self.stage {
            Stage::New | Stage::Authorized(_) => {
                return Err(Refusal::new(Code::NotSubscribed, "Not subscribed"));
            }
            Stage::Subscribed => {
                return Err(Refusal::new(Code::Unauthorized, "Unauthorized worker"));
            }
            Stage::Mining(account) => account,
        };
        let known = account
            .names
            .iter()
            .find(|known| ***known == *submission.worker);
        let worker = Arc::clone(
            known.ok_or_else(|| Refusal::new(Code::Unauthorized, "Unauthorized worker"))?,
        );
        let judged = self.jobs.judge(&self.rules, submission, now.unix);
        reaction.event = Some((Arc::clone(&worker), event(&judged)));
        let share = judged?;
        reaction.block = share.block.map(|block| Found { block, worker });
        self.vardiff.count(share.difficulty);
        self.adjust(reaction, now);
        Ok(())
    }

    fn adjust(&mut self, reaction: &mut Reaction, now: Now) {
        if let Some(sent) = self.sent {
            self.vardiff.adjust(sent, now.uptime);
            self.resend_job(reaction);
        }
    }

    /// Sends a job if the difficulty is another now, or none was sent: a difficulty holds from the next job on.
    fn resend_job(&mut self, reaction: &mut Reaction) {
        if self.sent.is_none() || self.sent != self.difficulty() {
            self.send_job(reaction);
        }
    }

    /// The difficulty that suits miner and work.
    fn difficulty(&self) -> Option<Difficulty> {
        let work = self.work.as_ref()?;
        let block = Difficulty::not_above_block(work.template.target());
        Some(self.vardiff.for_block(block))
    }

    fn send_job(&mut self, reaction: &mut Reaction) {
        let (Stage::Mining(account), Some(work), Some(difficulty)) =
            (&self.stage, &self.work, self.difficulty())
        else {
            return;
        };
        if self.sent != Some(difficulty) {
            self.sent = Some(difficulty);
            let params = json!([number(difficulty)]);
            let line = protocol::notify("mining.set_difficulty", &params);
            reaction.lines.push(line);
        }
        let params = self.jobs.add(work, account.payout, difficulty);
        reaction
            .lines
            .push(protocol::notify("mining.notify", &params));
    }
}

impl Account {
    fn new(payout: PubkeyHash, name: &Arc<str>) -> Self {
        Self {
            payout,
            names: vec![Arc::clone(name)],
        }
    }

    /// Takes one more name, unless it is here already.
    fn add(&mut self, name: &Arc<str>, payout: PubkeyHash) -> Result<(), String> {
        if payout != self.payout {
            return Err(
                "this connection mines to another address; open one for each address".to_owned(),
            );
        }
        if self.names.contains(name) {
            return Ok(());
        }
        if self.names.len() >= MAX_NAMES {
            return Err(format!("a connection has at most {MAX_NAMES} workers"));
        }
        self.names.push(Arc::clone(name));
        Ok(())
    }
}

/// A difficulty as JSON: whole numbers without a point, for hardware that reads no other.
fn number(difficulty: Difficulty) -> Value {
    let value = difficulty.value();
    match value < 1.0 {
        true => json!(value),
        // Below 10^18, and whole from 1 on.
        false => json!(value as u64),
    }
}

fn event(judged: &Result<Share, Refusal>) -> Event {
    match judged {
        Ok(share) => Event::Accepted {
            difficulty: share.difficulty,
            reached: share.reached,
        },
        Err(refusal) if refusal.code == Code::Stale => Event::Stale,
        Err(_) => Event::Rejected,
    }
}

/// The difficulty in a password such as `x` or `d=0.01`, or in one of several parts with commas between.
fn password_difficulty(password: &str) -> Option<Difficulty> {
    let mut parts = password.split(',').map(str::trim);
    let number = parts.find_map(|part| part.strip_prefix("d="))?;
    Difficulty::new(number.parse().ok()?)
}
