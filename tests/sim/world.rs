//! The clock, the queue of what is to happen, and the links: everything outside the hosts.

use std::collections::BTreeMap;

use quarry::network::sync::{Event as SyncEvent, PeerKey, RequestFailure, RequestId};
use quarry::primitives::BlockHash;

use crate::chain::{Chain, Ledger};
use crate::host::Host;
use crate::links::{Link, Message, Session};
use crate::plan::{CALM, Chance, DECIDER, END, Fault, LAST_BLOCKS, Plan, SECOND};
use crate::work::Work;

/// How often a host looks at the clock.
const TICK: u64 = 500;
/// How often it polls its peers.
const POLL: u64 = 10 * SECOND;

/// Something that happens at its time.
pub enum Happening {
    Deliver {
        link: usize,
        session: u64,
        to: usize,
        message: Message,
    },
    Dial(usize),
    Gone {
        host: usize,
        key: PeerKey,
    },
    /// A link that is cut is noticed, if it is cut still.
    Noticed {
        link: usize,
        session: u64,
    },
    Tick(usize, u64),
    Poll(usize, u64),
    Facts(usize, u64),
    /// A helper of a host is done.
    Done(usize, u64, Work),
    TimeOut {
        host: usize,
        life: u64,
        request: RequestId,
    },
    Found,
    Decider,
    Plan(Fault),
}

/// A network that runs.
pub struct World {
    pub now: u64,
    pub ledger: Ledger,
    pub hosts: Vec<Host>,
    pub links: Vec<Link>,
    pub chance: Chance,
    queue: BTreeMap<(u64, u64), Happening>,
    sequence: u64,
    sides: Option<Vec<bool>>,
    spacing: u64,
    next_name: u64,
    pub trace: u64,
    /// When all honest hosts had one tip, after the last blocks.
    pub agreed_at: Option<u64>,
    pub report: Report,
}

/// What a run has seen.
#[derive(Debug, Default, Clone)]
pub struct Report {
    pub messages: u64,
    pub blocks: u64,
    pub reorgs: u64,
    pub deepest_reorg: u32,
    pub weighed: u64,
    pub bans: u64,
    pub most_requests: usize,
    pub most_held: usize,
    pub most_weighing: usize,
}

impl Report {
    /// Sums and extremes of both.
    pub fn add(&mut self, other: &Self) {
        self.messages += other.messages;
        self.blocks += other.blocks;
        self.reorgs += other.reorgs;
        self.deepest_reorg = self.deepest_reorg.max(other.deepest_reorg);
        self.weighed += other.weighed;
        self.bans += other.bans;
        self.most_requests = self.most_requests.max(other.most_requests);
        self.most_held = self.most_held.max(other.most_held);
        self.most_weighing = self.most_weighing.max(other.most_weighing);
    }
}

impl World {
    pub fn new(seed: u64, hosts: Option<usize>) -> Self {
        let mut chance = Chance::new(seed);
        let plan = Plan::new(&mut chance, hosts);
        let mut ledger = Ledger::new();
        let mut full = Chain::new(ledger.genesis);
        for height in 0..plan.history {
            let tip = full.tip();
            let hash = ledger.make(&tip, 1_600_000_000 + height, 0, 300);
            full.take_body(&ledger, &hash, u64::MAX / 2);
        }
        let hosts: Vec<_> = (plan.manners.iter().zip(&plan.shares))
            .enumerate()
            .map(|(number, (manner, share))| {
                // Some join with nothing.
                let is_late = number > 0 && chance.one_in(5);
                let chain = if is_late {
                    Chain::new(ledger.genesis)
                } else {
                    full.clone()
                };
                Host::new(number, *manner, *share, &ledger, chain)
            })
            .collect();
        let links = plan
            .links
            .iter()
            .map(|(ends, latency, rate, loss)| Link {
                ends: *ends,
                latency: *latency,
                rate: *rate,
                loss: *loss,
                session: None,
                busy_until: [0; 2],
                dialling: false,
            })
            .collect();
        let mut world = Self {
            now: 0,
            ledger,
            hosts,
            links,
            chance,
            queue: BTreeMap::new(),
            sequence: 0,
            sides: None,
            spacing: plan.spacing,
            next_name: 0,
            trace: 0xcbf2_9ce4_8422_2325,
            agreed_at: None,
            report: Report::default(),
        };
        for link in 0..world.links.len() {
            world.dial_soon(link);
        }
        for host in 0..world.hosts.len() {
            world.wind_up(host);
        }
        for (time, fault) in plan.faults {
            world.at(time, Happening::Plan(fault));
        }
        world.at(0, Happening::Found);
        world.at(DECIDER, Happening::Decider);
        world
    }

