//! SIGKILL, again and again, at every kind of moment (rows D1 and D2). After each kill the program must recover unattended, the
//! coins must be those of the blocks, and nothing that was acknowledged may be missing.
//!
//! Moments are chosen by what is seen from outside: a request under way, the write-ahead log growing, the database being opened,
//! the wallet's temporary file; and at random around these.

use std::thread::sleep;
use std::time::Duration;

use quarry::rpc::NodeFile;

use crate::fixtures::{OLD_BLOCKS, old_chain, wallet_template};
use crate::kills_wallet::WalletScene;
use crate::support::{Folder, Process, Random, Tip, hash_at, setting, tip, watch_for};
use crate::tally::{Hit, Phase, Tally};
use crate::work::{Job, Work};

/// Kills in the short form; `QUARRY_TEST_KILLS` asks for more.
const KILLS: u64 = 72;
/// What the kills are aimed at, in turns; recovery comes in between.
const PHASES: [Phase; 8] = [
    Phase::Connect,
    Phase::Disconnect,
    Phase::Reorg,
    Phase::Sync,
    Phase::Import,
    Phase::Wallet,
    Phase::Send,
    Phase::StartUp,
];
/// How long work goes on at most before the kill.
const WORK: Duration = Duration::from_millis(30);
/// What connecting may take until a block is under way: addresses and payments before it go to the wallet's file.
const PREPARATION: Duration = Duration::from_secs(2);
/// About what a sync of the disk takes.
const SYNC_TIME: Duration = Duration::from_micros(2_500);
/// What a start takes at most, on a machine that is not busy.
const START_TIME: Duration = Duration::from_millis(70);
/// A phase that was always missed is aimed at further, up to so many rounds in all.
const MORE_ROUNDS: u64 = 24;
/// A chain grows; after so many rounds a new folder is taken.
const ROUNDS_PER_FOLDER: u64 = 40;
/// What the log of a node that catches up may grow to before the kill.
const CATCH_UP_BYTES: u64 = 500_000;

#[test]
fn d01_d02_killed_at_any_moment_it_recovers_and_loses_nothing_acknowledged() {
    let kills = setting("QUARRY_TEST_KILLS", KILLS);
    let mut random = Random::new(setting("QUARRY_TEST_SEED", 0x5eed));
    let mut tally = Tally::default();
    let mut online = Online::new();
    let mut sync = CatchUp::sync();
    let mut import = CatchUp::import();
    let mut wallet = WalletScene::new();
    let mut phases = PHASES.to_vec();
    phases.push(Phase::Recovery);
    let mut round = 0;
    while tally.kills() < kills || (round < MORE_ROUNDS && tally.lacks(&phases).is_some()) {
        for phase in PHASES {
            match phase {
                Phase::Sync => sync.kill(&mut random, &mut tally),
                Phase::Import => import.kill(&mut random, &mut tally),
                Phase::Wallet => wallet.kill_change(&mut random, &mut tally),
                Phase::Send => wallet.kill_send(&mut random, &mut tally),
                phase => online.kill(phase, &mut random, &mut tally),
            }
        }
        round += 1;
        if round % ROUNDS_PER_FOLDER == 0 {
            online = Online::new();
            wallet = WalletScene::new();
        }
    }
    eprintln!("{tally}");
    assert_eq!(tally.lacks(&phases), None, "{tally}");
}

/// Kills nodes that start after a kill, one time in two up to three times in a row.
pub fn kill_recoveries(folder: &Folder, random: &mut Random, tally: &mut Tally) {
    if random.one_in(2) {
        for _ in 0..=random.below(3) {
            let hit = kill_start(folder, random);
            tally.count(Phase::Recovery, hit);
        }
    }
}

/// Starts a node and kills it between the opening of its database and its first answer.
fn kill_start(folder: &Folder, random: &mut Random) -> Hit {
    let (opening, files) = (folder.opening(), folder.sorted_files());
    let mut node = folder.up(&[]);
    watch_for(Duration::from_secs(20), || {
        folder.opening() != opening || node.has_ended().is_some()
    });
    if random.one_in(2) {
        // What the log held goes to a sorted file, or small files are merged.
        watch_for(START_TIME / 2, || folder.sorted_files() > files);
        sleep(random.moment(SYNC_TIME));
    } else {
        sleep(random.moment(START_TIME / 2));
    }
    let answered = node.is_up();
    let written = folder.sorted_files() != files;
    assert!(node.kill(), "the node ended before it was killed");
    match (answered, written) {
        (true, _) => Hit::Missed,
        (false, true) => Hit::MidWrite,
        (false, false) => Hit::UnderWay,
    }
}

/// Blocks connected and disconnected by a running node.
struct Online {
    folder: Folder,
    /// `None` while no answer was given.
    known: Option<Tip>,
    addresses: Vec<String>,
}

impl Online {
    fn new() -> Self {
        Self {
            folder: Folder::copy_of(&wallet_template().folder.path),
            known: None,
            addresses: Vec::new(),
        }
    }

