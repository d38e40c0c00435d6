//! One run of an importer: a process of its own on a new data folder, timed from start to exit.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How often a process is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// Clock ticks a second in `/proc` (`USER_HZ`), the same on every Linux that Rust runs on.
const TICKS: f64 = 100.0;

/// Who imports.
#[derive(Clone)]
pub enum Importer {
    /// A `quarry` binary.
    Quarry(PathBuf),
    /// The importer of Bitcoin Core's kernel.
    Kernel(PathBuf),
}

/// What a run took.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// Seconds from start to exit.
    pub wall: f64,
    /// Seconds of all cores.
    pub cpu: f64,
    /// The most memory that was resident, in MiB.
    pub peak: f64,
}

impl Importer {
    /// Imports `file` into `datadir`.
    pub fn run(&self, datadir: &Path, file: &Path) -> Cost {
        // The file is in the page cache for every side.
        let bytes = fs::read(file).expect("the file was made");
        drop(bytes);
        let mut command = match self {
            Self::Quarry(program) => {
                let mut command = Command::new(program);
                command.arg("--datadir").arg(datadir);
                command
                    .args(["--chain", "regtest", "import-blocks"])
                    .arg(file);
                command
            }
            Self::Kernel(program) => {
                let mut command = Command::new(program);
                command.arg(file).arg(datadir);
                command
            }
        };
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let cpu_before = children_cpu();
        let start = Instant::now();
        let mut child = command.spawn().expect("the importer starts");
        let mut peak = 0.0_f64;
        let status = loop {
            match child.try_wait().expect("a child can be waited for") {
                Some(status) => break status,
                None => peak = peak.max(peak_mib(&child).unwrap_or_default()),
            }
            sleep(LOOK_EVERY);
        };
        let wall = start.elapsed().as_secs_f64();
        assert!(status.success(), "{command:?} failed: {status}");
        Cost {
            wall,
            cpu: children_cpu() - cpu_before,
            peak,
        }
    }
}

/// `VmHWM` of `/proc/<pid>/status`.
pub fn peak_mib(child: &Child) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024.0)
}

/// `cutime` and `cstime` of `/proc/self/stat`: the time of all children that were waited for.
pub fn children_cpu() -> f64 {
    cpu("self", 16)
}

/// The time of a process.
pub fn process_cpu(pid: u32) -> f64 {
    cpu(&pid.to_string(), 14)
}

/// The sum of two fields of `/proc/<pid>/stat`, `first` (as numbered in the manual) and the one behind it.
fn cpu(pid: &str, first: usize) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
    let stat = stat.expect("Linux tells a process's times");
    // The name may have spaces; behind it is field 3.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks = |field: usize| -> f64 {
        let field = fields.split_whitespace().nth(field - 3);
        field.and_then(|text| text.parse().ok()).expect("a number")
    };
    (ticks(first) + ticks(first + 1)) / TICKS
}