    /// Runs to the end.
    pub fn run(&mut self) {
        while let Some(((time, _), happening)) = self.queue.pop_first() {
            if time > END {
                break;
            }
            self.now = time;
            self.happen(happening);
        }
        self.now = END;
    }

    pub fn at(&mut self, time: u64, happening: Happening) {
        self.sequence += 1;
        self.queue.insert((time, self.sequence), happening);
    }

    pub fn after(&mut self, delay: u64, happening: Happening) {
        self.at(self.now + delay, happening);
    }

    /// Adds to the trace: two runs with one trace did the same (FNV-1a).
    pub fn note(&mut self, what: &[u64]) {
        for number in what {
            self.trace = (self.trace ^ number).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Deliver {
                link,
                session,
                to,
                message,
            } => self.deliver(link, session, to, message),
            Happening::Dial(link) => self.dial(link),
            Happening::Gone { host, key } => {
                if self.hosts[host].peers.remove(&key).is_some() {
                    self.note(&[self.now, 1, host as u64]);
                    self.sync_event(host, SyncEvent::PeerGone { peer: key });
                }
            }
            Happening::Noticed { link, session } => {
                let is_same = self.session(link) == Some(session);
                if is_same && self.is_cut(link) {
                    self.disconnect(link);
                }
            }
            Happening::Tick(host, life) => {
                if self.hosts[host].life == life {
                    self.tick(host);
                    self.after(TICK, Happening::Tick(host, life));
                }
            }
            Happening::Poll(host, life) => {
                if self.hosts[host].life == life {
                    self.tell_all(host);
                    self.after(POLL, Happening::Poll(host, life));
                }
            }
            Happening::Facts(host, life) => {
                if self.hosts[host].life == life {
                    self.hosts[host].facts_due = false;
                    let event = self.hosts[host].facts_event(&self.ledger);
                    self.sync_event(host, event);
                }
            }
            Happening::Done(host, life, work) => {
                if self.hosts[host].life == life {
                    self.do_work(host, work);
                }
            }
            Happening::TimeOut {
                host,
                life,
                request,
            } => {
                if self.hosts[host].life == life {
                    let failure = RequestFailure::Timeout;
                    self.sync_event(host, SyncEvent::RequestFailed { request, failure });
                }
            }
            Happening::Found => {
                self.find_block();
                let wait = self.chance.wait(self.spacing);
                if self.now + wait < LAST_BLOCKS {
                    self.after(wait, Happening::Found);
                }
            }
            Happening::Decider => self.decide(),
            Happening::Plan(fault) => self.go_wrong(fault),
        }
    }

    /// Starts a host's clocks.
    fn wind_up(&mut self, host: usize) {
        let life = self.hosts[host].life;
        let (tick, poll) = (self.chance.below(TICK), self.chance.below(POLL));
        self.after(tick, Happening::Tick(host, life));
        self.after(poll, Happening::Poll(host, life));
    }

    fn go_wrong(&mut self, fault: Fault) {
        self.note(&[self.now, 2]);
        match fault {
            Fault::Split(sides) => {
                self.sides = Some(sides);
                for link in 0..self.links.len() {
                    if let (true, Some(session)) = (self.is_cut(link), self.session(link)) {
                        let delay = self.chance.between(20 * SECOND, 40 * SECOND);
                        self.after(delay, Happening::Noticed { link, session });
                    }
                }
            }
            Fault::Heal => self.sides = None,
            Fault::Crash { host, keeps_disk } => {
                self.hosts[host].crash(&self.ledger, keeps_disk);
                for link in 0..self.links.len() {
                    if self.links[link].ends.contains(&host) {
                        self.disconnect(link);
                    }
                }
            }
            Fault::Start(host) => {
                self.hosts[host].start(&self.ledger, self.now);
                self.wind_up(host);
            }
            Fault::Clock { host, error } => self.hosts[host].clock_error = error,
        }
    }

    fn session(&self, link: usize) -> Option<u64> {
        self.links[link].session.map(|session| session.number)
    }

    /// Whether nothing gets through.
    fn is_cut(&self, link: usize) -> bool {
        let [a, b] = self.links[link].ends;
        let is_split = self
            .sides
            .as_ref()
            .is_some_and(|sides| sides[a] != sides[b]);
        is_split || !self.hosts[a].up || !self.hosts[b].up
    }

    fn dial_soon(&mut self, link: usize) {
        if !self.links[link].dialling {
            self.links[link].dialling = true;
            let delay = self.chance.between(100, 10 * SECOND);
            self.after(delay, Happening::Dial(link));
        }
    }

