//! How many bytes go to and come from each peer.
//!
//! Counted is what goes over the streams of an authenticated connection: messages of all protocols with their framing and
//! negotiation. What Noise, Yamux, TCP and IP add is not, nor are handshakes that fail.

use std::{
    collections::HashMap,
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use futures::{AsyncRead, AsyncWrite, ready};
use libp2p::{
    PeerId,
    core::muxing::{StreamMuxer, StreamMuxerBox, StreamMuxerEvent, SubstreamBox},
};
use serde::Serialize;

use crate::primitives::unix_now;

/// Bytes in both directions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ByteCounts {
    /// Bytes received.
    pub received: u64,
    /// Bytes sent.
    pub sent: u64,
    /// When bytes came last, Unix seconds; 0 for never.
    pub last_received: u64,
    /// When bytes went last, Unix seconds; 0 for never.
    pub last_sent: u64,
}

#[derive(Debug, Default)]
struct Counter {
    received: AtomicU64,
    sent: AtomicU64,
    last_received: AtomicU64,
    last_sent: AtomicU64,
}

impl Counter {
    fn read(&self) -> ByteCounts {
        ByteCounts {
            received: self.received.load(Ordering::Relaxed),
            sent: self.sent.load(Ordering::Relaxed),
            last_received: self.last_received.load(Ordering::Relaxed),
            last_sent: self.last_sent.load(Ordering::Relaxed),
        }
    }
}

/// The counters of a node. Clones count together.
///
/// A peer's counter lives as long as a connection with it.
#[derive(Debug, Clone, Default)]
pub(super) struct Traffic {
    total: Arc<Counter>,
    peers: Arc<Mutex<HashMap<PeerId, Weak<Counter>>>>,
}

impl Traffic {
    /// All bytes since the start.
    pub(super) fn total(&self) -> ByteCounts {
        self.total.read()
    }

    /// The bytes of the connections with `peer`, from the first of those that overlap; none if there is no connection.
    pub(super) fn of(&self, peer: &PeerId) -> ByteCounts {
        let counter = self.lock().get(peer).and_then(Weak::upgrade);
        counter.map_or_else(ByteCounts::default, |counter| counter.read())
    }

    /// Counts a connection's streams.
    pub(super) fn count(&self, peer: PeerId, connection: StreamMuxerBox) -> Counted {
        let mut peers = self.lock();
        let known = peers.get(&peer).and_then(Weak::upgrade);
        let counter = known.unwrap_or_else(|| {
            // As many as there are connections remain, whose number is limited.
            peers.retain(|_, counter| counter.strong_count() > 0);
            let counter = Arc::default();
            peers.insert(peer, Arc::downgrade(&counter));
            counter
        });
        Counted {
            inner: connection,
            counters: Counters {
                peer: counter,
                total: Arc::clone(&self.total),
            },
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PeerId, Weak<Counter>>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Clone)]
struct Counters {
    peer: Arc<Counter>,
    total: Arc<Counter>,
}

impl Counters {
    fn received(&self, bytes: usize) {
        let now = unix_now();
        for counter in [&self.peer, &self.total] {
            counter.received.fetch_add(bytes as u64, Ordering::Relaxed);
            counter.last_received.store(now, Ordering::Relaxed);
        }
    }

    fn sent(&self, bytes: usize) {
        let now = unix_now();
        for counter in [&self.peer, &self.total] {
            counter.sent.fetch_add(bytes as u64, Ordering::Relaxed);
            counter.last_sent.store(now, Ordering::Relaxed);
        }
    }
}

/// A connection whose streams are counted.
pub(super) struct Counted {
    inner: StreamMuxerBox,
    counters: Counters,
}

impl Counted {
    fn counted(&self, inner: SubstreamBox) -> CountedStream {
        CountedStream {
            inner,
            counters: self.counters.clone(),
        }
    }
}

impl StreamMuxer for Counted {
    type Substream = CountedStream;
    type Error = io::Error;

    fn poll_inbound(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<CountedStream>> {
        let stream = ready!(Pin::new(&mut self.inner).poll_inbound(context))?;
        Poll::Ready(Ok(self.counted(stream)))
    }

    fn poll_outbound(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<CountedStream>> {
        let stream = ready!(Pin::new(&mut self.inner).poll_outbound(context))?;
        Poll::Ready(Ok(self.counted(stream)))
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(context)
    }

    fn poll(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<StreamMuxerEvent>> {
        Pin::new(&mut self.inner).poll(context)
    }
}

/// A stream whose bytes are counted.
pub(super) struct CountedStream {
    inner: SubstreamBox,
    counters: Counters,
}

impl AsyncRead for CountedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let bytes = ready!(Pin::new(&mut self.inner).poll_read(context, buffer))?;
        self.counters.received(bytes);
        Poll::Ready(Ok(bytes))
    }
}

impl AsyncWrite for CountedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let bytes = ready!(Pin::new(&mut self.inner).poll_write(context, buffer))?;
        self.counters.sent(bytes);
        Poll::Ready(Ok(bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let bytes = ready!(Pin::new(&mut self.inner).poll_write_vectored(context, buffers))?;
        self.counters.sent(bytes);
        Poll::Ready(Ok(bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::{AsyncReadExt, AsyncWriteExt, io::Cursor};

    /// A connection whose streams hold 5 bytes.
    struct Five;

    impl StreamMuxer for Five {
        type Substream = Cursor<Vec<u8>>;
        type Error = io::Error;

        fn poll_inbound(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<io::Result<Cursor<Vec<u8>>>> {
            Poll::Ready(Ok(Cursor::new(vec![7; 5])))
        }

        fn poll_outbound(
            self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<io::Result<Cursor<Vec<u8>>>> {
            self.poll_inbound(context)
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<StreamMuxerEvent>> {
            Poll::Pending
        }
    }

    async fn stream(connection: &mut Counted) -> CountedStream {
        std::future::poll_fn(|context| Pin::new(&mut *connection).poll_outbound(context))
            .await
            .expect("it always opens")
    }

    #[tokio::test]
    async fn bytes_are_counted_by_peer_and_in_all() {
        let traffic = Traffic::default();
        let (a, b) = (PeerId::random(), PeerId::random());
        let mut first = traffic.count(a, StreamMuxerBox::new(Five));
        let mut second = traffic.count(a, StreamMuxerBox::new(Five));
        let mut other = traffic.count(b, StreamMuxerBox::new(Five));
        let mut read = Vec::new();
        let received = stream(&mut first).await.read_to_end(&mut read).await;
        assert_eq!(received.expect("memory"), 5);
        for connection in [&mut second, &mut other] {
            let mut stream = stream(connection).await;
            stream.write_all(&[1; 3]).await.expect("memory");
        }
        let counts = |counts: ByteCounts| (counts.received, counts.sent);
        assert_eq!(counts(traffic.of(&a)), (5, 3), "both connections");
        assert_eq!(counts(traffic.of(&b)), (0, 3));
        assert_eq!(counts(traffic.total()), (5, 6));
        assert!(traffic.of(&a).last_received > 0 && traffic.of(&b).last_received == 0);
        drop((first, second));
        assert_eq!(traffic.of(&a), ByteCounts::default());
        assert_eq!(counts(traffic.total()), (5, 6));
    }

    #[tokio::test]
    async fn counters_of_peers_that_are_gone_take_no_room() {
        let traffic = Traffic::default();
        for _ in 0..1_000 {
            drop(traffic.count(PeerId::random(), StreamMuxerBox::new(Five)));
        }
        assert_eq!(traffic.lock().len(), 1);
    }
}
