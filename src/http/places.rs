//! Places for work that blocks: so much of it at a time.
//!
//! # Invariants
//! A place is free again when its work has ended, and not when the client that asked for it has gone: clients that ask and hang
//! up cannot pile up work.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::timeout;

/// The places of one server.
#[derive(Debug)]
pub struct Places {
    free: Arc<Semaphore>,
    count: u32,
    patience: Duration,
}

/// Places that are taken, until this is dropped or its work has ended.
#[derive(Debug)]
pub struct Place(RefCell<Option<OwnedSemaphorePermit>>);

impl Places {
    /// So many, for each of which a request waits up to `patience`.
    pub fn new(count: u16, patience: Duration) -> Self {
        Self {
            free: Arc::new(Semaphore::new(count.into())),
            count: count.into(),
            patience,
        }
    }

    /// Takes a place; `None` when none becomes free in time.
    pub async fn take(&self) -> Option<Place> {
        self.take_many(1).await
    }

    /// Takes so many places at once, or all of them if it is more than there are; `None` when they do not become free in
    /// time. Whoever asked first gets them first.
    pub async fn take_many(&self, wanted: u32) -> Option<Place> {
        let permit = Arc::clone(&self.free).acquire_many_owned(wanted.min(self.count));
        let permit = timeout(self.patience, permit).await.ok()?.ok()?;
        Some(Place(RefCell::new(Some(permit))))
    }
}

impl Place {
    /// Runs `work` where it may block. Dropping this future does not end the work, which keeps the place.
    ///
    /// # Errors
    /// That `work` panicked.
    pub async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        self.run_lending(|_| work()).await
    }

    /// The same for work that can [`lend`](Self::lend) its place.
    ///
    /// # Errors
    /// That `work` panicked.
    pub async fn run_lending<T: Send + 'static>(
        self,
        work: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        spawn_blocking(move || work(&self)).await
    }

    /// Leaves the place to others while `wait` does nothing but wait; afterwards waits until it is free again. Called from
    /// work that [`run_lending`](Self::run_lending) runs.
    pub fn lend<T>(&self, wait: impl FnOnce() -> T) -> T {
        let Some(permit) = self.0.take() else {
            return wait();
        };
        let count = u32::try_from(permit.num_permits()).unwrap_or(u32::MAX);
        let free = Arc::clone(permit.semaphore());
        drop(permit);
        let found = wait();
        // The semaphore is never closed.
        let again = Handle::current().block_on(free.acquire_many_owned(count));
        self.0.replace(again.ok());
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// A client hangs up while its page is being made.
    #[tokio::test]
    async fn work_keeps_its_place_when_nobody_waits_for_it() {
        let places = Places::new(1, Duration::from_millis(50));
        let (finish, finished) = mpsc::channel::<()>();
        let place = places.take().await.expect("it is free");
        let work = place.run(move || finished.recv().is_ok());
        let gone = timeout(Duration::from_millis(10), work).await;
        assert!(gone.is_err(), "the work goes on");
        assert!(places.take().await.is_none());
        finish.send(()).expect("the work waits for it");
        let patient = Places {
            patience: Duration::from_secs(20),
            ..places
        };
        assert!(patient.take().await.is_some());
    }

    #[tokio::test]
    async fn work_that_waits_lends_its_place() {
        let places = Places::new(1, Duration::from_secs(20));
        let (finish, finished) = mpsc::channel::<()>();
        let place = places.take().await.expect("it is free");
        let waiting = tokio::spawn(place.run_lending(move |place| {
            let waited = place.lend(|| finished.recv().is_ok());
            (waited, place.0.borrow().is_some())
        }));
        let other = places.take().await.expect("it is lent");
        finish.send(()).expect("the work waits for it");
        drop(other);
        let ended = waiting.await.expect("no panic").expect("no panic");
        assert_eq!(ended, (true, true));
        assert!(places.take().await.is_some(), "and given back");
    }

    #[tokio::test]
    async fn large_work_runs_alone() {
        let places = Places::new(4, Duration::from_millis(20));
        let large = places.take_many(3).await.expect("they are free");
        assert!(places.take_many(3).await.is_none());
        let small = places.take().await.expect("one is left");
        drop((large, small));
        assert!(places.take_many(u32::MAX).await.is_some(), "all of them");
    }
}