    fn dial(&mut self, link: usize) {
        self.links[link].dialling = false;
        let [a, b] = self.links[link].ends;
        if self.hosts[a].banned.contains(&b) || self.hosts[b].banned.contains(&a) {
            return;
        }
        if self.is_cut(link) {
            self.dial_soon(link);
            return;
        }
        self.note(&[self.now, 3, link as u64]);
        let keys = [PeerKey(self.next_name + 1), PeerKey(self.next_name + 2)];
        self.next_name += 2;
        self.links[link].session = Some(Session {
            number: self.next_name,
            keys,
        });
        for (host, key) in [(a, keys[0]), (b, keys[1])] {
            self.hosts[host].peers.insert(key, link);
            let claim = self.hosts[host].claim(&self.ledger);
            let message = Message::Status {
                claim,
                answer: false,
            };
            self.send(host, link, message);
        }
    }

    /// Ends a connection; both ends hear of it, and dial again.
    pub fn disconnect(&mut self, link: usize) {
        let Some(session) = self.links[link].session.take() else {
            return;
        };
        let latency = self.links[link].latency;
        for (host, key) in self.links[link].ends.into_iter().zip(session.keys) {
            self.after(latency, Happening::Gone { host, key });
        }
        self.links[link].busy_until = [self.now; 2];
        self.dial_soon(link);
    }

    /// Sends over a link, in order; what is lost is sent again, ever later, until the connection breaks.
    pub fn send(&mut self, from: usize, at: usize, message: Message) {
        let link = &mut self.links[at];
        let Some(session) = link.session else { return };
        let bytes = size_of(&self.ledger, &message);
        let end = link.end(from);
        let mut sent = link.busy_until[end].max(self.now) + bytes / link.rate;
        let mut again = 200;
        while self.chance.below(1_000) < link.loss {
            sent += again;
            again *= 2;
        }
        link.busy_until[end] = sent;
        let (to, latency) = (link.other(from), link.latency);
        if again > 200 << 6 {
            self.disconnect(at);
            return;
        }
        self.report.messages += 1;
        self.at(
            sent + latency,
            Happening::Deliver {
                link: at,
                session: session.number,
                to,
                message,
            },
        );
    }

    fn deliver(&mut self, link: usize, session: u64, to: usize, message: Message) {
        if self.session(link) != Some(session) || self.is_cut(link) {
            return;
        }
        let end = self.links[link].end(to);
        let Some(session) = self.links[link].session else {
            return;
        };
        self.note(&[self.now, 4, link as u64, to as u64]);
        self.receive(to, session.keys[end], link, message);
    }

    fn find_block(&mut self) {
        let sum: u64 = self.hosts.iter().map(|host| host.share).sum();
        let mut pick = self.chance.below(sum);
        for host in 0..self.hosts.len() {
            let share = self.hosts[host].share;
            if pick < share {
                self.mine(host);
                return;
            }
            pick -= share;
        }
    }

    fn decide(&mut self) {
        let tip = |host: &Host| self.ledger.work(&host.chain.tip());
        let honest = self.hosts.iter().filter(|host| host.is_honest());
        let best = honest.max_by_key(|host| tip(host)).map(|host| host.number);
        if !best.is_some_and(|host| self.mine(host)) {
            self.after(SECOND, Happening::Decider);
        }
    }

    /// The tips of the honest hosts.
    pub fn tips(&self) -> Vec<BlockHash> {
        let honest = self.hosts.iter().filter(|host| host.is_honest());
        honest.map(|host| host.chain.tip()).collect()
    }

    /// Notes when there is one tip.
    pub fn look_for_agreement(&mut self) {
        if self.now >= CALM {
            let tips = self.tips();
            let agree = tips.iter().all(|tip| *tip == tips[0]);
            match (agree, self.agreed_at) {
                (true, None) => self.agreed_at = Some(self.now),
                (false, Some(_)) => self.agreed_at = None,
                _ => {}
            }
        }
    }
}

fn size_of(ledger: &Ledger, message: &Message) -> u64 {
    match message {
        Message::Status { .. } => 200,
        Message::Block { hash, whole: true } => 100 + ledger.get(hash).bytes,
        Message::Block { whole: false, .. } => 150,
        Message::AskHeaders { locator, .. } => 50 + 32 * locator.len() as u64,
        Message::Headers { headers, .. } => 50 + 80 * headers.len() as u64,
        Message::AskBlocks { hashes, .. } => 50 + 32 * hashes.len() as u64,
        Message::Blocks { hashes, .. } => {
            let bodies = hashes.iter().map(|hash| ledger.get(hash).bytes);
            50 + bodies.sum::<u64>()
        }
    }
}
