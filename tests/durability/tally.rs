//! Counting what was hit.

use std::collections::BTreeMap;
use std::fmt;

/// Where a kill can come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// While a block is being connected.
    Connect,
    /// While blocks are being disconnected.
    Disconnect,
    /// While one branch takes the place of another.
    Reorg,
    /// While blocks come from a peer.
    Sync,
    /// While blocks come from a file.
    Import,
    /// While the wallet file changes.
    Wallet,
    /// While a command without a node pays.
    Send,
    /// While a node starts that was stopped in order.
    StartUp,
    /// While a node starts after a kill.
    Recovery,
}

/// What a kill has hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hit {
    /// Nothing: what was aimed at was over, or had not begun.
    Missed,
    /// What was aimed at was under way.
    UnderWay,
    /// It was, and had written something that was not acknowledged yet.
    MidWrite,
}

#[derive(Debug, Default)]
struct Row {
    kills: u64,
    hits: u64,
    mid_write: u64,
}

/// Kills by phase.
#[derive(Debug, Default)]
pub struct Tally {
    rows: BTreeMap<Phase, Row>,
    lost_unacknowledged: u64,
}

impl Tally {
    pub fn count(&mut self, phase: Phase, hit: Hit) {
        let row = self.rows.entry(phase).or_default();
        row.kills += 1;
        row.hits += u64::from(hit != Hit::Missed);
        row.mid_write += u64::from(hit == Hit::MidWrite);
    }

    /// Notes that what was under way is not there, which is allowed.
    pub fn undone(&mut self) {
        self.lost_unacknowledged += 1;
    }

    pub fn kills(&self) -> u64 {
        self.rows.values().map(|row| row.kills).sum()
    }

    /// What the kills have not shown: a phase that was never hit, none that came between writing and acknowledging, fewer than one
    /// in ten that came during recovery.
    pub fn lacks(&self, phases: &[Phase]) -> Option<String> {
        let row = |phase: &Phase| self.rows.get(phase);
        for phase in phases {
            if row(phase).is_none_or(|row| row.hits == 0) {
                return Some(format!("no kill came during {phase:?}"));
            }
        }
        for phase in [Phase::Connect, Phase::Reorg, Phase::Wallet] {
            if row(&phase).is_none_or(|row| row.mid_write == 0) {
                return Some(format!("no kill came in mid-write of {phase:?}"));
            }
        }
        let recovery = row(&Phase::Recovery).map_or(0, |row| row.hits);
        (recovery * 10 < self.kills())
            .then(|| "fewer than a tenth of the kills came during recovery".to_owned())
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| killed during | kills | under way | in mid-write |")?;
        writeln!(f, "|---|---|---|---|")?;
        for (phase, row) in &self.rows {
            let name = format!("{phase:?}");
            let Row {
                kills,
                hits,
                mid_write,
            } = row;
            writeln!(f, "| {name} | {kills} | {hits} | {mid_write} |")?;
        }
        let hits: u64 = self.rows.values().map(|row| row.hits).sum();
        writeln!(f, "| all | {} | {hits} | |", self.kills())?;
        write!(
            f,
            "what was under way and not acknowledged was gone after {} kills",
            self.lost_unacknowledged
        )
    }
}
