//! The client: finds the node that runs on a data folder, and calls it. Blocking; for the command line.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use ureq::http::StatusCode;
use zeroize::Zeroizing;

use super::cookie::Cookie;
use super::error::{RpcError, code};
use super::node_file::{NODE_FILE, NodeFile};

/// How long connecting may take. The node is on this machine or near.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long `find` waits for the node's first answer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest answer that is read: a block of the largest allowed size with every transaction spelt out is well below it.
const MAX_ANSWER: u64 = 256 << 20;

/// Why a call had no result.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No node has this folder open.
    #[error("no node is running on {}; start one with `quarry up`", .0.display())]
    NotRunning(PathBuf),
    /// A node was running and has gone without removing its files.
    #[error("no node answers at {address}, which {} names; it was killed, or is just starting or stopping", .file.display())]
    Stale {
        /// The file.
        file: PathBuf,
        /// Where nobody listens.
        address: SocketAddr,
    },
    /// A file of the node cannot be read.
    #[error("cannot read {}: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The node does not take the cookie.
    #[error("the node at {0} refused the cookie; is another node listening there?")]
    Unauthorized(SocketAddr),
    /// The node answered with an error.
    #[error(transparent)]
    Rpc(RpcError),
    /// The answer took too long.
    #[error("the node at {0} did not answer in time")]
    Timeout(SocketAddr),
    /// Something else answered, or the connection broke.
    #[error("no usable answer from {address}: {reason}")]
    BadAnswer {
        /// Who was asked.
        address: SocketAddr,
        /// What came.
        reason: String,
    },
}

impl ClientError {
    /// Whether there is no node to talk to, so that the database can be opened directly.
    #[must_use]
    pub fn is_offline(&self) -> bool {
        matches!(self, Self::NotRunning(_) | Self::Stale { .. })
    }

    /// The code of the node's error, if it is one.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        match self {
            Self::Rpc(error) => Some(error.code),
            _ => None,
        }
    }
}

/// A node that can be called.
pub struct Client {
    agent: ureq::Agent,
    file: PathBuf,
    node: NodeFile,
    authorization: Zeroizing<String>,
    /// Where requests go: `/`, or the path of a wallet.
    path: String,
}

impl Client {
    /// Finds the node that runs on a network's folder, and makes sure that it answers.
    ///
    /// # Errors
    /// [`ClientError`]; [`is_offline`](ClientError::is_offline) tells when there is just no node.
    pub fn find(folder: &Path) -> Result<Self, ClientError> {
        let file = folder.join(NODE_FILE);
        let node = match NodeFile::read(folder) {
            Ok(Some(node)) => node,
            Ok(None) => return Err(ClientError::NotRunning(folder.to_owned())),
            Err(source) => return Err(ClientError::File { path: file, source }),
        };
        let mut client = Self {
            agent: agent(),
            authorization: Zeroizing::new(String::new()),
            path: "/".to_owned(),
            file,
            node,
        };
        let cookie = match Cookie::read(folder) {
            Ok(cookie) => cookie,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(client.stale()),
            Err(source) => {
                let path = folder.join(super::cookie::COOKIE_FILE);
                return Err(ClientError::File { path, source });
            }
        };
        client.authorization =
            Zeroizing::new(format!("Basic {}", STANDARD.encode(cookie.as_bytes())));
        match client.post("uptime", json!([]), Some(PROBE_TIMEOUT)) {
            Ok(_) => Ok(client),
            // A killed node's port was taken by another program, perhaps by another node.
            Err(ClientError::Unauthorized(_) | ClientError::BadAnswer { .. })
                if !may_be_alive(client.node.pid) =>
            {
                Err(client.stale())
            }
            Err(error) => Err(error),
        }
    }

    /// What the node says about itself.
    #[must_use]
    pub fn node(&self) -> &NodeFile {
        &self.node
    }

    /// The same client, calling methods of one wallet; the default one's name is empty.
    #[must_use]
    pub fn for_wallet(self, name: &str) -> Self {
        // A wallet's name has nothing else that a path may not have.
        let path = format!("/wallet/{}", name.replace(' ', "%20"));
        Self { path, ..self }
    }

    /// Calls a method; `params` is a list or an object. Waits as long as the node works on it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn call(&self, method: &str, params: Value) -> Result<Value, ClientError> {
        self.post(method, params, None)
    }

    /// [`call`](Self::call), with the result read into a type.
    ///
    /// # Errors
    /// [`ClientError`]; [`ClientError::BadAnswer`] where the result has another shape.
    pub fn get<T: DeserializeOwned>(&self, method: &str, params: Value) -> Result<T, ClientError> {
        let result = self.call(method, params)?;
        serde_json::from_value(result).map_err(|error| self.bad(format!("{method}: {error}")))
    }

    fn post(
        &self,
        method: &str,
        params: Value,
        limit: Option<Duration>,
    ) -> Result<Value, ClientError> {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let sent = self
            .agent
            .post(format!("http://{}{}", self.address(), self.path))
            .config()
            .timeout_global(limit)
            .build()
            .header("Authorization", self.authorization.as_str())
            .header("Content-Type", "application/json")
            .send(request.to_string());
        let mut response = sent.map_err(|error| self.failure(error))?;
        let status = response.status();
        if status == StatusCode::UNAUTHORIZED {
            return Err(ClientError::Unauthorized(self.address()));
        }
        let body = response
            .body_mut()
            .with_config()
            .limit(MAX_ANSWER)
            .read_to_string();
        let body = body.map_err(|error| self.failure(error))?;
        let Ok(Value::Object(mut answer)) = serde_json::from_str(&body) else {
            let text: String = body.trim().chars().take(200).collect();
            return Err(self.bad(format!("HTTP {status}: {text}")));
        };
        match answer.remove("error") {
            None | Some(Value::Null) => answer
                .remove("result")
                .ok_or_else(|| self.bad("neither result nor error".into())),
            Some(error) => Err(ClientError::Rpc(rpc_error(&error))),
        }
    }

    /// A node that listens everywhere is reached here.
    fn address(&self) -> SocketAddr {
        let mut address = self.node.rpc;
        match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
            IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
            IpAddr::V4(_) | IpAddr::V6(_) => {}
        }
        address
    }

    fn stale(&self) -> ClientError {
        ClientError::Stale {
            file: self.file.clone(),
            address: self.address(),
        }
    }

    fn bad(&self, reason: String) -> ClientError {
        ClientError::BadAnswer {
            address: self.address(),
            reason,
        }
    }

    fn failure(&self, error: ureq::Error) -> ClientError {
        match error {
            ureq::Error::ConnectionFailed => self.stale(),
            ureq::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                self.stale()
            }
            ureq::Error::Timeout(_) => ClientError::Timeout(self.address()),
            other => self.bad(other.to_string()),
        }
    }
}

/// No proxies, whatever the environment says: the cookie is for the node alone.
fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .proxy(None)
        .max_redirects(0)
        .http_status_as_error(false)
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .build()
        .into()
}

fn rpc_error(error: &Value) -> RpcError {
    let number = error.get("code").and_then(Value::as_i64);
    let number = number.and_then(|number| i32::try_from(number).ok());
    let message = error.get("message").and_then(Value::as_str);
    RpcError::new(
        number.unwrap_or(code::MISC_ERROR),
        message.map_or_else(|| error.to_string(), str::to_owned),
    )
}

/// Whether a process may exist; `true` where the system does not tell.
fn may_be_alive(pid: u32) -> bool {
    let table = Path::new("/proc");
    !table.join("self").exists() || table.join(pid.to_string()).exists()
}
