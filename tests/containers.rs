//! The product as people deploy it: the image is built from the repository's `Dockerfile` and five nodes run under
//! compose. `tests/containers/network.sh` does and checks everything; its output goes to the terminal as it comes.

use std::path::Path;
use std::process::{Command, Stdio};

/// What the script ends with where it cannot run, after a line that begins with `skipped:`.
const SKIPPED: i32 = 77;

/// ```text
///   1 2 3 4 5   find each other by mDNS, mine, pay each other
///   1 2 3 4 | 5   5 is cut off: two chains
///   1 2 3 4 5   one tip again, with the most work
/// ```
#[test]
fn five_containers_agree_and_agree_again_after_a_cut() {
    let release_dir = Path::new(env!("CARGO_BIN_EXE_quarry"))
        .parent()
        .expect("a program lies in a folder");
    let status = Command::new("bash")
        .arg("tests/containers/network.sh")
        .arg(release_dir)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .status()
        .expect("bash starts");
    assert!(
        status.success() || status.code() == Some(SKIPPED),
        "tests/containers/network.sh failed; its output is above"
    );
}
