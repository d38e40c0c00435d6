//! The keyboard of a running node: `q` and Ctrl-C stop it.
//!
//! Keys are read one by one, so the terminal is in raw mode until [`Keys`] is dropped; a panic anywhere restores it too.

use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use crossterm::terminal::{disable_raw_mode, enable_raw_mode};
use tokio_util::sync::CancellationToken;

/// How often the reading thread looks whether it shall end.
const PAUSE: Duration = Duration::from_millis(100);

/// The reading thread and the raw mode; both end when this is dropped.
pub(super) struct Keys {
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Starts reading keys; `stop` is cancelled by `q` and Ctrl-C. Without raw mode Ctrl-C comes as a signal instead.
pub(super) fn watch(stop: CancellationToken) -> Option<Keys> {
    restore_on_panic();
    if let Err(error) = enable_raw_mode() {
        tracing::warn!(%error, "the keyboard cannot be read; use Ctrl-C to stop");
        return None;
    }
    let end = Arc::new(AtomicBool::new(false));
    let ending = Arc::clone(&end);
    let thread = Builder::new()
        .name("keys".into())
        .spawn(move || read(&ending, &stop));
    Some(Keys {
        end,
        thread: thread.ok(),
    })
}

fn read(end: &AtomicBool, stop: &CancellationToken) {
    while !end.load(Ordering::Relaxed) {
        match event::poll(PAUSE) {
            Ok(false) => {}
            Ok(true) => match event::read() {
                Ok(event) if stops(&event) => stop.cancel(),
                Ok(_) => {}
                Err(_) => return stop.cancel(),
            },
            // The terminal is gone, and with it whoever ran the node on it.
            Err(_) => return stop.cancel(),
        }
    }
}

fn stops(event: &Event) -> bool {
    let Event::Key(key) = event else { return false };
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    key.kind == KeyEventKind::Press
        && match key.code {
            KeyCode::Char('q' | 'Q') => !control,
            KeyCode::Char('c' | 'C') => control,
            _ => false,
        }
}

fn restore_on_panic() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        // The message must be readable; the node stops after it anyway.
        let _ = disable_raw_mode();
        before(info);
    }));
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It only reads; a panic in it was shown when it happened.
            let _ = thread.join();
        }
        let _ = disable_raw_mode();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossterm::event::KeyEvent;

    #[test]
    fn q_and_ctrl_c_stop_and_nothing_else_does() {
        let key = |code, modifiers| Event::Key(KeyEvent::new(code, modifiers));
        assert!(stops(&key(KeyCode::Char('q'), KeyModifiers::NONE)));
        assert!(stops(&key(KeyCode::Char('c'), KeyModifiers::CONTROL)));
        assert!(!stops(&key(KeyCode::Char('c'), KeyModifiers::NONE)));
        assert!(!stops(&key(KeyCode::Enter, KeyModifiers::NONE)));
        assert!(!stops(&Event::FocusGained));
    }
}
