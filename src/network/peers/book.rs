//! The file of known peers, anchors and bans (`peers.json`).
//!
//! It is a hint, not state: a damaged file is set aside with a warning. Everything in it is bounded.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use libp2p::PeerId;
use serde::{Deserialize, Serialize};

use super::{
    addresses::{AddressTable, FilePeers, Located},
    bans::{BanEntry, BanTarget, Bans},
};

/// Outbound peers dialled first after a restart, so that a restart is no chance to surround us.
const MAX_ANCHORS: usize = 2;
/// A larger file is not ours.
const MAX_FILE: u64 = 4 << 20;

#[derive(Debug, Default, Serialize, Deserialize)]
struct File {
    version: u32,
    peers: FilePeers,
    #[serde(default)]
    anchors: Vec<String>,
    #[serde(default)]
    bans: Bans,
}

/// The same, without copies.
#[derive(Debug, Serialize)]
struct FileToWrite<'a> {
    version: u32,
    peers: FilePeers,
    anchors: &'a [String],
    bans: &'a Bans,
}

/// See the module's documentation.
#[derive(Debug)]
pub(in crate::network) struct AddressBook {
    path: PathBuf,
    table: AddressTable,
    anchors: Vec<String>,
    bans: Bans,
    changed: bool,
}

impl AddressBook {
    /// Reads the file, or begins an empty book.
    pub(in crate::network) fn load(path: &Path) -> Self {
        let file = match read(path) {
            Ok(Some(file)) => file,
            Ok(None) => File::default(),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "the file of known peers is damaged; beginning a new one");
                let _ = fs::rename(path, path.with_extension("json.damaged"));
                File::default()
            }
        };
        Self {
            path: path.into(),
            table: AddressTable::from_file(file.peers),
            anchors: file.anchors,
            bans: file.bans,
            changed: false,
        }
    }

    /// The known addresses, to look at.
    pub(in crate::network) fn table(&self) -> &AddressTable {
        &self.table
    }

    /// The known addresses, to change.
    pub(in crate::network) fn table_mut(&mut self) -> &mut AddressTable {
        self.changed = true;
        &mut self.table
    }

    /// Peers that were reached: anchors first, then the last reached.
    pub(in crate::network) fn reached(&self) -> Vec<Located> {
        let mut peers = self.table.all_reached();
        // Stable: the others stay in their order.
        peers.sort_by_key(|(peer, _)| !self.anchors.contains(&peer.to_string()));
        peers
    }

    /// Remembers the first of these outbound peers.
    pub(in crate::network) fn set_anchors(&mut self, peers: impl Iterator<Item = PeerId>) {
        let anchors: Vec<_> = peers
            .take(MAX_ANCHORS)
            .map(|peer| peer.to_string())
            .collect();
        if !anchors.is_empty() && anchors != self.anchors {
            self.anchors = anchors;
            self.changed = true;
        }
    }

    /// Bans that have not ended at `unix`.
    pub(in crate::network) fn bans(&self, unix: u64) -> Vec<(BanTarget, BanEntry)> {
        self.bans.at(unix)
    }

    /// Counts a ban of `peer` for misbehaviour and returns it: 1 h, 12 h, then 24 h.
    pub(in crate::network) fn punish(&mut self, peer: PeerId, unix: u64) -> BanEntry {
        self.changed = true;
        self.bans.punish(peer, unix)
    }

    /// Bans until a time, Unix seconds.
    pub(in crate::network) fn ban(&mut self, target: &BanTarget, unix: u64, until: u64) {
        self.changed = true;
        self.bans.set(target, unix, until);
    }

    /// Ends a ban. Answers whether there was one.
    pub(in crate::network) fn unban(&mut self, target: &BanTarget, unix: u64) -> bool {
        self.changed = true;
        self.bans.remove(target, unix)
    }

    /// Ends all bans.
    pub(in crate::network) fn clear_bans(&mut self) {
        self.changed = true;
        self.bans.clear();
    }

    /// What to write, if anything changed since the last call: the path and the content.
    pub(in crate::network) fn take_changes(&mut self) -> Option<(PathBuf, Vec<u8>)> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        let file = FileToWrite {
            version: 1,
            peers: self.table.to_file(),
            anchors: &self.anchors,
            bans: &self.bans,
        };
        let content = serde_json::to_vec_pretty(&file).ok()?;
        Some((self.path.clone(), content))
    }

    /// Writes the content under another name and renames it, so that a crash leaves a whole file.
    pub(in crate::network) fn write(path: &Path, content: &[u8]) -> io::Result<()> {
        let temporary = path.with_extension("json.tmp");
        let mut file = fs::File::create(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    }
}

