//! Quarry's consensus compared with Bitcoin Core's own validation code and with a naive model.
//!
//! The same bytes go to three judges in the same order, and everything that they can be asked about is compared.
//!
//! | where | what |
//! |---|---|
//! | [`forge`] | keys, signatures, payments and blocks made to order |
//! | [`sighash`] | the legacy signature hash of every type, written apart from the product's |
//! | [`view`] | the coins of one branch, as whoever makes payments sees them |
//! | [`generator`] | seeded random chains: payments, forks, faults, restarts |
//! | [`mutations`] | the faults: one for each way to break a rule |
//! | [`engine`], [`kernel`], [`model`] | the three judges |
//! | [`trial`] | the comparison, step by step and as a whole |
//! | [`tally`] | what was compared, counted |
//! | [`record`] | a sequence of steps as a file, so that it can be replayed |

pub mod engine;
pub mod forge;
pub mod generator;
pub mod kernel;
pub mod model;
pub mod mutations;
pub mod record;
pub mod rng;
pub mod sighash;
pub mod tally;
pub mod trial;
pub mod view;

/// A folder in memory where there is one, so that the disks of the judges cost nothing.
///
/// # Panics
/// Where no temporary folder can be made.
pub fn scratch() -> tempfile::TempDir {
    let memory = std::path::Path::new("/dev/shm");
    let builder = tempfile::Builder::new().prefix("quarry-oracle-").to_owned();
    let in_memory = builder.tempdir_in(
        std::env::var_os("ORACLE_SCRATCH")
            .map_or_else(|| memory.to_path_buf(), std::path::PathBuf::from),
    );
    in_memory
        .or_else(|_| builder.tempdir())
        .expect("a temporary folder can be made")
}
