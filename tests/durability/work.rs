//! A client that keeps a node at work and remembers what it was told: what was acknowledged must be there after any crash.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use quarry::rpc::{Client, ClientError};
use serde_json::json;

use crate::support::{Folder, SOMEBODY, Tip, mine, tip};

/// What the node is kept at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Job {
    /// New addresses, payments, and blocks that confirm them.
    Connect,
    /// Blocks are taken back.
    Disconnect,
    /// Two branches of this many blocks take turns.
    Toggle(u64),
}

/// What a client has been told.
pub struct Progress {
    /// The tip after the last acknowledged change.
    pub acknowledged: Tip,
    /// All tips in the order in which they were told; first the one before the work.
    pub told: Vec<Tip>,
    /// The request that was sent and not answered.
    pub under_way: Option<UnderWay>,
    /// Addresses that were handed out.
    pub addresses: Vec<String>,
}

pub struct UnderWay {
    /// The tip that it leads to; `None` for a new block on the tip.
    to: Option<Tip>,
    /// What was in the write-ahead log before.
    pub log_bytes: u64,
}

type Shared = Arc<Mutex<Progress>>;

fn lock(progress: &Shared) -> MutexGuard<'_, Progress> {
    progress.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Progress {
    /// The tip is the acknowledged one, or the one that the request under way leads to.
    pub fn assert_allows(&self, found: &Tip) {
        let known = &self.acknowledged;
        if found == known {
            return;
        }
        let request = self.under_way.as_ref().unwrap_or_else(|| {
            panic!("{known:?} was acknowledged, nothing was under way, and there is {found:?}")
        });
        match &request.to {
            Some(to) => assert_eq!(found, to, "neither before nor after: {known:?}"),
            None => assert_eq!(found.height, known.height + 1, "{known:?} {found:?}"),
        }
    }
}

/// A node that is kept at work until it ends.
pub struct Work {
    folder: Folder,
    progress: Shared,
    thread: JoinHandle<()>,
}

impl Work {
    /// Begins on a thread of its own, after what must be prepared for the job.
    pub fn begin(client: Client, folder: &Folder, job: Job) -> Self {
        let before = tip(&client);
        let progress = Arc::new(Mutex::new(Progress {
            told: vec![before.clone()],
            acknowledged: before,
            under_way: None,
            addresses: Vec::new(),
        }));
        let worker = Worker {
            client,
            folder: Folder::at(folder.path.clone()),
            progress: Arc::clone(&progress),
        };
        let prepared = match job {
            Job::Connect => Vec::new(),
            Job::Disconnect => worker.extend(12),
            Job::Toggle(length) => worker.branches(length),
        };
        let thread = std::thread::spawn(move || {
            // It ends with the node.
            let _ = match job {
                Job::Connect => worker.connect(),
                Job::Disconnect => worker.disconnect(&prepared),
                Job::Toggle(_) => worker.toggle(&prepared),
            };
        });
        Self {
            folder: Folder::at(folder.path.clone()),
            progress,
            thread,
        }
    }

    /// Whether the request that is under way has written to the log.
    pub fn is_writing(&self) -> bool {
        let before = lock(&self.progress)
            .under_way
            .as_ref()
            .map(|it| it.log_bytes);
        before.is_some_and(|before| self.folder.log_bytes() > before)
    }

    /// What was acknowledged so far.
    pub fn progress(&self) -> MutexGuard<'_, Progress> {
        lock(&self.progress)
    }

    /// What was acknowledged, once the node has ended.
    pub fn end(self) -> Progress {
        self.thread.join().expect("the client ends with the node");
        let progress = Arc::into_inner(self.progress).expect("the client has gone");
        progress
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The client.
struct Worker {
    client: Client,
    folder: Folder,
    progress: Shared,
}

impl Worker {
    /// Sends one request that changes the tip.
    fn request(
        &self,
        to: Option<Tip>,
        send: impl FnOnce(&Client) -> Result<Option<String>, ClientError>,
    ) -> Result<(), ClientError> {
        lock(&self.progress).under_way = Some(UnderWay {
            to: to.clone(),
            log_bytes: self.folder.log_bytes(),
        });
        let answer = send(&self.client)?;
        let mut progress = lock(&self.progress);
        progress.under_way = None;
        let now = to.unwrap_or_else(|| Tip {
            height: progress.acknowledged.height + 1,
            hash: answer.expect("a new block has a hash"),
        });
        progress.told.push(now.clone());
        progress.acknowledged = now;
        Ok(())
    }

    fn connect(&self) -> Result<(), ClientError> {
        let mut payments = false;
        loop {
            // A refused address is no end of the work: only blocks meet the database.
            let address = match self.client.get::<String>("getnewaddress", json!([])) {
                Ok(address) => {
                    lock(&self.progress).addresses.push(address.clone());
                    address
                }
                Err(ClientError::Rpc(_)) => SOMEBODY.to_owned(),
                Err(error) => return Err(error),
            };
            if payments {
                // Some kilobytes of payments in the next block. They wait in memory only: what acknowledges them is the block.
                for _ in 0..4 {
                    let paid = self.client.call("sendtoaddress", json!([address, "0.5"]));
                    match paid {
                        Err(ClientError::Rpc(_)) => break,
                        other => other?,
                    };
                }
            }
            payments = !payments;
            self.request(None, |client| mine(client, SOMEBODY).map(Some))?;
        }
    }

    /// Mines blocks; their tips, the one before first.
    fn extend(&self, count: u64) -> Vec<Tip> {
        let mut tips = vec![lock(&self.progress).acknowledged.clone()];
        for _ in 0..count {
            let mined = self.request(None, |client| mine(client, SOMEBODY).map(Some));
            mined.expect("the node answers");
            tips.push(lock(&self.progress).acknowledged.clone());
        }
        tips
    }

    /// Takes the blocks back, three at a time.
    fn disconnect(&self, tips: &[Tip]) -> Result<(), ClientError> {
        for last in (3..tips.len()).rev().step_by(3) {
            let first = &tips[last - 2];
            self.invalidate(first, &tips[last - 3])?;
        }
        // The kill comes after the last one.
        loop {
            self.client.call("uptime", json!([]))?;
        }
    }

    fn invalidate(&self, block: &Tip, to: &Tip) -> Result<(), ClientError> {
        self.request(Some(to.clone()), |client| {
            let answer = client.call("invalidateblock", json!([block.hash]));
            answer.map(|_| None)
        })
    }

    fn reconsider(&self, block: &Tip, to: &Tip) -> Result<(), ClientError> {
        self.request(Some(to.clone()), |client| {
            let answer = client.call("reconsiderblock", json!([block.hash]));
            answer.map(|_| None)
        })
    }

    /// ```text
    /// fork ── a1 … ak
    ///  └───── b1 … bk+1     the tip
    /// ```
    /// Returns the ends of both branches, and the first block of the second.
    fn branches(&self, length: u64) -> Vec<Tip> {
        let one = self.extend(length);
        self.invalidate(&one[1], &one[0]).expect("the node answers");
        let other = self.extend(length + 1);
        let end = other[other.len() - 1].clone();
        self.reconsider(&one[1], &end).expect("the node answers");
        vec![one[one.len() - 1].clone(), end, other[1].clone()]
    }

    /// Goes from one branch to the other and back.
    fn toggle(&self, branches: &[Tip]) -> Result<(), ClientError> {
        let [one, other, first_of_other] = branches else {
            unreachable!("as `branches` returns them")
        };
        loop {
            self.invalidate(first_of_other, one)?;
            self.reconsider(first_of_other, other)?;
        }
    }
}
