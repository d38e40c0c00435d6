//! What a crash leaves: the real binary, killed at any moment, its power cut, its disk full or failing, its limits low (rows D and S of
//! `docs/faults.md`). Numbers and commands are in `docs/durability.md`.
//!
//! Each row counts how often its fault really happened, and fails where it never did. `QUARRY_TEST_…` asks for longer runs; the
//! targets of the Makefile set it.
#![cfg(target_os = "linux")]

mod disk;
mod disk_full;
mod failing_disk;
mod fixtures;
mod kills;
mod kills_wallet;
mod power;
mod process;
mod soak;
mod support;
mod tally;
mod work;
