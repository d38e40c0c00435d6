//! A whole server on a loopback socket, over a chain in a temporary folder.

mod calls;
mod chain_calls;
mod client;
mod generating;
mod guard;
mod mempool_calls;
mod money;
mod protocol;
mod schema;
mod storm;
mod template;
mod wallet_keys;
mod wallets;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{
    ActiveCalls, Cookie, LongPolls, NodeFile, RpcConfig, RpcContext, RpcUser, WalletService,
};
use crate::chain::testing::TestChain;
use crate::chain::{Clock, SettableClock};
use crate::http::testing::{Answer, exchange};
use crate::mempool::{self, MempoolHandle, MempoolTask, Policy};
use crate::wallet::Wallet;

/// A node without network and miner. Everything ends when it is dropped.
pub(super) struct Node {
    pub chain: TestChain,
    pub folder: TempDir,
    pub address: SocketAddr,
    pub stop: CancellationToken,
    runtime: Runtime,
    mempool: MempoolHandle,
    task: Option<MempoolTask>,
    server: Option<JoinHandle<()>>,
}

impl Node {
    /// With an unencrypted wallet.
    pub fn new() -> Self {
        let node = Self::without_wallet();
        Wallet::create(node.folder.path().join("wallet.json"), None).expect("the folder is empty");
        node
    }

    pub fn without_wallet() -> Self {
        Self::start(Vec::new())
    }

    /// A node without wallet that lets these users in.
    pub fn with_users(users: Vec<RpcUser>) -> Self {
        Self::start(users)
    }

    fn start(users: Vec<RpcUser>) -> Self {
        let chain = TestChain::new();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let runtime = Runtime::new().expect("a runtime");
        let time = Arc::clone(&chain.clock);
        let clock: Clock = Arc::new(move || time.load(Ordering::Relaxed));
        let (mempool, task) = mempool::spawn(
            chain.handle().clone(),
            Policy::default(),
            Arc::clone(&clock),
        )
        .expect("a thread");
        let cookie = Arc::new(Cookie::create(folder.path()).expect("the folder is empty"));
        let stop = CancellationToken::new();
        let context = RpcContext {
            chain: chain.handle().clone(),
            mempool: mempool.clone(),
            miner: None,
            stratum: None,
            network: None,
            expects_peers: false,
            wallet: WalletService::new(folder.path()),
            long_polls: LongPolls::default(),
            stop: stop.clone(),
            clock,
            started: Instant::now(),
            mock_time: Some(SettableClock::default()),
            active: ActiveCalls::default(),
            database: chain.dir.path().to_owned(),
        };
        let listener = runtime
            .block_on(TcpListener::bind("127.0.0.1:0"))
            .expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let inside = runtime.enter();
        let config = RpcConfig {
            connections: None,
            allowed_hosts: vec!["node".to_owned()],
            users,
        };
        let server = super::serve(listener, Arc::new(context), cookie, config, stop.clone());
        NodeFile {
            pid: std::process::id(),
            rpc: address,
            explorer: None,
            p2p: Vec::new(),
        }
        .write(folder.path())
        .expect("a writable folder");
        drop(inside);
        Self {
            chain,
            folder,
            address,
            stop,
            runtime,
            mempool,
            task: Some(task),
            server: Some(server),
        }
    }

    /// The header that opens the door.
    pub fn authorization(&self) -> String {
        let text = Cookie::read(self.folder.path()).expect("it was written at the start");
        format!(
            "Authorization: Basic {}\r\n",
            STANDARD.encode(text.as_bytes())
        )
    }

    /// Posts a body with all the right headers.
    pub fn post(&self, body: impl AsRef<[u8]>) -> Answer {
        self.post_to("/", body)
    }

    /// The same to another path.
    pub fn post_to(&self, path: &str, body: impl AsRef<[u8]>) -> Answer {
        let body = body.as_ref();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\n{}Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            self.address,
            self.authorization(),
            body.len()
        );
        exchange(self.address, &[head.as_bytes(), body].concat())
    }

    /// The answer to one request of version 2.
    pub fn request(&self, method: &str, params: Value) -> Value {
        self.request_at("/", method, params)
    }

    /// The same at a path, which may name a wallet.
    pub fn request_at(&self, path: &str, method: &str, params: Value) -> Value {
        let body = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params });
        let answer = self.post_to(path, body.to_string());
        assert_eq!(answer.status, 200, "{method}: {answer:?}");
        let answer: Value = serde_json::from_str(&answer.body).expect("JSON");
        assert_eq!(answer["id"], json!(7));
        answer
    }

    /// The result of a call that must succeed.
    pub fn call(&self, method: &str, params: Value) -> Value {
        let mut answer = self.request(method, params);
        assert_eq!(answer.get("error"), None, "{method}");
        answer["result"].take()
    }

    /// The code of a call that must fail.
    pub fn code(&self, method: &str, params: Value) -> i64 {
        let answer = self.request(method, params);
        answer["error"]["code"]
            .as_i64()
            .unwrap_or_else(|| panic!("{method} succeeded: {answer}"))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(server) = self.server.take() {
            let _ = self.runtime.block_on(server);
        }
        self.mempool.stop_blocking();
        if let Some(task) = self.task.take() {
            let _ = task.join();
        }
    }
}
