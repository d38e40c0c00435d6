//! The layers of the crate, enforced: which module may import which, where each outside crate may appear, and how large a file
//! may be. The tables are the ones in `docs/architecture.md`; there are no exceptions.

use std::fs;
use std::path::{Path, PathBuf};

/// A module of `src/` and what it may import, lowest first.
const LAYERS: [(&str, &[&str]); 15] = [
    ("primitives", &[]),
    ("keys", &["primitives"]),
    ("wire", &["primitives"]),
    ("http", &[]),
    ("consensus", &["primitives", "keys"]),
    ("storage", &["primitives"]),
    ("chain", &["primitives", "consensus", "storage"]),
    ("wallet", &["primitives", "keys", "consensus"]),
    ("mempool", &["primitives", "consensus", "chain"]),
    (
        "miner",
        &["primitives", "keys", "consensus", "chain", "mempool"],
    ),
    (
        "network",
        &["primitives", "consensus", "wire", "chain", "mempool"],
    ),
    (
        "rpc",
        &[
            "primitives",
            "keys",
            "consensus",
            "chain",
            "wallet",
            "mempool",
            "miner",
            "network",
            "http",
        ],
    ),
    (
        "explorer",
        &[
            "primitives",
            "keys",
            "consensus",
            "chain",
            "mempool",
            "miner",
            "network",
            "http",
        ],
    ),
    (
        "node",
        &[
            "primitives",
            "keys",
            "wire",
            "consensus",
            "storage",
            "chain",
            "wallet",
            "mempool",
            "miner",
            "network",
            "rpc",
            "explorer",
            "http",
        ],
    ),
    (
        "cli",
        &["primitives", "keys", "consensus", "wallet", "rpc", "node"],
    ),
];

/// Outside crates that only one module may name.
const CONFINED: [(&str, &str); 6] = [
    ("bitcoin", "wallet"),
    ("rocksdb", "storage"),
    ("bincode", "storage"),
    ("k256", "keys"),
    ("prost", "wire"),
    ("libp2p", "network"),
];

/// The only files with `unsafe`: the kernels that use instructions of particular processors.
const UNSAFE: [&str; 4] = [
    "miner/search/armv8.rs",
    "miner/search/avx2.rs",
    "miner/search/avx512.rs",
    "miner/search/sha_ni.rs",
];

/// Lines that a file may have, tests apart.
const MAX_LINES: usize = 500;

fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).expect("src can be listed") {
        let path = entry.expect("src can be listed").path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
    files
}

/// The code of a file without comments and without its test module; files that are tests as a whole have none.
fn product_code(path: &Path) -> String {
    let is_test = path.components().any(|part| {
        matches!(
            part.as_os_str().to_str(),
            Some("tests" | "tests.rs" | "testing.rs" | "testing")
        )
    });
    if is_test {
        return String::new();
    }
    let text = fs::read_to_string(path).expect("a source is readable");
    let code = text
        .split("#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or_default();
    code.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// The folder of `src/` that a file is in; none for `lib.rs` and `main.rs`.
fn module_of(path: &Path) -> Option<String> {
    let relative = path.strip_prefix(root().join("src")).ok()?;
    let mut parts = relative.components();
    let first = parts.next()?.as_os_str().to_str()?.to_owned();
    parts.next().map(|_| first)
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Whether `code` names `word` as a whole.
fn names(code: &str, word: &str) -> bool {
    let boundary = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric() && c != '_');
    code.match_indices(word).any(|(at, _)| {
        boundary(code[..at].chars().next_back()) && boundary(code[at + word.len()..].chars().next())
    })
}

#[test]
fn modules_import_only_what_their_row_lists() {
    let mut wrong = Vec::new();
    for path in sources(&root().join("src")) {
        let Some(module) = module_of(&path) else {
            continue;
        };
        let (_, allowed) = LAYERS
            .iter()
            .find(|(name, _)| *name == module)
            .unwrap_or_else(|| panic!("src/{module} is not in the table"));
        let code = product_code(&path);
        for (other, _) in LAYERS {
            let used = names(&code, &format!("crate::{other}"));
            if used && other != module && !allowed.contains(&other) {
                wrong.push(format!("{} imports {other}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn outside_crates_stay_in_their_module() {
    let mut wrong = Vec::new();
    for path in sources(&root().join("src")) {
        let module = module_of(&path).unwrap_or_default();
        let code = product_code(&path);
        for (krate, home) in CONFINED {
            let used =
                names(&code, &format!("{krate}::")) || code.contains(&format!("use {krate}"));
            if used && module != home {
                wrong.push(format!(
                    "{} names {krate}, which belongs to {home}",
                    path.display()
                ));
            }
        }
        if module != "cli" && (names(&code, "println!") || names(&code, "eprintln!")) {
            let is_main = path.ends_with("src/main.rs");
            assert!(is_main, "{} prints; only cli may", path.display());
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// How unsafe code begins; a content security policy's `unsafe-inline` is none.
const UNSAFE_WORDS: [&str; 4] = ["unsafe {", "unsafe fn", "unsafe impl", "unsafe_code"];

#[test]
fn unsafe_code_stays_in_the_kernels_and_says_why_it_is_sound() {
    let src = root().join("src");
    let mut found = Vec::new();
    for path in sources(&src) {
        let text = fs::read_to_string(&path).expect("a source is readable");
        let code = |line: &&str| !line.trim_start().starts_with("//");
        let uses = text
            .lines()
            .filter(code)
            .filter(|line| UNSAFE_WORDS.iter().any(|word| line.contains(word)))
            .count();
        if uses > 0 {
            let reasons = text.matches("// SAFETY: ").count();
            let blocks = text.matches("unsafe {").count();
            assert_eq!(reasons, blocks, "{}", path.display());
            let relative = path.strip_prefix(&src).expect("it is in src");
            found.push(relative.to_string_lossy().into_owned());
        }
    }
    found.sort();
    assert_eq!(found, UNSAFE, "files with unsafe code");
}

/// What decides in the network knows neither libp2p nor a clock, so that simulated time can drive it.
#[test]
fn trap12_what_decides_in_the_network_has_no_clock_and_no_libp2p() {
    let network = root().join("src/network");
    let pure = [
        "sync",
        "compact",
        "quota.rs",
        "gossip/outbox.rs",
        "gossip/recent.rs",
    ];
    let mut seen = 0;
    for path in sources(&network) {
        let relative = path.strip_prefix(&network).expect("it is in there");
        if !pure.iter().any(|pure| relative.starts_with(pure)) {
            continue;
        }
        seen += 1;
        let code = product_code(&path);
        for word in [
            "libp2p",
            "Instant",
            "SystemTime",
            "unix_now",
            "tokio",
            "async",
        ] {
            assert!(!names(&code, word), "{} names {word}", path.display());
        }
    }
    assert!(seen >= pure.len(), "the files have other names now");
}

#[test]
fn files_are_small_and_say_what_they_are() {
    for path in sources(&root().join("src")) {
        let text = fs::read_to_string(&path).expect("a source is readable");
        assert!(
            text.starts_with("//!"),
            "{} has no head that says what it is",
            path.display()
        );
        let lines = product_code(&path).lines().count();
        assert!(
            lines <= MAX_LINES,
            "{} has {lines} lines of code",
            path.display()
        );
    }
}

#[test]
fn the_checks_find_what_they_look_for() {
    assert!(names("use crate::chain::Tip;", "crate::chain"));
    assert!(!names("use crate::chainsaw;", "crate::chain"));
    assert!(!names("my_crate::chain", "crate::chain"));
}
