//! How difficulty follows the hash rate: a simulation in virtual time on the product's own rules.
//!
//! `laws` holds what the rule promises. `docs/difficulty.md` shows figures and plots of the same simulation, and a test here keeps
//! them what it gives today; `make difficulty` writes them anew.

mod figures;
mod laws;
mod plot;
mod scenarios;
mod simulation;
mod tables;

use std::fs;
use std::path::PathBuf;

/// Set to write the document's tables and plots instead of comparing them.
const WRITE: &str = "QUARRY_WRITE_DIFFICULTY";

fn docs() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs")
}

/// Compares a file with what it should be, or makes it so.
fn check(path: &str, expected: &str) {
    let path = docs().join(path);
    if std::env::var_os(WRITE).is_some() {
        fs::create_dir_all(path.parent().expect("it is in docs")).unwrap();
        fs::write(&path, expected).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == expected,
        "{} is not what the simulation gives; `make difficulty` writes it",
        path.display()
    );
}

#[test]
fn the_documents_tables_are_what_the_simulation_gives() {
    let mut text = fs::read_to_string(docs().join("difficulty.md")).unwrap();
    for (name, table) in tables::all() {
        let (start, end) = (format!("<!-- table {name} -->\n"), "<!-- end -->");
        let from = text
            .find(&start)
            .expect("the document has a mark for each table")
            + start.len();
        let to = from + text[from..].find(end).expect("and one for its end");
        text.replace_range(from..to, &table);
    }
    check("difficulty.md", &text);
}

#[test]
fn the_documents_plots_are_what_the_simulation_gives() {
    for (name, svg) in figures::all() {
        assert!(svg.len() < 150_000, "{name}.svg has {} bytes", svg.len());
        check(&format!("difficulty/{name}.svg"), &svg);
    }
}
