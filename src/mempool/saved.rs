//! The waiting transactions in a file, from one run of the node to the next.
//!
//! The file begins with [`HEAD`]; each record is the transaction's length (u32), the time of its arrival (u64, seconds since 1970),
//! its priority (i64, base units), whether it was made on this node (u8), its consensus bytes, and the first 4 bytes of SHA-256d of
//! all that. Numbers are
//! little-endian. Nothing rests on the file: every transaction is judged as if it came from a peer, and what cannot be read is left
//! out.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, ErrorKind, Read, Write};
use std::path::Path;
use std::sync::Arc;

use crate::primitives::{Decode, Encode, Transaction, sha256d};

/// What the file is, and the version of its form.
const HEAD: &[u8; 16] = b"quarry mempool 2";
/// Bytes of a record before the transaction.
const RECORD_HEAD: usize = 4 + 8 + 8 + 1;
const CHECKSUM: usize = 4;
/// No transaction is larger; a length beyond is damage.
const MAX_TX_BYTES: u32 = 4_000_000;

/// A transaction with what cannot be told from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Saved {
    pub(super) tx: Arc<Transaction>,
    pub(super) time: u64,
    pub(super) priority: i64,
    pub(super) local: bool,
}

/// Writes the file whole or not at all.
///
/// # Errors
/// A failure of the disk.
pub(super) fn save<'a>(path: &Path, saved: impl Iterator<Item = &'a Saved>) -> io::Result<()> {
    let beside = path.with_extension("new");
    let written = write(&beside, saved).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_file(&beside);
    }
    written
}

fn write<'a>(path: &Path, saved: impl Iterator<Item = &'a Saved>) -> io::Result<()> {
    let mut out = BufWriter::new(File::create(path)?);
    out.write_all(HEAD)?;
    for Saved {
        tx,
        time,
        priority,
        local,
    } in saved
    {
        let bytes = tx.to_bytes();
        let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        let mut record = Vec::with_capacity(RECORD_HEAD + bytes.len() + CHECKSUM);
        record.extend_from_slice(&length.to_le_bytes());
        record.extend_from_slice(&time.to_le_bytes());
        record.extend_from_slice(&priority.to_le_bytes());
        record.push(u8::from(*local));
        record.extend_from_slice(&bytes);
        let checksum = sha256d(&record);
        record.extend_from_slice(&checksum[..CHECKSUM]);
        out.write_all(&record)?;
    }
    out.into_inner()?.sync_all()
}

/// What the file holds, as far as it can be read; and what is wrong with the rest.
///
/// # Errors
/// A failure of the disk. A file that is not there is empty.
pub(super) fn load(path: &Path) -> io::Result<(Vec<Saved>, Option<&'static str>)> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok((Vec::new(), None)),
        Err(error) => return Err(error),
    };
    let mut input = BufReader::new(file);
    let mut saved = Vec::new();
    let damage = loop {
        match next(&mut input, saved.is_empty()) {
            Ok(Some(one)) => saved.push(one),
            Ok(None) => break None,
            Err(Unreadable::Damaged(what)) => break Some(what),
            Err(Unreadable::Disk(error)) if error.kind() == ErrorKind::UnexpectedEof => {
                break Some("it is cut off");
            }
            Err(Unreadable::Disk(error)) => return Err(error),
        }
    };
    Ok((saved, damage))
}

enum Unreadable {
    Damaged(&'static str),
    Disk(io::Error),
}

impl From<io::Error> for Unreadable {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

/// The next record; `None` at the end.
fn next(input: &mut impl Read, is_first: bool) -> Result<Option<Saved>, Unreadable> {
    if is_first {
        let mut head = [0; HEAD.len()];
        input.read_exact(&mut head)?;
        if head != *HEAD {
            return Err(Unreadable::Damaged("it does not begin as such a file does"));
        }
    }
    let mut record = vec![0; RECORD_HEAD];
    if input.read(&mut record[..1])? == 0 {
        return Ok(None);
    }
    input.read_exact(&mut record[1..])?;
    let (length, rest) = record
        .split_first_chunk()
        .expect("the head is longer than 4");
    let length = u32::from_le_bytes(*length);
    let (time, rest) = rest.split_first_chunk().expect("17 bytes are left");
    let (priority, local) = rest.split_first_chunk().expect("8 bytes and 1 are left");
    let (time, priority) = (u64::from_le_bytes(*time), i64::from_le_bytes(*priority));
    let local = local == [1];
    if length > MAX_TX_BYTES {
        return Err(Unreadable::Damaged("a length is impossible"));
    }
    let end = RECORD_HEAD + usize::try_from(length).expect("4,000,000 fits");
    record.resize(end + CHECKSUM, 0);
    input.read_exact(&mut record[RECORD_HEAD..])?;
    if sha256d(&record[..end])[..CHECKSUM] != record[end..] {
        return Err(Unreadable::Damaged("a checksum is wrong"));
    }
    let tx = Transaction::from_bytes(&record[RECORD_HEAD..end])
        .map_err(|_| Unreadable::Damaged("a transaction does not decode"))?;
    Ok(Some(Saved {
        tx: Arc::new(tx),
        time,
        priority,
        local,
    }))
}

#[cfg(test)]
mod tests {
    use super::super::tests::model::{first_coin, payment};
    use super::*;

    fn some() -> Vec<Saved> {
        (0..5)
            .map(|number| Saved {
                tx: Arc::new(payment(&[first_coin(number)], &[u64::from(number) + 1])),
                time: 1_000 + u64::from(number),
                priority: i64::from(number) - 2,
                local: number % 2 == 0,
            })
            .collect()
    }

    #[test]
    fn t13_what_was_saved_is_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mempool.dat");
        assert_eq!(load(&path).unwrap(), (Vec::new(), None));
        for saved in [some(), Vec::new()] {
            save(&path, saved.iter()).unwrap();
            assert_eq!(load(&path).unwrap(), (saved, None));
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn t13_a_damaged_file_gives_what_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mempool.dat");
        let saved = some();
        save(&path, saved.iter()).unwrap();
        let good = fs::read(&path).unwrap();
        for at in 0..good.len() {
            fs::write(&path, &good[..at]).unwrap();
            let (cut, damage) = load(&path).unwrap();
            assert_eq!(cut, saved[..cut.len()], "cut at {at}");
            let whole = cut.len() == saved.len();
            let between = (good.len() - HEAD.len()) / saved.len();
            let is_boundary = at >= HEAD.len() && (at - HEAD.len()).is_multiple_of(between);
            assert!(!whole && damage.is_none() == is_boundary, "cut at {at}");

            let mut flipped = good.clone();
            flipped[at] ^= 1;
            fs::write(&path, &flipped).unwrap();
            let (kept, damage) = load(&path).unwrap();
            assert_eq!(kept, saved[..kept.len()], "flipped at {at}");
            assert!(
                damage.is_some() && kept.len() < saved.len(),
                "flipped at {at}"
            );
        }
    }
}
