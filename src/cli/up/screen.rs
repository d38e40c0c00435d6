//! A terminal whose last line is kept for the status while lines go by above it.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossterm::cursor::MoveToColumn;
use crossterm::queue;
use crossterm::terminal::{self, Clear, ClearType};

/// Width that is assumed where the terminal does not tell its own.
const DEFAULT_WIDTH: usize = 80;

/// The terminal on standard output. All of a node's output goes through it.
#[derive(Debug, Default)]
pub(super) struct Screen {
    status: Mutex<Option<String>>,
}

impl Screen {
    fn status(&self) -> MutexGuard<'_, Option<String>> {
        // The text is replaced as a whole, so it is good after any panic.
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Prints lines above the status.
    pub(super) fn line(&self, text: &str) {
        let status = self.status();
        // A terminal that is gone is noticed by the key reader; there is nobody to tell here.
        let _ = write_lines(text, status.as_deref());
    }

    /// Shows another status.
    pub(super) fn set_status(&self, text: String) {
        let mut status = self.status();
        let _ = write_status(Some(&text));
        *status = Some(text);
    }

    /// Takes the status away.
    pub(super) fn clear_status(&self) {
        let mut status = self.status();
        if status.take().is_some() {
            let _ = write_status(None);
        }
    }
}

fn write_lines(text: &str, status: Option<&str>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    queue!(out, MoveToColumn(0), Clear(ClearType::CurrentLine))?;
    for line in text.lines() {
        // In raw mode a line feed does not return to the first column.
        write!(out, "{line}\r\n")?;
    }
    drop(out);
    write_status(status)
}

fn write_status(text: Option<&str>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    queue!(out, MoveToColumn(0), Clear(ClearType::CurrentLine))?;
    if let Some(text) = text {
        // Some terminals tell a width of 0, as those of scripts do.
        let width = terminal::size()
            .ok()
            .map(|(columns, _)| usize::from(columns));
        let width = width.filter(|width| *width > 0).unwrap_or(DEFAULT_WIDTH);
        // A line that wraps could not be replaced.
        let shown: String = text.chars().take(width.saturating_sub(1)).collect();
        write!(out, "{shown}")?;
    }
    out.flush()
}

/// Sends log lines to a screen.
pub(super) struct LogWriter {
    screen: Arc<Screen>,
    text: Vec<u8>,
}

impl LogWriter {
    /// A writer of one log event.
    pub(super) const fn new(screen: Arc<Screen>) -> Self {
        Self {
            screen,
            text: Vec::new(),
        }
    }
}

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        if !self.text.is_empty() {
            self.screen.line(&String::from_utf8_lossy(&self.text));
        }
    }
}
