//! A peer that speaks the protocols by hand, so that it can break them: streams are its own, frames are bytes.
//!
//! It answers what a node asks, as its [`Habits`] say, notes what it hears, and sends what a test gives it.

mod link;
mod rpc;

use std::{
    future::poll_fn,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::{PeerId, core::muxing::StreamMuxer, identity::Keypair, yamux};
use quarry::{
    chain::ChainReader,
    wire::{Protocol, Request, Response, Status},
};
use tokio::sync::{mpsc, oneshot, watch};

pub use link::{Secure, accept, choose, secure};
pub use rpc::{Control, Graft, Message, Prune, Rpc, Subscription};

use crate::node::LIMIT;

pub type Stream = yamux::Stream;

/// What the peer answers to a request; `None` leaves it unanswered.
pub type Habits = Arc<dyn Fn(&Request) -> Option<Response> + Send + Sync>;

/// What the node said.
#[derive(Debug, Default)]
pub struct Heard {
    pub requests: Vec<Request>,
    pub gossip: Vec<Rpc>,
}

/// One connection to a node.
pub struct Hostile {
    pub id: PeerId,
    opener: mpsc::Sender<oneshot::Sender<Stream>>,
    heard: Arc<Mutex<Heard>>,
    closed: watch::Receiver<bool>,
    gossip: Option<Stream>,
}

/// Tells a status of `chain`, serves its headers and blocks, and no parts of blocks.
pub fn honest(chain: &ChainReader) -> Habits {
    let chain = chain.clone();
    Arc::new(move |request| match request {
        Request::Status(_) => Some(Response::Status(status(&chain))),
        Request::Headers(request) => Some(Response::Headers(chain.headers_after(
            &request.locator,
            &request.stop,
            2_000,
        ))),
        Request::Blocks(hashes) => {
            let blocks = hashes.iter().filter_map(|hash| chain.raw_block(hash).ok()?);
            Some(Response::RawBlocks(blocks.collect()))
        }
        _ => None,
    })
}

/// What a node with this chain says of itself.
pub fn status(chain: &ChainReader) -> Status {
    let tip = chain.tip();
    Status {
        chain_id: chain.spec().chain_id(),
        genesis: chain.spec().genesis_block().hash(),
        best_hash: tip.hash,
        best_height: tip.height,
        total_work: tip.chainwork,
        agent: "hostile".into(),
    }
}

impl Hostile {
    /// Connects to the node at `address`.
    pub async fn connect(address: SocketAddr, key: &Keypair, habits: Habits) -> Self {
        let heard = Arc::new(Mutex::new(Heard::default()));
        let noted = Arc::clone(&heard);
        let mut peer = Self::connect_with(address, key, move |stream| {
            tokio::spawn(serve(stream, Arc::clone(&habits), Arc::clone(&noted)));
        })
        .await;
        peer.heard = heard;
        peer
    }

    /// The same, with the streams that the node opens left to the test.
    pub async fn connect_with(
        address: SocketAddr,
        key: &Keypair,
        on_stream: impl FnMut(Stream) + Send + 'static,
    ) -> Self {
        let mut io = secure(address, key)
            .await
            .expect("the node takes the connection");
        choose(&mut io, "/yamux/1.0.0")
            .await
            .expect("the node speaks yamux");
        let muxer = link::multiplex(io).await;
        let (opener, wanted) = mpsc::channel(16);
        let (closing, closed) = watch::channel(false);
        tokio::spawn(async move {
            drive(muxer, wanted, on_stream).await;
            let _ = closing.send(true);
        });
        Self {
            id: key.public().to_peer_id(),
            opener,
            heard: Arc::default(),
            closed,
            gossip: None,
        }
    }

    /// A new stream for which no protocol is chosen yet; `None` once the connection is closed.
    pub async fn stream(&self) -> Option<Stream> {
        let (reply, stream) = oneshot::channel();
        self.opener.send(reply).await.ok()?;
        stream.await.ok()
    }

    /// Sends gossip; false once the node does not take it.
    pub async fn gossip(&mut self, rpc: &Rpc) -> bool {
        self.gossip_bytes(&rpc.frame()).await
    }

    /// Sends bytes on the gossip stream. A node that has closed the stream need not say so: what it does not read for seconds it
    /// does not take, and what comes next goes on a new stream.
    async fn gossip_bytes(&mut self, bytes: &[u8]) -> bool {
        let sent = tokio::time::timeout(Duration::from_secs(5), self.write_gossip(bytes)).await;
        let is_taken = sent.unwrap_or(false);
        if !is_taken {
            self.gossip = None;
        }
        is_taken
    }

    async fn write_gossip(&mut self, bytes: &[u8]) -> bool {
        if self.gossip.is_none() {
            let Some(mut stream) = self.stream().await else {
                return false;
            };
            if choose(&mut stream, "/meshsub/1.2.0").await.is_err() {
                return false;
            }
            self.gossip = Some(stream);
        }
        let Some(stream) = &mut self.gossip else {
            return false;
        };
        stream.write_all(bytes).await.is_ok() && stream.flush().await.is_ok()
    }

    /// Asks as a node does; `None` where no answer comes.
    pub async fn ask(&self, network: &str, request: &Request) -> Option<Response> {
        let protocol = request.protocol();
        let mut stream = self.stream().await?;
        choose(&mut stream, &protocol_id(network, protocol))
            .await
            .ok()?;
        link::write_frame(&mut stream, &request.encode())
            .await
            .ok()?;
        let frame = link::read_frame(&mut stream).await.ok()?;
        Response::decode(protocol, &frame).ok()
    }

    /// Looks at what was heard.
    pub fn heard<T>(&self, look: impl FnOnce(&Heard) -> T) -> T {
        look(&self.heard.lock().expect("nobody panics with it"))
    }

    /// Everything that the node published to us.
    pub fn published(&self) -> Vec<Message> {
        self.heard(|heard| {
            heard
                .gossip
                .iter()
                .flat_map(|rpc| rpc.publish.clone())
                .collect()
        })
    }

    /// Whether the node has closed the connection.
    pub fn is_closed(&self) -> bool {
        *self.closed.borrow()
    }

    /// Waits until the node closes the connection.
    pub async fn closed(&mut self, why: &str) {
        let closed = self.closed.wait_for(|closed| *closed);
        let closed = tokio::time::timeout(LIMIT, closed).await;
        assert!(closed.is_ok(), "the connection stays open: {why}");
    }
}

pub fn protocol_id(network: &str, protocol: Protocol) -> String {
    format!("/quarry/{network}/{}/1", protocol.name())
}

/// Polls the connection until it ends: hands over streams that the node opens, opens those that are wanted.
async fn drive(
    mut muxer: yamux::Muxer<Secure>,
    mut wanted: mpsc::Receiver<oneshot::Sender<Stream>>,
    mut on_stream: impl FnMut(Stream),
) {
    let mut pending: Option<oneshot::Sender<Stream>> = None;
    let poll = |context: &mut Context<'_>| -> Poll<()> {
        loop {
            let mut is_idle = true;
            if let Poll::Ready(result) = Pin::new(&mut muxer).poll_inbound(context) {
                match result {
                    Ok(stream) => on_stream(stream),
                    Err(_) => return Poll::Ready(()),
                }
                is_idle = false;
            }
            if pending.is_none()
                && let Poll::Ready(next) = wanted.poll_recv(context)
            {
                match next {
                    Some(reply) => pending = Some(reply),
                    // The test has dropped the peer.
                    None => return Poll::Ready(()),
                }
                is_idle = false;
            }
            if pending.is_some()
                && let Poll::Ready(result) = Pin::new(&mut muxer).poll_outbound(context)
            {
                match (result, pending.take()) {
                    (Ok(stream), Some(reply)) => drop(reply.send(stream)),
                    _ => return Poll::Ready(()),
                }
                is_idle = false;
            }
            if is_idle {
                return Poll::Pending;
            }
        }
    };
    poll_fn(poll).await;
}

