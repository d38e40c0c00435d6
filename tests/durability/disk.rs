//! Disks of the tests' own, for root: an ext4 file system in an image file, whose power can be cut, and a small one in memory, which
//! can be full.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::{has_program, is_root, system};

/// The size of an image: room for the journal and some chains.
const IMAGE_BYTES: u64 = 96 << 20;
/// The request that ends a file system at once: `FS_IOC_SHUTDOWN` (Linux, `include/uapi/linux/fs.h`) with
/// `EXT4_GOING_FLAGS_NOLOGFLUSH`, as xfstests uses it. Perl, which every Debian has, can send it.
const SHUT_DOWN: &str = r#"open(my $f, "<", $ARGV[0]) or die "open: $!"; my $flags = pack("L", 2);
defined ioctl($f, 0x8004587d, $flags) or die "ioctl: $!";"#;

/// Why these disks cannot be had here, if they cannot.
pub fn unavailable() -> Option<String> {
    if !is_root() {
        return Some("it needs root, to mount file systems".to_owned());
    }
    for program in ["mount", "umount", "losetup", "mkfs.ext4", "perl"] {
        if !has_program(program) {
            return Some(format!("there is no program {program}"));
        }
    }
    let tried = TempDir::new().expect("a temporary folder");
    let mounted = mount(&["-t", "tmpfs", "none"], tried.path());
    let free = Command::new("losetup").arg("--find").output();
    match (mounted, free) {
        (Err(why), _) => Some(format!("nothing can be mounted here: {why}")),
        (Ok(_), Ok(found)) if found.status.success() => None,
        _ => Some("there is no free loop device".to_owned()),
    }
}

/// A mounted file system; unmounted when dropped.
struct Mount(PathBuf);

impl Drop for Mount {
    fn drop(&mut self) {
        // A process that is just being killed may hold it for a moment.
        let start = Instant::now();
        loop {
            let tried = Command::new("umount").arg(&self.0).output();
            if tried.is_ok_and(|it| it.status.success()) {
                return;
            }
            if start.elapsed() > Duration::from_secs(10) {
                eprintln!("{} stays mounted", self.0.display());
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn mount(what: &[&str], at: &Path) -> Result<Mount, String> {
    let output = Command::new("mount").args(what).arg(at).output();
    let output = output.map_err(|error| error.to_string())?;
    match output.status.success() {
        true => Ok(Mount(at.to_owned())),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}

/// A loop device; given back when dropped.
struct Loop(String);

impl Loop {
    /// Past the page cache, so that the image holds what was written to the disk, and nothing else.
    fn new(image: &Path) -> Self {
        let image = image.display().to_string();
        Self(system(
            "losetup",
            &["--find", "--show", "--direct-io=on", &image],
        ))
    }

    /// What the kernel has counted of its traffic: it stays the same while nothing is written.
    fn traffic(&self) -> (String, bool) {
        let name = self.0.trim_start_matches("/dev/");
        let read =
            |file| fs::read_to_string(format!("/sys/block/{name}/{file}")).unwrap_or_default();
        let stat = read("stat");
        // Fields 5 to 7: writes; 9: requests under way.
        let fields: Vec<_> = stat.split_whitespace().collect();
        (
            fields.get(4..7).unwrap_or_default().join(" "),
            fields.get(8) == Some(&"0"),
        )
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").args(["--detach", &self.0]).status();
    }
}

/// An ext4 disk. Its fields are dropped in their order: unmounted, detached, removed.
pub struct Disk {
    mounted: Option<Mount>,
    device: Option<Loop>,
    folder: TempDir,
}

impl Disk {
    /// A new one, formatted, and idle from the first moment on.
    pub fn new() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let image = folder.path().join("image");
        let file = File::create(&image).expect("a file");
        file.set_len(IMAGE_BYTES).expect("room for it");
        let words = "-q -b 4096 -E lazy_itable_init=0,lazy_journal_init=0";
        let image = image.display().to_string();
        let mut words: Vec<_> = words.split(' ').collect();
        words.push(&image);
        system("mkfs.ext4", &words);
        Self::in_folder(folder)
    }

    fn in_folder(folder: TempDir) -> Self {
        let mut disk = Self {
            mounted: None,
            device: None,
            folder,
        };
        disk.power_on();
        disk
    }

    /// Mounts it, which replays the journal.
    fn power_on(&mut self) {
        let device = Loop::new(&self.folder.path().join("image"));
        fs::create_dir_all(self.path()).expect("a folder");
        let mounted = mount(&["-t", "ext4", &device.0], &self.path());
        self.mounted = Some(mounted.unwrap_or_else(|why| panic!("{why}")));
        self.device = Some(device);
    }

    /// Where its files are.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("mounted")
    }

    /// The disk as it would be found if the power went now: a copy of what was really written to it. Whoever writes must be
    /// stopped. `None` where the kernel itself was writing all the time, so that a copy would be of no one moment.
    pub fn copy(&self) -> Option<Self> {
        let device = self.device.as_ref().expect("it is on");
        let folder = TempDir::new().expect("a temporary folder");
        let (from, to) = (
            self.folder.path().join("image"),
            folder.path().join("image"),
        );
        for _ in 0..20 {
            let (before, idle) = device.traffic();
            let words = [
                "--sparse=always",
                &from.display().to_string(),
                &to.display().to_string(),
            ];
            system("cp", &words);
            if idle && device.traffic() == (before, true) {
                return Some(Self::in_folder(folder));
            }
        }
        None
    }

    /// Cuts its power in the midst of whatever is being written: not a byte reaches it any more, and every further attempt fails.
    pub fn cut(&self) {
        system(
            "perl",
            &["-e", SHUT_DOWN, &self.path().display().to_string()],
        );
    }

    /// Turns it on again after a cut. Nothing may use it.
    pub fn repower(&mut self) {
        self.mounted = None;
        self.device = None;
        self.power_on();
    }
}

/// A disk in memory.
pub struct SmallDisk {
    _mounted: Mount,
    folder: TempDir,
}

impl SmallDisk {
    /// An empty one of this size.
    pub fn new(bytes: u64) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let options = format!("size={bytes},mode=0777");
        let mounted = mount(&["-t", "tmpfs", "-o", &options, "none"], folder.path());
        Self {
            _mounted: mounted.unwrap_or_else(|why| panic!("{why}")),
            folder,
        }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Forbids or allows writing.
    pub fn set_read_only(&self, read_only: bool) {
        let how = if read_only {
            "remount,ro"
        } else {
            "remount,rw"
        };
        system("mount", &["-o", how, &self.path().display().to_string()]);
    }

    /// Leaves only about `room` bytes free.
    pub fn fill(&self, room: u64) {
        let path = self.filler();
        let mut file = File::create(&path).expect("a file");
        let zeros = vec![0; 64 << 10];
        while file.write_all(&zeros).is_ok() {}
        let length = file.metadata().expect("its length").len();
        file.set_len(length.saturating_sub(room))
            .expect("made shorter");
    }

    /// Frees the space again.
    pub fn free(&self) {
        crate::support::remove(&self.filler());
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }
}
