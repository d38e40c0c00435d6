//! A small miner that speaks Stratum, written from the protocol's description: it shares no code with the server.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bitcoin::hashes::{Hash, sha256d};
use serde_json::{Value, json};

/// How long an answer or a job may take; a busy machine is slow.
const PATIENCE: Duration = Duration::from_secs(60);

/// A job as it was told.
#[derive(Debug, Clone)]
pub struct Job {
    pub id: String,
    pub params: Value,
    /// The difficulty that was told before it.
    pub difficulty: f64,
    pub clean: bool,
}

/// A share.
#[derive(Debug, Clone, Copy, Default)]
pub struct Share {
    pub extra_nonce2: u32,
    pub time: u32,
    pub nonce: u32,
    pub version_bits: u32,
}

pub struct Miner {
    stream: BufReader<TcpStream>,
    next_id: u64,
    name: String,
    extra_nonce1: String,
    difficulty: f64,
    pub job: Option<Job>,
}

impl Miner {
    /// Connects and says nothing.
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the server listens");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a timeout above 0");
        Self {
            stream: BufReader::new(stream),
            next_id: 0,
            name: String::new(),
            extra_nonce1: String::new(),
            difficulty: f64::NAN,
            job: None,
        }
    }

    /// Connects, subscribes, authorizes, and waits for a job.
    pub fn start(address: SocketAddr, name: &str, password: &str) -> Self {
        let mut miner = Self::connect(address);
        miner.subscribe();
        assert_eq!(miner.authorize(name, password)["error"], Value::Null);
        miner.next_job();
        miner
    }

    pub fn subscribe(&mut self) {
        let answer = self.ask("mining.subscribe", json!(["test miner/1"]));
        self.extra_nonce1 = text(&answer["result"][1]);
        assert_eq!(answer["result"][2], 4, "{answer}");
    }

    pub fn authorize(&mut self, name: &str, password: &str) -> Value {
        name.clone_into(&mut self.name);
        self.ask("mining.authorize", json!([name, password]))
    }

    pub fn extra_nonce1(&self) -> &str {
        &self.extra_nonce1
    }

    /// From now on sending fails where it would have to wait.
    pub fn never_wait(&self) {
        self.stream
            .get_ref()
            .set_nonblocking(true)
            .expect("a socket");
    }

    /// Sends bytes as they are; the server may have closed the connection.
    pub fn send_raw(&mut self, bytes: &[u8]) -> bool {
        self.stream.get_mut().write_all(bytes).is_ok()
    }

    /// The next line; `None` once the server has closed the connection.
    pub fn line(&mut self) -> Option<Value> {
        let mut line = String::new();
        match self.stream.read_line(&mut line) {
            Ok(0) => None,
            Ok(_) => Some(serde_json::from_str(&line).expect("a line is JSON")),
            // The server closed it with our bytes unread.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => None,
            Err(error) => panic!("no line: {error}"),
        }
    }

    /// Takes in what was not asked for; gives back an answer.
    fn learn(&mut self, message: Value) -> Option<Value> {
        match message["method"].as_str() {
            Some("mining.set_difficulty") => {
                self.difficulty = message["params"][0].as_f64().expect("a number");
                None
            }
            Some("mining.notify") => {
                let params = message["params"].clone();
                self.job = Some(Job {
                    id: text(&params[0]),
                    difficulty: self.difficulty,
                    clean: params[8].as_bool().expect("a flag"),
                    params,
                });
                None
            }
            Some(other) => panic!("{other}"),
            None => Some(message),
        }
    }

    /// Asks, and waits for the answer.
    pub fn ask(&mut self, method: &str, params: Value) -> Value {
        self.next_id += 1;
        let id = self.next_id;
        let line = json!({ "id": id, "method": method, "params": params }).to_string() + "\n";
        assert!(self.send_raw(line.as_bytes()), "the connection is open");
        loop {
            let message = self.line().expect("the connection is open");
            if let Some(answer) = self.learn(message)
                && answer["id"] == id
            {
                return answer;
            }
        }
    }

    /// Waits for a job other than the one it has.
    pub fn next_job(&mut self) -> Job {
        let before = self.job.as_ref().map(|job| job.id.clone());
        loop {
            if let Some(job) = &self.job
                && Some(&job.id) != before.as_ref()
            {
                return job.clone();
            }
            let message = self.line().expect("the connection is open");
            self.learn(message);
        }
    }

    /// Waits for a job on another parent than this one's.
    pub fn job_after(&mut self, old: &Job) -> Job {
        loop {
            match &self.job {
                Some(job) if job.params[1] != old.params[1] => return job.clone(),
                _ => self.next_job(),
            };
        }
    }

    /// The first share that `fits` says is one, of all nonces.
    pub fn search(&self, job: &Job, version_bits: u32, fits: impl Fn([u8; 32]) -> bool) -> Share {
        let field = |index: usize| hex::decode(text(&job.params[index])).expect("hex");
        let number = |index: usize| u32::from_str_radix(&text(&job.params[index]), 16);
        let extra_nonce2 = 0x0a0b_0c0d_u32;
        let extra_nonce = format!("{}{extra_nonce2:08x}", self.extra_nonce1);
        let extra_nonce = hex::decode(extra_nonce).expect("hex");
        let mut root = hash(&[&field(2)[..], &extra_nonce, &field(3)].concat());
        for node in job.params[4].as_array().expect("a list") {
            let node = hex::decode(text(node)).expect("hex");
            root = hash(&[&root[..], &node].concat());
        }
        let version = number(5).expect("hex") | version_bits;
        let time = number(7).expect("hex");
        let mut header = version.to_le_bytes().to_vec();
        for word in field(1).chunks(4) {
            header.extend(word.iter().rev());
        }
        header.extend(root);
        header.extend(time.to_le_bytes());
        header.extend(number(6).expect("hex").to_le_bytes());
        for nonce in 0..u32::MAX {
            header.truncate(76);
            header.extend(nonce.to_le_bytes());
            if fits(hash(&header)) {
                return Share {
                    extra_nonce2,
                    time,
                    nonce,
                    version_bits,
                };
            }
        }
        panic!("no nonce fits");
    }

    /// A share of the job's difficulty that is no block.
    pub fn solve(&self, job: &Job) -> Share {
        let (block, share) = (block_target(job), 4_294_901_760.0 / job.difficulty);
        self.search(job, 0, |hash| (block + 1.0..=share).contains(&top(hash)))
    }

    /// A share that is a block.
    pub fn solve_block(&self, job: &Job, version_bits: u32) -> Share {
        let target = block_target(job);
        self.search(job, version_bits, |hash| top(hash) < target)
    }

    pub fn submit(&mut self, job: &Job, share: Share) -> Value {
        let hex = |number: u32| format!("{number:08x}");
        let mut params = vec![
            json!(self.name),
            json!(job.id),
            json!(hex(share.extra_nonce2)),
            json!(hex(share.time)),
            json!(hex(share.nonce)),
        ];
        if share.version_bits != 0 {
            params.push(json!(hex(share.version_bits)));
        }
        self.ask("mining.submit", Value::Array(params))
    }
}

/// The highest eight bytes of a block's target; those of the tests have hardly any bits below.
fn block_target(job: &Job) -> f64 {
    let bits = u32::from_str_radix(&text(&job.params[6]), 16).expect("hex");
    let shift = i32::try_from((bits >> 24) * 8).expect("a byte") - 24 - 192;
    f64::from(bits & 0x007f_ffff) * 2_f64.powi(shift)
}

/// The highest eight bytes of a hash, as a number.
fn top(mut hash: [u8; 32]) -> f64 {
    hash.reverse();
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&hash[..8]);
    u64::from_be_bytes(bytes) as f64
}

fn hash(bytes: &[u8]) -> [u8; 32] {
    sha256d::Hash::hash(bytes).to_byte_array()
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}
