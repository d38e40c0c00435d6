//! Writes the seeds that are not in the tree yet: `cargo run --release --example seeds`. To make all anew, remove them first.

use std::fs;
use std::io;
use std::path::Path;

use quarry_fuzz::TARGETS;

fn main() -> io::Result<()> {
    for target in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("seeds")
            .join(target.name);
        fs::create_dir_all(&folder)?;
        let mut written = 0;
        for (name, bytes) in (target.seeds)() {
            let path = folder.join(name);
            if !path.exists() {
                fs::write(path, bytes)?;
                written += 1;
            }
        }
        println!("{}: {written} seeds written", target.name);
    }
    Ok(())
}
