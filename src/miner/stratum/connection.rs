//! One connection: its socket, between which and its session lines go to and fro.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::jobs::Work;
use super::limits::{MAX_LINE, TICK, WRITE_PATIENCE};
use super::server::Shared;
use super::session::{Reaction, Session};
use super::throttle::Throttle;

/// Lines of bounded length from a stream.
pub(super) struct Lines<R> {
    stream: BufReader<R>,
    line: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(super) fn new(stream: R) -> Self {
        Self {
            stream: BufReader::with_capacity(MAX_LINE, stream),
            line: Vec::new(),
        }
    }

    /// The next line without its end; `None` at the end of the stream, where a line without an end is none. Dropping the
    /// future loses nothing.
    ///
    /// # Errors
    /// Those of the stream, and [`io::ErrorKind::InvalidData`] for a line that is too long.
    pub(super) async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            let read = self.stream.fill_buf().await?;
            if read.is_empty() {
                return Ok(None);
            }
            let end = read.iter().position(|byte| *byte == b'\n');
            let piece = &read[..end.unwrap_or(read.len())];
            if self.line.len() + piece.len() > MAX_LINE {
                return Err(io::ErrorKind::InvalidData.into());
            }
            self.line.extend_from_slice(piece);
            let used = piece.len() + usize::from(end.is_some());
            self.stream.consume(used);
            if end.is_some() {
                return Ok(Some(std::mem::take(&mut self.line)));
            }
        }
    }
}

/// Serves one connection to its end.
pub(super) async fn run(
    stream: TcpStream,
    shared: Arc<Shared>,
    mut work: watch::Receiver<Option<Arc<Work>>>,
    cancel: CancellationToken,
) {
    // Without the option answers are only slower.
    let _ = stream.set_nodelay(true);
    let latest = work.borrow_and_update().clone();
    let mut session = shared.session(latest);
    shared.workers.connected();
    let reason = tokio::select! {
        () = cancel.cancelled() => "the node stops",
        reason = talk(stream, &shared, &mut session, &mut work) => reason,
    };
    shared.workers.disconnected(session.names());
    tracing::debug!(reason, "a miner's connection ended");
}

/// Talks until the connection ends; returns why.
async fn talk(
    stream: TcpStream,
    shared: &Shared,
    session: &mut Session,
    work: &mut watch::Receiver<Option<Arc<Work>>>,
) -> &'static str {
    let (reader, mut writer) = stream.into_split();
    let mut lines = Lines::new(reader);
    let mut throttle = Throttle::new(shared.now().uptime);
    let mut next_line = Instant::now();
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let reaction = tokio::select! {
            // News come first: no share is taken for a job whose tip has passed.
            biased;
            changed = work.changed() => {
                let latest = work.borrow_and_update().clone();
                match (changed, latest) {
                    (Err(_), _) => return "the node stops",
                    (Ok(()), None) => Reaction::default(),
                    (Ok(()), Some(latest)) => session.on_work(latest),
                }
            }
            _ = ticks.tick() => session.on_tick(shared.now()),
            line = line_after(next_line, &mut lines) => match line {
                Ok(Some(line)) => {
                    let now = shared.now();
                    next_line = Instant::now() + throttle.take(now.uptime);
                    session.on_line(&line, now)
                }
                Ok(None) => return "the miner hung up",
                Err(error) if error.kind() == io::ErrorKind::InvalidData => return "a line is too long",
                Err(_) => return "the connection broke",
            },
        };
        let Reaction {
            block,
            event,
            lines: answers,
            close,
        } = reaction;
        if let Some((name, event)) = event {
            shared.workers.note(&name, event, shared.now());
        }
        if let Some(found) = block {
            shared.submit(found).await;
        }
        if !answers.is_empty() {
            let text = answers.join("\n") + "\n";
            match timeout(WRITE_PATIENCE, writer.write_all(text.as_bytes())).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return "the connection broke",
                Err(_) => return "the miner reads nothing",
            }
        }
        if let Some(reason) = close {
            return reason;
        }
    }
}

/// The next line, not read before `time`.
async fn line_after<R: AsyncRead + Unpin>(
    time: Instant,
    lines: &mut Lines<R>,
) -> io::Result<Option<Vec<u8>>> {
    sleep_until(time).await;
    lines.next().await
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(input: &[u8]) -> Vec<Option<Vec<u8>>> {
        let mut lines = Lines::new(input);
        let mut found = Vec::new();
        loop {
            let next = lines.next().await.ok();
            let ended = !matches!(next, Some(Some(_)));
            found.push(next.flatten());
            if ended {
                return found;
            }
        }
    }

    #[tokio::test]
    async fn lines_are_cut_at_their_ends_and_bounded() {
        let some = |text: &str| Some(text.as_bytes().to_vec());
        assert_eq!(
            read(b"one\ntwo\r\n\nhalf").await,
            [some("one"), some("two\r"), some(""), None]
        );
        let longest = "x".repeat(MAX_LINE);
        assert_eq!(
            read(format!("{longest}\n").as_bytes()).await,
            [some(&longest), None]
        );
        let too_long = vec![b'x'; MAX_LINE + 1];
        let mut lines = Lines::new(&too_long[..]);
        let error = lines.next().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
