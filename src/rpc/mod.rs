//! JSON-RPC: Bitcoin Core's methods over HTTP, and a client for them.
//!
//! [`serve`] answers on a listener that the caller has bound, until its token is cancelled. Every method runs on a thread
//! that may block. A client needs the secret that [`Cookie::create`] wrote; [`Client::find`] is the command line's.
//!
//! | where | what |
//! |---|---|
//! | `server` | HTTP: who may ask, how large, how long |
//! | `protocol` | requests, batches, answers |
//! | `method`, `arguments`, `text_params` | the form of the table, parameters from JSON and from a command line |
//! | `methods` | the table, one file a category; what is left out |
//! | `shape`, `openrpc`, `reference` | what the table says, as JSON Schema, as an OpenRPC document, as `docs/rpc.md` |
//! | `active`, `one_state` | the calls that run; answers that are of one state of the chain |
//! | `describe`, `block_stats`, `raw_transaction`, `script_text`, `amount` | blocks, transactions and amounts as JSON |
//! | `wallet_service`, `payments` | the wallet's owner, balances and payments |
//! | `cookie`, `users` | who is let in |
//! | `node_file`, `client` | how the command line finds the node |

mod active;
mod amount;
mod arguments;
mod block_stats;
mod client;
mod context;
mod cookie;
mod describe;
mod error;
mod method;
mod methods;
mod node_file;
mod one_state;
mod openrpc;
mod payments;
mod protocol;
mod raw_transaction;
mod reference;
mod script_text;
mod server;
mod shape;
mod text_params;
mod users;
mod wallet_service;

#[cfg(test)]
mod tests;

pub use active::ActiveCalls;
pub use client::{Client, ClientError};
pub use context::{LongPolls, RpcContext};
pub use cookie::{COOKIE_FILE, Cookie, CookieError};
pub use error::{RpcError, code};
pub use node_file::{NODE_FILE, NodeFile};
pub use openrpc::openrpc;
pub use reference::reference;
pub use server::{MAX_BODY, RpcConfig, serve};
pub use text_params::{named_params, positional_params};
pub use users::{NewUserError, RpcUser, UserError};
pub use wallet_service::WalletService;
