//! What asks the process to end.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals by which init systems and people end a process.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Listens from now on: they no longer end the process by themselves.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the first, and tells its name.
    pub(crate) async fn received(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Leaves the session of whoever started the process, so that what ends that session does not end it.
pub(crate) fn leave_session() -> io::Result<()> {
    rustix::process::setsid().map(drop).map_err(io::Error::from)
}