    fn kill(&mut self, phase: Phase, random: &mut Random, tally: &mut Tally) {
        if phase == Phase::StartUp {
            let hit = kill_start(&self.folder, random);
            tally.count(phase, hit);
        } else {
            self.kill_at_work(phase, random, tally);
        }
        if phase == Phase::StartUp {
            kill_recoveries(&self.folder, random, tally);
            let found = self.folder.assert_sound("after a kill during start-up");
            assert!(self.known.as_ref().is_none_or(|known| *known == found));
        }
    }

    fn kill_at_work(&mut self, phase: Phase, random: &mut Random, tally: &mut Tally) {
        let mut node = self.folder.up(&[]);
        let client = node.client();
        if let Some(known) = &self.known {
            assert_eq!(hash_at(&client, known.height).as_ref(), Some(&known.hash));
        }
        let job = match phase {
            Phase::Disconnect => Job::Disconnect,
            Phase::Reorg => Job::Toggle(2 + random.below(12)),
            _ => Job::Connect,
        };
        let work = Work::begin(client, &self.folder, job);
        // Disconnecting is soon over.
        let (limit, patience) = match phase {
            Phase::Disconnect => (WORK / 6, WORK),
            Phase::Connect => (WORK, PREPARATION),
            _ => (WORK, WORK),
        };
        sleep(random.moment(limit));
        if !random.one_in(3) {
            watch_for(patience, || work.is_writing());
            if !random.one_in(3) {
                sleep(random.moment(SYNC_TIME));
            }
        }
        assert!(node.kill(), "the node ended before it was killed");
        let progress = work.end();
        let hit = match &progress.under_way {
            None => Hit::Missed,
            Some(request) if self.folder.log_bytes() > request.log_bytes => Hit::MidWrite,
            Some(_) => Hit::UnderWay,
        };
        tally.count(phase, hit);
        kill_recoveries(&self.folder, random, tally);
        let found = self.folder.assert_sound("after a kill at work");
        progress.assert_allows(&found);
        if found == progress.acknowledged && hit != Hit::Missed {
            tally.undone();
        }
        self.addresses.extend_from_slice(&progress.addresses);
        let listed = self.folder.ok(&["list-addresses"]);
        for address in &self.addresses {
            assert!(
                listed.contains(address.as_str()),
                "the address {address} was handed out and is gone"
            );
        }
        self.known = Some(found);
    }
}

/// A folder that catches up with the old chain, from a peer or from the file, and begins again when it has.
struct CatchUp {
    folder: Folder,
    phase: Phase,
    peer: Option<Peer>,
    height: u64,
}

/// A node that has the old chain.
struct Peer {
    address: String,
    _running: (Process, Folder),
}

impl CatchUp {
    fn import() -> Self {
        Self {
            folder: Folder::new(),
            phase: Phase::Import,
            peer: None,
            height: 0,
        }
    }

    fn sync() -> Self {
        let (process, folder) = old_chain().folder.copy_started();
        let file = NodeFile::read(&folder.network()).expect("node.json");
        let address = file.expect("the peer runs").p2p[0].clone();
        Self {
            folder: Folder::new(),
            phase: Phase::Sync,
            peer: Some(Peer {
                address,
                _running: (process, folder),
            }),
            height: 0,
        }
    }

    fn kill(&mut self, random: &mut Random, tally: &mut Tally) {
        let mut process = match &self.peer {
            Some(peer) => self.folder.up(&["--peer", &peer.address]),
            None => {
                let file = old_chain().file.display().to_string();
                self.folder.start(&[], &["import-blocks", &file])
            }
        };
        // Half of the time soon after the first bytes, else when there are many.
        let (bytes, later) = match random.one_in(2) {
            true => (0, WORK * 2),
            false => (random.below(CATCH_UP_BYTES), SYNC_TIME),
        };
        let opening = self.folder.opening();
        let mut acknowledged = 0;
        watch_for(Duration::from_secs(20), || {
            self.folder.opening() != opening || process.has_ended().is_some()
        });
        watch_for(Duration::from_millis(1_500), || {
            let enough = self.folder.log_bytes() > bytes;
            enough || process.has_ended().is_some()
        });
        if process.is_up() && random.one_in(2) {
            acknowledged = process.try_client().map_or(0, |client| tip(&client).height);
        }
        sleep(random.moment(later));
        let written = self.folder.log_bytes() > 0;
        let alive = process.kill();
        kill_recoveries(&self.folder, random, tally);
        let found = self.folder.assert_sound("after a kill while catching up");
        assert!(
            found.height >= acknowledged.max(self.height),
            "{acknowledged} was acknowledged, {} was there, and now {}",
            self.height,
            found.height
        );
        let last = u64::from(OLD_BLOCKS) - 1;
        // Blocks wait in memory for others, and are written together.
        let hit = match alive && written && found.height < last {
            true if found.height > self.height => Hit::MidWrite,
            true => Hit::UnderWay,
            false => Hit::Missed,
        };
        tally.count(self.phase, hit);
        self.height = found.height;
        if found.height == last {
            self.folder.begin_again(None);
            self.height = 0;
        }
    }
}
