//! Initial sync from two peers on this machine, beside the import of the same blocks: what the network adds.
//!
//! The two peers are nodes that have imported the file. A run of sync is a third node on a new folder, timed from its start until its
//! RPC tells the height of the file's last block; all share the machine's cores.

use std::path::Path;
use std::process::Child;
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::node;
use crate::run::{Cost, Importer, children_cpu, peak_mib, process_cpu};

const CHAIN: &str = "regtest";
/// No sync takes longer.
const LIMIT: Duration = Duration::from_secs(600);
/// How often the syncing node is asked.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A peer that has the whole chain. Its process ends when it is dropped.
struct Source {
    _dir: TempDir,
    node: Child,
    address: String,
    height: u64,
}

impl Drop for Source {
    fn drop(&mut self) {
        node::end(&mut self.node);
    }
}

impl Source {
    fn new(importer: &Importer, file: &Path) -> Self {
        let dir = TempDir::new().expect("a folder");
        importer.run(dir.path(), file);
        let node = node::start(dir.path(), CHAIN, &["--no-mine"]);
        let height = wait_for(|| node::height(dir.path(), CHAIN));
        let address = wait_for(|| {
            let facts = node::file(dir.path(), CHAIN)?;
            facts["p2p"][0].as_str().map(str::to_owned)
        });
        Self {
            _dir: dir,
            node,
            address,
            height,
        }
    }
}

fn wait_for<T>(mut found: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(start.elapsed() < LIMIT, "nothing happens within {LIMIT:?}");
        sleep(LOOK_EVERY);
    }
}

/// Costs of imports and of syncs, alternating, and the CPU time that the peers spent on each sync.
pub fn measure(importer: &Importer, file: &Path, runs: usize) -> (Vec<Cost>, Vec<Cost>, Vec<f64>) {
    let sources = [Source::new(importer, file), Source::new(importer, file)];
    let served = || sources.iter().map(|source| process_cpu(source.node.id()));
    let (mut imports, mut syncs, mut serving) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs {
        let dir = TempDir::new().expect("a folder");
        imports.push(importer.run(dir.path(), file));
        let before: f64 = served().sum();
        syncs.push(sync_once(&sources));
        serving.push(served().sum::<f64>() - before);
    }
    (imports, syncs, serving)
}

fn sync_once(sources: &[Source; 2]) -> Cost {
    let dir = TempDir::new().expect("a folder");
    let flags: Vec<&str> = sources
        .iter()
        .flat_map(|source| ["--peer", source.address.as_str()])
        .chain(["--no-mine"])
        .collect();
    let cpu_before = children_cpu();
    let start = Instant::now();
    let mut child = node::start(dir.path(), CHAIN, &flags);
    wait_for(|| node::height(dir.path(), CHAIN).filter(|height| *height == sources[0].height));
    let wall = start.elapsed().as_secs_f64();
    let peak = peak_mib(&child).unwrap_or_default();
    node::end(&mut child);
    Cost {
        wall,
        cpu: children_cpu() - cpu_before,
        peak,
    }
}
