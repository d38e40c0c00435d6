//! Quarry: a peer-to-peer proof-of-work payment node in Bitcoin's own formats.
//!
//! The layers, lowest first; a module imports only from those above its line (`tests/architecture.rs` holds the table).
//!
//! | layer | module | what it is |
//! |---|---|---|
//! | vocabulary | [`primitives`] | hashes, amounts, transactions, blocks, targets, coins, and their bytes |
//! | | [`keys`] | secret and public keys, signature hashes, addresses |
//! | | [`wire`] | what peers send each other, as protobuf, with limits |
//! | | [`http`] | HTTP connections under limits, for RPC and explorer |
//! | rules | [`consensus`] | chain specs and every rule, as pure functions |
//! | state | [`storage`] | the database: typed columns, one batch type |
//! | | [`chain`] | the engine and single writer: block tree, fork choice, reorgs, events |
//! | | [`wallet`] | keys from a phrase, the encrypted file, payments |
//! | | [`mempool`] | transactions that wait for a block |
//! | | [`miner`] | templates and the nonce search |
//! | edges | [`network`] | peers, gossip, sync over libp2p |
//! | | [`rpc`] | JSON-RPC with Bitcoin Core's methods, and a client |
//! | | [`explorer`] | read-only web pages, health, metrics, live events |
//! | whole | [`node`] | settings, folders, ports, start and stop of everything |
//! | | [`cli`] | the commands; the only code that prints |
//!
//! # Where do I find…
//! - a consensus rule? [`consensus`]: `header`, `transaction` and `block`, one `check_…` function a rule.
//! - which chain wins? [`chain`]: `tree` chooses, `activation` goes over to it, `transition` makes the one batch.
//! - what is on the disk? [`storage`]: the table of columns in its head.
//! - what a peer can cost us? [`network`]: `limits`, `quota`, `peers::score`.
//! - how a command reaches the chain? [`cli`]: `access`, through the node's RPC or on the database.
//! - the order in which a node starts and stops? [`node`]: `start` and `running`.
//! - everything that happens, in one stream? [`chain::EventLog`].

pub mod primitives;

pub mod keys;

pub mod wire;

pub mod http;

pub mod consensus;

pub mod storage;

pub mod chain;

pub mod wallet;

pub mod mempool;

pub mod miner;

pub mod network;

pub mod rpc;

pub mod explorer;

pub mod node;

pub mod cli;
