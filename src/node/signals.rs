//! The signals that end a node in order.

use std::io;

use tokio_util::sync::CancellationToken;

/// Cancels `stop` on SIGINT and SIGTERM (Ctrl-C elsewhere). Once this has returned, these signals do nothing else any more,
/// so it comes before anything that must not be cut short. Must be called inside a tokio runtime, whose end ends the waiting.
///
/// # Errors
/// When the system refuses to tell of signals.
pub fn stop_on_signals(stop: CancellationToken) -> io::Result<()> {
    #[cfg(unix)]
    let signal = {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        async move {
            tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            }
        }
    };
    #[cfg(not(unix))]
    let signal = async {
        match tokio::signal::ctrl_c().await {
            Ok(()) => "Ctrl-C",
            Err(_) => std::future::pending().await,
        }
    };
    tokio::spawn(async move {
        let signal = signal.await;
        // First, so that nothing about the log line can keep the node from stopping.
        stop.cancel();
        tracing::info!(signal, "stopping");
    });
    Ok(())
}
