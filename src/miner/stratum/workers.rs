//! Statistics, by worker: all connections of one name together. Kept while the server runs, within a number.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::difficulty::Difficulty;
use super::limits::MAX_WORKERS;
use super::session::{Event, Now};
use crate::primitives::PubkeyHash;

/// How fast a hash rate forgets: after this time a change shows by 63 %. Shares are few, so a shorter one would jump about.
const TIME_CONSTANT: Duration = Duration::from_secs(120);

/// What is known of a worker.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerInfo {
    /// Its name, as it was authorized.
    pub name: String,
    /// Whom it mines for.
    pub payout: PubkeyHash,
    /// What its latest connection calls itself.
    pub agent: String,
    /// Its connections now.
    pub connections: u32,
    /// The latest difficulty of a share of it.
    pub difficulty: f64,
    /// Hashes a second, from the shares of the last minutes.
    pub hash_rate: f64,
    /// Shares that were taken.
    pub accepted: u64,
    /// Shares that came too late.
    pub stale: u64,
    /// Shares that were refused for other reasons.
    pub rejected: u64,
    /// Blocks of it that became the tip.
    pub blocks_found: u64,
    /// The most that a share's hash would have sufficed for.
    pub best_share: f64,
    /// When its last share was taken, in seconds since 1970.
    pub last_share: Option<u64>,
}

/// What is known of all.
#[derive(Debug, Clone, PartialEq)]
pub struct StratumInfo {
    /// Where miners connect.
    pub listening: SocketAddr,
    /// Connections now, also those without a worker.
    pub connections: usize,
    /// Workers that are connected.
    pub active_workers: usize,
    /// Hashes a second of all workers, from the shares of the last minutes.
    pub hash_rate: f64,
    /// Shares that were taken, since the start, as the following.
    pub accepted: u64,
    /// Shares that came too late.
    pub stale: u64,
    /// Shares that were refused for other reasons.
    pub rejected: u64,
    /// Blocks that became the tip.
    pub blocks_found: u64,
}

/// A hash rate from shares: an average that forgets.
#[derive(Debug, Clone, Copy)]
struct ShareRate {
    /// Hashes, the older the fewer.
    hashes: f64,
    began: Duration,
    at: Duration,
}

impl ShareRate {
    const fn new(now: Duration) -> Self {
        Self {
            hashes: 0.0,
            began: now,
            at: now,
        }
    }

    /// What is left after a time.
    fn fade(time: Duration) -> f64 {
        (-time.as_secs_f64() / TIME_CONSTANT.as_secs_f64()).exp()
    }

    fn add(&mut self, difficulty: Difficulty, now: Duration) {
        self.hashes = self.hashes * Self::fade(now.saturating_sub(self.at)) + difficulty.hashes();
        self.at = now;
    }

    fn per_second(&self, now: Duration) -> f64 {
        let left = self.hashes * Self::fade(now.saturating_sub(self.at));
        // At first the time that was looked at is shorter than the average remembers.
        let seen = 1.0 - Self::fade(now.saturating_sub(self.began).max(Duration::from_secs(1)));
        left / (TIME_CONSTANT.as_secs_f64() * seen)
    }
}

#[derive(Debug)]
struct Worker {
    info: WorkerInfo,
    rate: ShareRate,
    /// When it last joined or sent a share.
    seen: Duration,
}

#[derive(Debug, Default)]
struct Totals {
    connections: usize,
    accepted: u64,
    stale: u64,
    rejected: u64,
    blocks_found: u64,
}

#[derive(Debug, Default)]
struct Book {
    workers: BTreeMap<Arc<str>, Worker>,
    totals: Totals,
}

/// The statistics of a server.
#[derive(Debug, Default)]
pub(super) struct Workers(Mutex<Book>);

impl Workers {
    fn book(&self) -> MutexGuard<'_, Book> {
        // Counts are right or one behind after any panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection was opened.
    pub(super) fn connected(&self) {
        self.book().totals.connections += 1;
    }

    /// A connection was closed that had these workers.
    pub(super) fn disconnected(&self, names: &[Arc<str>]) {
        let mut book = self.book();
        book.totals.connections = book.totals.connections.saturating_sub(1);
        for name in names {
            if let Some(worker) = book.workers.get_mut(name) {
                worker.info.connections = worker.info.connections.saturating_sub(1);
            }
        }
    }

    /// Something happened to a worker.
    pub(super) fn note(&self, name: &Arc<str>, event: Event, now: Now) {
        let mut book = self.book();
        if let Event::Joined { payout, agent } = event {
            return book.join(name, payout, agent, now);
        }
        let Book { workers, totals } = &mut *book;
        let Some(worker) = workers.get_mut(name) else {
            return;
        };
        match event {
            Event::Joined { .. } => {}
            Event::Accepted {
                difficulty,
                reached,
            } => {
                totals.accepted += 1;
                worker.info.accepted += 1;
                worker.info.difficulty = difficulty.value();
                worker.info.best_share = worker.info.best_share.max(reached.value());
                worker.info.last_share = Some(now.unix);
                worker.rate.add(difficulty, now.uptime);
                worker.seen = now.uptime;
            }
            Event::Stale => {
                totals.stale += 1;
                worker.info.stale += 1;
            }
            Event::Rejected => {
                totals.rejected += 1;
                worker.info.rejected += 1;
            }
        }
    }

