//! The tasks of a node: each has a name, is watched, and is joined at the end.
//!
//! A task that ends before it was told to, returns an error or panics stops the node: [`Tasks::next`] tells who it was.

use std::collections::HashMap;
use std::fmt::Display;
use std::future::Future;

use tokio::task::{Id, JoinError, JoinSet};

/// How a task ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// Which one.
    pub(super) name: &'static str,
    /// Why, if not in order.
    pub(super) result: Result<(), String>,
}

/// Named tasks that run, and waiters for OS threads that do.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    set: JoinSet<Result<(), String>>,
    names: HashMap<Id, &'static str>,
}

impl Tasks {
    /// Runs `task`, or watches over it when it is the handle of one that runs already.
    pub(super) fn spawn<E: Display>(
        &mut self,
        name: &'static str,
        task: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        let task = async move { task.await.map_err(|error| error.to_string()) };
        let id = self.set.spawn(task).id();
        self.names.insert(id, name);
    }

    /// Watches over an OS thread: `join` blocks until it has ended.
    pub(super) fn spawn_join<E: Display>(
        &mut self,
        name: &'static str,
        join: impl FnOnce() -> Result<(), E> + Send + 'static,
    ) {
        let task = move || join().map_err(|error| error.to_string());
        let id = self.set.spawn_blocking(task).id();
        self.names.insert(id, name);
    }

    /// Waits for the next task to end; `None` when none is left.
    pub(super) async fn next(&mut self) -> Option<Ended> {
        let (id, result) = match self.set.join_next_with_id().await? {
            Ok((id, result)) => (id, result),
            Err(error) => (error.id(), Err(why(error))),
        };
        let name = self.names.remove(&id).unwrap_or("unnamed");
        Some(Ended { name, result })
    }

    /// The names of those that run.
    pub(super) fn running(&self) -> Vec<&'static str> {
        let mut names: Vec<_> = self.names.values().copied().collect();
        names.sort_unstable();
        names
    }
}

/// What a panic said.
fn why(error: JoinError) -> String {
    match error.try_into_panic() {
        Ok(panic) => format!("panicked: {}", panic_text(panic.as_ref())),
        Err(error) => error.to_string(),
    }
}

/// The message of a panic, if it has one.
fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_error_and_a_panic_are_told_with_the_name() {
        let mut tasks = Tasks::default();
        tasks.spawn("wrong", async { Err::<(), _>("no luck") });
        let ended = tasks.next().await.expect("one task");
        assert_eq!(
            (ended.name, ended.result),
            ("wrong", Err("no luck".to_owned()))
        );
        tasks.spawn_join("loud", || -> Result<(), String> { panic!("boo {}", 1) });
        let ended = tasks.next().await.expect("one task");
        assert_eq!(
            (ended.name, ended.result),
            ("loud", Err("panicked: boo 1".to_owned()))
        );
        assert!(tasks.next().await.is_none() && tasks.running().is_empty());
    }
}
