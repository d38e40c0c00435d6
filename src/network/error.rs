//! What can go wrong at start and at run time.

use std::{io, path::PathBuf};

use thiserror::Error;

/// Why the network could not start, or stopped.
#[derive(Debug, Error)]
pub enum NetworkError {
    /// Another program listens there.
    #[error("cannot listen on {address}: the port is in use; choose another one")]
    PortBusy {
        /// The multiaddress asked for.
        address: String,
    },
    /// Listening failed otherwise.
    #[error("cannot listen on {address}: {reason}")]
    Listen {
        /// The multiaddress asked for.
        address: String,
        /// Why.
        reason: String,
    },
    /// The identity file is there but unusable.
    #[error("the identity file {path} is damaged ({reason}); delete it to get a new identity")]
    BadIdentity {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The key of the closed network cannot be used.
    #[error(transparent)]
    NetworkKey(#[from] super::NetworkKeyError),
    /// A peer or bootnode that is no address.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The transport or a protocol could not be set up: a bug or an exhausted system.
    #[error("cannot set up {part}: {reason}")]
    Setup {
        /// What.
        part: &'static str,
        /// Why.
        reason: String,
    },
    /// The chain has stopped or failed.
    #[error("the chain is gone: {0}")]
    Chain(String),
    /// A task of the network panicked.
    #[error("a network task failed: {0}")]
    Task(String),
}

/// A string that is no peer address.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[error(
    "'{input}' is no peer address ({reason}); use host:port, /ip4/1.2.3.4/tcp/7667 or /dns4/name/tcp/7667, with /p2p/<id> behind if wanted"
)]
pub struct AddressError {
    /// What was given.
    pub input: String,
    /// What is wrong with it.
    pub reason: String,
}
