//! The file of known peers, anchors and bans (`peers.json`).
//!
//! It is a hint, not state: a damaged file is set aside with a warning. Everything in it is bounded.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use libp2p::{Multiaddr, PeerId};
use serde::{Deserialize, Serialize};

/// Known peers; the one not seen for the longest makes room.
const MAX_PEERS: usize = 1_000;
/// Addresses of one peer; the oldest makes room.
const MAX_ADDRESSES: usize = 4;
/// Bans; the one that ends first makes room.
const MAX_BANS: usize = 1_000;
/// Outbound peers dialled first after a restart, so that a restart is no chance to surround us.
const MAX_ANCHORS: usize = 2;
/// A larger file is not ours.
const MAX_FILE: u64 = 4 << 20;

/// A ban, in Unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::network) struct BanEntry {
    /// When it ends.
    pub(in crate::network) until: u64,
    /// How many times this peer was banned.
    pub(in crate::network) times: u32,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct KnownPeer {
    addresses: Vec<String>,
    /// Unix seconds.
    last_seen: u64,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct File {
    version: u32,
    peers: BTreeMap<String, KnownPeer>,
    #[serde(default)]
    anchors: Vec<String>,
    #[serde(default)]
    bans: BTreeMap<String, BanEntry>,
}

/// See the module's documentation.
#[derive(Debug)]
pub(in crate::network) struct AddressBook {
    path: PathBuf,
    file: File,
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
            file,
            changed: false,
        }
    }

    /// Notes that `peer` was reached at `address`, or listens there.
    pub(in crate::network) fn learn(&mut self, peer: PeerId, address: &Multiaddr, unix: u64) {
        let id = peer.to_string();
        if self.file.peers.len() >= MAX_PEERS && !self.file.peers.contains_key(&id) {
            let oldest = self.file.peers.iter().min_by_key(|entry| entry.1.last_seen);
            if let Some(oldest) = oldest.map(|entry| entry.0.clone()) {
                self.file.peers.remove(&oldest);
            }
        }
        let known = self.file.peers.entry(id).or_insert(KnownPeer {
            addresses: Vec::new(),
            last_seen: unix,
        });
        known.last_seen = known.last_seen.max(unix);
        let address = address.to_string();
        if !known.addresses.contains(&address) {
            if known.addresses.len() >= MAX_ADDRESSES {
                known.addresses.remove(0);
            }
            known.addresses.push(address);
        }
        self.changed = true;
    }

    /// Forgets one address of a peer: somebody else answers there.
    pub(in crate::network) fn forget(&mut self, peer: &PeerId, address: &Multiaddr) {
        let id = peer.to_string();
        if let Some(known) = self.file.peers.get_mut(&id) {
            known
                .addresses
                .retain(|other| *other != address.to_string());
            if known.addresses.is_empty() {
                self.file.peers.remove(&id);
            }
            self.changed = true;
        }
    }

    /// Known peers, anchors first, then the last seen.
    pub(in crate::network) fn peers(&self) -> Vec<(PeerId, Vec<Multiaddr>)> {
        let mut peers: Vec<_> = self.file.peers.iter().collect();
        peers.sort_by_key(|(id, known)| {
            let anchor = self.file.anchors.contains(id);
            (!anchor, std::cmp::Reverse(known.last_seen))
        });
        peers
            .into_iter()
            .filter_map(|(id, known)| {
                let addresses = known.addresses.iter();
                let addresses: Vec<_> = addresses.filter_map(|a| a.parse().ok()).collect();
                (!addresses.is_empty()).then_some((id.parse().ok()?, addresses))
            })
            .collect()
    }

    /// Remembers the outbound peers of this run.
    pub(in crate::network) fn set_anchors(&mut self, peers: impl Iterator<Item = PeerId>) {
        let anchors: Vec<_> = peers
            .take(MAX_ANCHORS)
            .map(|peer| peer.to_string())
            .collect();
        if !anchors.is_empty() && anchors != self.file.anchors {
            self.file.anchors = anchors;
            self.changed = true;
        }
    }

    /// Bans that have not ended at `unix`.
    pub(in crate::network) fn bans(&self, unix: u64) -> Vec<(PeerId, BanEntry)> {
        let bans = self.file.bans.iter();
        bans.filter(|(_, ban)| ban.until > unix)
            .filter_map(|(id, ban)| Some((id.parse().ok()?, *ban)))
            .collect()
    }

    /// Counts a ban of `peer` and returns it: 1 h, 12 h, then 24 h.
    pub(in crate::network) fn ban(&mut self, peer: PeerId, unix: u64) -> BanEntry {
        let id = peer.to_string();
        if self.file.bans.len() >= MAX_BANS && !self.file.bans.contains_key(&id) {
            let first = self.file.bans.iter().min_by_key(|entry| entry.1.until);
            if let Some(first) = first.map(|entry| entry.0.clone()) {
                self.file.bans.remove(&first);
            }
        }
        let ban = self
            .file
            .bans
            .entry(id)
            .or_insert(BanEntry { until: 0, times: 0 });
        ban.times = ban.times.saturating_add(1);
        let hours = match ban.times {
            1 => 1,
            2 => 12,
            _ => 24,
        };
        ban.until = unix + hours * 3_600;
        self.changed = true;
        *ban
    }

    /// What to write, if anything changed since the last call: the path and the content.
    pub(in crate::network) fn take_changes(&mut self) -> Option<(PathBuf, Vec<u8>)> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        self.file.version = 1;
        let content = serde_json::to_vec_pretty(&self.file).ok()?;
        Some((self.path.clone(), content))
    }

    /// Writes the content under another name and renames it, so that a crash leaves a whole file.
    pub(in crate::network) fn write(path: &Path, content: &[u8]) -> io::Result<()> {
        let temporary = path.with_extension("json.tmp");
        fs::write(&temporary, content)?;
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
    while file.peers.len() > MAX_PEERS {
        file.peers.pop_last();
    }
    while file.bans.len() > MAX_BANS {
        file.bans.pop_last();
    }
    file.anchors.truncate(MAX_ANCHORS);
    for known in file.peers.values_mut() {
        known.addresses.truncate(MAX_ADDRESSES);
    }
    Ok(Some(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> Multiaddr {
        format!("/ip4/10.0.0.{last}/tcp/7667").parse().unwrap()
    }

    #[test]
    fn what_is_written_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("peers.json");
        let (old, new, anchor) = (PeerId::random(), PeerId::random(), PeerId::random());
        let mut book = AddressBook::load(&path);
        book.learn(old, &address(1), 100);
        book.learn(new, &address(2), 300);
        book.learn(anchor, &address(3), 50);
        book.set_anchors([anchor].into_iter());
        book.ban(old, 1_000);
        let (path, content) = book.take_changes().unwrap();
        assert!(book.take_changes().is_none(), "nothing changed since");
        AddressBook::write(&path, &content).unwrap();

        let book = AddressBook::load(&path);
        let order: Vec<_> = book.peers().into_iter().map(|(peer, _)| peer).collect();
        assert_eq!(order, [anchor, new, old]);
        assert_eq!(
            book.bans(1_001),
            [(
                old,
                BanEntry {
                    until: 4_600,
                    times: 1
                }
            )]
        );
        assert!(book.bans(4_600).is_empty(), "it has ended");
    }

    #[test]
    fn everything_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let mut book = AddressBook::load(&dir.path().join("peers.json"));
        let first = PeerId::random();
        book.learn(first, &address(1), 1);
        for i in 0..1_100 {
            book.learn(PeerId::random(), &address(2), 2 + i);
            book.ban(PeerId::random(), i);
        }
        assert_eq!(book.peers().len(), MAX_PEERS);
        assert!(book.peers().iter().all(|(peer, _)| *peer != first));
        assert_eq!(book.bans(0).len(), MAX_BANS);
        let peer = PeerId::random();
        (0..10).for_each(|i| book.learn(peer, &address(i), 9_999));
        assert_eq!(book.peers()[0].1.len(), MAX_ADDRESSES);
    }

    #[test]
    fn bans_grow() {
        let dir = tempfile::tempdir().unwrap();
        let mut book = AddressBook::load(&dir.path().join("peers.json"));
        let peer = PeerId::random();
        let hours: Vec<_> = (0..4).map(|_| book.ban(peer, 0).until / 3_600).collect();
        assert_eq!(hours, [1, 12, 24, 24]);
    }

    #[test]
    fn a_damaged_file_is_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("peers.json");
        fs::write(&path, b"{ broken").unwrap();
        assert!(AddressBook::load(&path).peers().is_empty());
        assert!(path.with_extension("json.damaged").exists());
    }
}