fn read(path: &Path) -> io::Result<Option<File>> {
    let length = match fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if length > MAX_FILE {
        return Err(io::Error::other("larger than any we write"));
    }
    let mut file: File = serde_json::from_slice(&fs::read(path)?)?;
    file.bans.truncate();
    file.anchors.truncate(MAX_ANCHORS);
    Ok(Some(file))
}

#[cfg(test)]
mod tests {
    use super::*;
    use libp2p::Multiaddr;

    fn address(last: u8) -> Multiaddr {
        format!("/ip4/10.0.0.{last}/tcp/7667").parse().unwrap()
    }

    #[test]
    fn p15_what_is_written_is_read_again_anchors_first() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("peers.json");
        let (old, new, anchor) = (PeerId::random(), PeerId::random(), PeerId::random());
        let mut book = AddressBook::load(&path);
        let table = book.table_mut();
        table.reached(old, &address(1), 100);
        table.reached(new, &address(2), 300);
        table.reached(anchor, &address(3), 50);
        book.set_anchors([anchor].into_iter());
        book.punish(old, 1_000);
        let (path, content) = book.take_changes().unwrap();
        assert!(book.take_changes().is_none(), "nothing changed since");
        AddressBook::write(&path, &content).unwrap();

        let book = AddressBook::load(&path);
        let order: Vec<_> = book.reached().into_iter().map(|(peer, _)| peer).collect();
        assert_eq!(order, [anchor, new, old]);
        let ban = BanEntry {
            created: 1_000,
            until: 4_600,
            times: 1,
        };
        assert_eq!(book.bans(1_001), [(BanTarget::Peer(old), ban)]);
        assert!(book.bans(4_600).is_empty(), "it has ended");
    }

    /// P14: a full book is no larger than what is read again.
    #[test]
    fn p14_a_full_book_is_read_again_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("peers.json");
        let mut book = AddressBook::load(&path);
        for i in 0..1_100_u16 {
            let [a, b] = i.to_be_bytes();
            let table = book.table_mut();
            let one = format!("/ip4/10.1.{a}.{b}/tcp/7667").parse().unwrap();
            table.reached(PeerId::random(), &one, 2 + u64::from(i));
            let source = [20 + a, b, 1, 1].into();
            let other = format!("/ip4/{}.{b}.1.1/tcp/7667", 30 + a).parse().unwrap();
            table.heard(PeerId::random(), &other, 2_000_000, 2_000_000, source);
            book.punish(PeerId::random(), u64::from(i));
        }
        let known = book.table().len();
        assert_eq!(known, 1_000);
        let (path, content) = book.take_changes().unwrap();
        assert!(u64::try_from(content.len()).unwrap() < MAX_FILE);
        AddressBook::write(&path, &content).unwrap();
        let again = AddressBook::load(&path);
        assert_eq!(again.table().len(), known);
        assert_eq!(again.reached(), book.reached());
    }

    #[test]
    fn a_damaged_file_is_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("peers.json");
        fs::write(&path, b"{ broken").unwrap();
        assert!(AddressBook::load(&path).reached().is_empty());
        assert!(path.with_extension("json.damaged").exists());
    }
}
