//! SIGTERM and Ctrl-C: the first asks the process to stop, the second ends it.

use std::io;
use std::process::ExitCode;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::info;

/// The signals that end the process, taken over from the moment of [`Signals::install`].
#[derive(Debug)]
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

/// Which one came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Interrupt,
    Terminate,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
        }
    }

    /// 128 + the signal's number, as a shell reports a process that the signal ended.
    fn exit_code(self) -> u8 {
        match self {
            Self::Interrupt => 130,
            Self::Terminate => 143,
        }
    }
}

impl Signals {
    /// Takes them over; call it before anything that has to be undone. Needs a runtime with I/O.
    pub fn install() -> io::Result<Self> {
        let (interrupt, terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        Ok(Self { interrupt, terminate })
    }

    /// Cancels `stop` at the first signal and returns at the second, with the code to exit with at once. To be
    /// selected against what stops by the token: whoever awaits only this never ends after one signal.
    pub async fn watch(mut self, stop: CancellationToken) -> ExitCode {
        let first = self.next().await;
        info!(signal = first.name(), "stopping; a second signal ends the process at once");
        stop.cancel();
        let second = self.next().await;
        info!(signal = second.name(), "ended by a second signal");
        ExitCode::from(second.exit_code())
    }

    async fn next(&mut self) -> Kind {
        tokio::select! {
            _ = self.interrupt.recv() => Kind::Interrupt,
            _ = self.terminate.recv() => Kind::Terminate,
        }
    }
}