/// Answers one stream that the node opened.
async fn serve(mut stream: Stream, habits: Habits, heard: Arc<Mutex<Heard>>) {
    let Ok(name) = link::accept(&mut stream).await else {
        return;
    };
    let note = |change: &dyn Fn(&mut Heard)| change(&mut heard.lock().expect("nobody panics"));
    if name.starts_with("/meshsub/") {
        while let Ok(rpc) = Rpc::read(&mut stream).await {
            note(&|heard| heard.gossip.push(rpc.clone()));
        }
    } else if name == "/ipfs/ping/1.0.0" {
        let mut bytes = [0; 32];
        while stream.read_exact(&mut bytes).await.is_ok() {
            let answered = stream.write_all(&bytes).await.is_ok();
            if !answered || stream.flush().await.is_err() {
                return;
            }
        }
    } else if let Some(protocol) = request_protocol(&name) {
        let Ok(frame) = link::read_frame(&mut stream).await else {
            return;
        };
        let request = Request::decode(protocol, &frame).expect("nodes send what decodes");
        note(&|heard| heard.requests.push(request.clone()));
        match habits(&request) {
            Some(response) => {
                // The node may have gone.
                let _ = link::write_frame(&mut stream, &response.encode(protocol)).await;
                let _ = stream.close().await;
            }
            // Kept open: the node waits in vain.
            None => tokio::time::sleep(LIMIT).await,
        }
    }
}

fn request_protocol(name: &str) -> Option<Protocol> {
    let is_it = |protocol: &Protocol| name.ends_with(&format!("/{}/1", protocol.name()));
    Protocol::ALL.into_iter().find(is_it)
}
