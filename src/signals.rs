//! What asks a process to end.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Why a process does not get its signals.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action}: {source}")]
pub struct SignalError {
    action: &'static str,
    source: io::Error,
}

/// The signals that ask a process to end: Ctrl-C, and SIGTERM.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes them over: from now on they end nothing by themselves.
    pub fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Takes them over for a service, in a session of its own where it is to have one: what ends the session of whoever started it
    /// does not end it then.
    pub fn of_service(own_session: bool) -> Result<Self, SignalError> {
        if own_session {
            rustix::process::setsid().map_err(|error| SignalError { action: "leave the session", source: error.into() })?;
        }
        Self::new().map_err(|source| SignalError { action: "listen for signals", source })
    }

    /// Waits for one, and tells which.
    pub async fn received(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