    /// A worker's block became the tip.
    pub(super) fn found_block(&self, name: &Arc<str>) {
        let mut book = self.book();
        book.totals.blocks_found += 1;
        if let Some(worker) = book.workers.get_mut(name) {
            worker.info.blocks_found += 1;
        }
    }

    /// All workers, by name.
    pub(super) fn list(&self, now: Duration) -> Vec<WorkerInfo> {
        let book = self.book();
        let shown = |worker: &Worker| WorkerInfo {
            hash_rate: worker.rate.per_second(now),
            ..worker.info.clone()
        };
        book.workers.values().map(shown).collect()
    }

    /// All together.
    pub(super) fn info(&self, listening: SocketAddr, now: Duration) -> StratumInfo {
        let book = self.book();
        let workers = book.workers.values();
        let is_active = |worker: &&Worker| worker.info.connections > 0;
        StratumInfo {
            listening,
            connections: book.totals.connections,
            active_workers: workers.clone().filter(is_active).count(),
            // Not `sum`, which is -0 where there is nothing to add.
            hash_rate: workers.fold(0.0, |sum, worker| sum + worker.rate.per_second(now)),
            accepted: book.totals.accepted,
            stale: book.totals.stale,
            rejected: book.totals.rejected,
            blocks_found: book.totals.blocks_found,
        }
    }
}

impl Book {
    fn join(&mut self, name: &Arc<str>, payout: PubkeyHash, agent: String, now: Now) {
        if !self.workers.contains_key(name) && self.workers.len() >= MAX_WORKERS {
            self.forget_oldest();
        }
        let new = || Worker {
            info: WorkerInfo {
                name: name.to_string(),
                payout,
                agent: String::new(),
                connections: 0,
                difficulty: 0.0,
                hash_rate: 0.0,
                accepted: 0,
                stale: 0,
                rejected: 0,
                blocks_found: 0,
                best_share: 0.0,
                last_share: None,
            },
            rate: ShareRate::new(now.uptime),
            seen: now.uptime,
        };
        let worker = self.workers.entry(Arc::clone(name)).or_insert_with(new);
        worker.info.connections += 1;
        worker.info.agent = agent;
        worker.seen = now.uptime;
    }

    /// Forgets the worker that was seen longest ago: one without a connection, if there is one.
    fn forget_oldest(&mut self) {
        let rank = |worker: &Worker| (worker.info.connections > 0, worker.seen);
        let oldest = self.workers.iter().min_by_key(|(_, worker)| rank(worker));
        if let Some(name) = oldest.map(|(name, _)| Arc::clone(name)) {
            self.workers.remove(&name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Now {
        Now {
            unix: 1_800_000_000 + seconds,
            uptime: Duration::from_secs(seconds),
        }
    }

    fn join() -> Event {
        Event::Joined {
            payout: PubkeyHash::ZERO,
            agent: "test".into(),
        }
    }

    #[test]
    fn the_rate_is_that_of_the_shares_from_the_first_minute_on_and_fades() {
        let (workers, name) = (Workers::default(), Arc::from("w"));
        workers.note(&name, join(), at(0));
        let difficulty = Difficulty::new(1.0).unwrap();
        let share = Event::Accepted {
            difficulty,
            reached: difficulty,
        };
        let expected = difficulty.hashes() / 5.0;
        for second in (5..=600).step_by(5) {
            workers.note(&name, share.clone(), at(second));
            let rate = workers.list(at(second).uptime)[0].hash_rate;
            assert!(second < 30 || (rate / expected - 1.0).abs() < 0.2, "{rate}");
        }
        let later = &workers.list(at(3600).uptime)[0];
        assert!(later.hash_rate < expected / 1e6);
        assert_eq!(
            (later.accepted, later.last_share),
            (120, Some(1_800_000_600))
        );
    }

    #[test]
    fn workers_are_bounded_and_those_that_left_go_first() {
        let workers = Workers::default();
        let stays: Arc<str> = Arc::from("stays");
        workers.note(&stays, join(), at(0));
        for number in 0..2 * MAX_WORKERS as u64 {
            let name: Arc<str> = Arc::from(format!("w{number}"));
            workers.connected();
            workers.note(&name, join(), at(1 + number));
            workers.disconnected(&[name]);
        }
        let list = workers.list(at(9999).uptime);
        assert_eq!(list.len(), MAX_WORKERS);
        assert!(list.iter().any(|worker| worker.name == "stays"));
        let address = SocketAddr::from(([127, 0, 0, 1], 3333));
        let info = workers.info(address, at(9999).uptime);
        assert_eq!((info.connections, info.active_workers), (0, 1));
    }
}
