//! Connections that wait for a request.
//!
//! Whoever opens many connections and asks nothing would keep everybody else out. So where all are taken, the one that has
//! waited longest makes way for a new one; those with a request or an answer under way are left alone.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use tokio_util::sync::CancellationToken;

/// The waiting connections of one server, in the order in which they began to wait.
#[derive(Debug, Default)]
pub(super) struct WaitingList(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    next: u64,
    close: BTreeMap<u64, CancellationToken>,
}

impl WaitingList {
    /// Tells the connection that has waited longest to close; `false` when none waits.
    pub(super) fn close_longest(&self) -> bool {
        let longest = self.entries().close.pop_first();
        longest.is_some_and(|(_, close)| {
            close.cancel();
            true
        })
    }

    fn enter(&self, close: &CancellationToken) -> u64 {
        let mut entries = self.entries();
        let number = entries.next;
        entries.next += 1;
        entries.close.insert(number, close.clone());
        number
    }

    fn leave(&self, number: u64) {
        self.entries().close.remove(&number);
    }

    /// No code that can panic runs under the lock.
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection, in the list from its first moment on, except while it is [`Busy`].
#[derive(Debug)]
pub(super) struct Connection {
    list: Arc<WaitingList>,
    /// Cancelled when it shall close.
    close: CancellationToken,
    number: AtomicU64,
}

impl Connection {
    pub(super) fn new(list: Arc<WaitingList>, close: CancellationToken) -> Arc<Self> {
        let number = AtomicU64::new(list.enter(&close));
        Arc::new(Self {
            list,
            close,
            number,
        })
    }

    /// A request has come. HTTP/1 has one at a time.
    pub(super) fn begin(self: &Arc<Self>) -> Busy {
        self.list.leave(self.number.load(Ordering::Relaxed));
        Busy(Arc::clone(self))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.list.leave(self.number.load(Ordering::Relaxed));
    }
}

/// A request, until the whole answer is sent.
#[derive(Debug)]
pub(super) struct Busy(Arc<Connection>);

impl Drop for Busy {
    fn drop(&mut self) {
        let Connection {
            list,
            close,
            number,
        } = &*self.0;
        number.store(list.enter(close), Ordering::Relaxed);
    }
}

/// The body of an answer, which keeps its connection busy.
pub(super) struct BusyBody {
    pub(super) body: Body,
    pub(super) _busy: Busy,
}

impl HttpBody for BusyBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_waiting_makes_way_and_the_busy_do_not() {
        let list = Arc::<WaitingList>::default();
        let close: Vec<_> = (0..3).map(|_| CancellationToken::new()).collect();
        let open = |at: usize| Connection::new(Arc::clone(&list), close[at].clone());
        let (first, second, third) = (open(0), open(1), open(2));
        let closed =
            || -> Vec<bool> { close.iter().map(CancellationToken::is_cancelled).collect() };
        drop(first.begin());
        let busy = second.begin();
        drop(third);
        assert!(list.close_longest(), "the first waits again");
        assert_eq!(closed(), [true, false, false]);
        assert!(!list.close_longest(), "one is busy and one has gone");
        drop(busy);
        assert!(list.close_longest());
        assert_eq!(closed(), [true, true, false]);
    }
}
