//! Files that people write and that are small: specs, settings, passphrases.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

/// The longest such file, in bytes: a hundred times what any of them needs.
const MAX_BYTES: u64 = 64 << 10;

/// Reads a whole file, which may be reached through links. A device or a pipe could be endless or make the reader wait for
/// ever, so both are refused, and so is a file that was plainly not meant.
///
/// # Errors
/// What the file system says, that it is not a plain file, is longer than 64 KiB, or is not UTF-8. The path is left to the
/// caller's own error.
pub fn read_small_file(path: &Path) -> io::Result<String> {
    let refuse = |reason: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
    // Before it is opened: opening a pipe waits for a writer.
    let found = fs::metadata(path)?;
    if !found.is_file() {
        return refuse("it is not a plain file");
    }
    // As long as it will be: a text that grows leaves copies behind, and this one may be a passphrase.
    let length = found.len().min(MAX_BYTES) + 1;
    let mut text = String::with_capacity(usize::try_from(length).unwrap_or_default());
    // One byte more than allowed tells a longer file.
    match File::open(path)?
        .take(MAX_BYTES + 1)
        .read_to_string(&mut text)
    {
        Ok(length) if u64::try_from(length).is_ok_and(|length| length <= MAX_BYTES) => Ok(text),
        Ok(_) => refuse("it is longer than 64 KiB"),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_small_plain_files_are_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("file");
        let longest = "a".repeat(64 << 10);
        fs::write(&file, &longest).expect("written");
        assert_eq!(read_small_file(&file).expect("it fits"), longest);
        fs::write(&file, longest + "a").expect("written");
        let error = read_small_file(&file).unwrap_err().to_string();
        assert!(error.contains("64 KiB"), "{error}");
        let error = read_small_file(folder.path()).unwrap_err().to_string();
        assert!(error.contains("plain file"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn endless_devices_are_not_read() {
        let error = read_small_file(Path::new("/dev/zero")).unwrap_err();
        assert!(error.to_string().contains("plain file"), "{error}");
    }
}
