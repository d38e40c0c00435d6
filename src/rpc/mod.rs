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
//! | `methods` | the table, one file a category |
//! | `describe`, `script_text`, `amount` | blocks, transactions and amounts as JSON |
//! | `wallet_service`, `payments` | the wallet's owner, balances and payments |
//! | `cookie`, `node_file`, `client` | how the command line finds the node |

mod amount;
mod arguments;
mod client;
mod context;
mod cookie;
mod describe;
mod error;
mod method;
mod methods;
mod node_file;
mod payments;
mod protocol;
mod script_text;
mod server;
mod text_params;
mod wallet_service;

#[cfg(test)]
mod tests;

pub use client::{Client, ClientError};
pub use context::{LongPolls, RpcContext};
pub use cookie::{COOKIE_FILE, Cookie, CookieError};
pub use error::{RpcError, code};
pub use node_file::{NODE_FILE, NodeFile};
pub use server::{MAX_BODY, RpcConfig, serve};
pub use text_params::{named_params, positional_params};
pub use wallet_service::WalletService;
