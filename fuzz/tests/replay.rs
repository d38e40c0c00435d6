//! Every seed runs through its target without a failure: the fuzz targets as plain tests, without libFuzzer.

use std::fs;
use std::path::{Path, PathBuf};

use quarry_fuzz::TARGETS;

fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("seeds")
        .join(target)
}

#[test]
fn every_seed_passes() {
    for target in TARGETS {
        let mut count = 0;
        for entry in fs::read_dir(folder(target.name)).expect("every target has a folder of seeds")
        {
            let path = entry.expect("the folder is readable").path();
            println!("{}", path.display());
            (target.run)(&fs::read(&path).expect("a seed is a readable file"));
            count += 1;
        }
        println!("{}: {count} seeds", target.name);
        assert!(count >= 10, "{} has {count} seeds", target.name);
    }
}

/// What the generator makes is in the tree: `cargo run --release --example seeds` writes what is missing.
#[test]
fn the_generators_seeds_are_in_the_tree() {
    for target in TARGETS {
        for (name, _) in (target.seeds)() {
            assert!(
                folder(target.name).join(&name).is_file(),
                "{}/{name} is missing",
                target.name
            );
        }
    }
}
