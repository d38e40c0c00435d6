//! A look at a database that changes nothing, works beside a running node, and goes on where things are broken.

use std::path::Path;

use super::consistency::check_tip;
use super::error::ChainError;
use super::writer::explain;
use crate::consensus::ChainSpec;
use crate::primitives::CoinStats;
use crate::storage::{SCHEMA_VERSION, Scan, StorageError, Store};

/// What a look at a database showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// The coins at the tip, if the records of the tip agree.
    pub stats: Option<CoinStats>,
    /// How they do not.
    pub contradiction: Option<String>,
    /// The columns that were read through, with what was found.
    pub columns: Vec<(&'static str, Scan)>,
}

impl Inspection {
    /// Columns of which a part cannot be read.
    pub fn unreadable(&self) -> impl Iterator<Item = &(&'static str, Scan)> {
        self.columns.iter().filter(|(_, scan)| scan.unreadable > 0)
    }
}

/// Opens the database in `path` for reading and checks that it is of `spec`, that the records of its tip agree, and, with
/// `read_all`, that every row can be read; `progress` is told each column.
///
/// # Errors
/// Why it cannot be opened: [`StorageError::Database`], a newer or older schema, or another network.
pub fn inspect(
    path: &Path,
    spec: &ChainSpec,
    read_all: bool,
    progress: &mut dyn FnMut(&'static str),
) -> Result<Inspection, ChainError> {
    let store = Store::open_read_only(path)?;
    let contradiction = match check_identity(&store, path, spec) {
        Ok(()) => check_tip(&store, &spec.genesis_block().hash()),
        Err(
            error @ (ChainError::Damaged(_) | ChainError::Storage(StorageError::Damaged { .. })),
        ) => Err(error),
        Err(error) => return Err(error),
    };
    let columns = match read_all {
        true => store.scan_all(progress),
        false => Vec::new(),
    };
    let (stats, contradiction) = match contradiction {
        Ok(stats) => (Some(stats), None),
        Err(error) => (None, Some(error.to_string())),
    };
    Ok(Inspection {
        stats,
        contradiction,
        columns,
    })
}

fn check_identity(store: &Store, path: &Path, spec: &ChainSpec) -> Result<(), ChainError> {
    let identity = store.identity()?;
    let (path_buf, known) = (path.to_owned(), SCHEMA_VERSION);
    match identity.schema {
        None => Err(ChainError::Damaged(
            "it does not say which schema it has".into(),
        )),
        Some(found) if found > known => Err(ChainError::Storage(StorageError::NewerSchema {
            path: path_buf,
            found,
            known,
        })),
        Some(found) if found < known => Err(ChainError::Storage(StorageError::OlderSchema {
            path: path_buf,
            found,
            known,
        })),
        Some(_) if identity.chain_id != Some(spec.chain_id()) => {
            let error = StorageError::OtherNetwork {
                path: path_buf,
                stored_spec: identity.spec.unwrap_or_default(),
            };
            Err(explain(error, path, spec))
        }
        Some(_) => Ok(()),
    }
}
