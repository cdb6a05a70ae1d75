//! Signals: the first SIGTERM or Ctrl-C asks the process to stop, the second ends it. SIGHUP has what can be reloaded
//! reloaded. SIGUSR1, SIGUSR2 and SIGPIPE end nothing, whatever a process supervisor or a log rotation sends; their default
//! would end a leader without a hand-over. The runtime of Rust ignores SIGPIPE from the start.

use std::io;
use std::process::ExitCode;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::reloads::Reloads;

/// What SIGHUP means.
#[derive(Debug, Clone)]
pub enum Hangup {
    /// Nothing.
    Nothing,
    /// What can be reloaded is: so a service is told.
    Reloads(Reloads),
    /// The terminal has gone, and with it whoever wanted the process: it stops. Not under `nohup`.
    Stops,
}

/// The signals that would end the process, taken over from the moment of [`Signals::install`].
#[derive(Debug)]
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    hangup_means: Hangup,
    /// Nobody looks at these. That they are taken over keeps them from ending the process.
    _ignored: [Signal; 2],
}

/// Which one came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Interrupt,
    Terminate,
    Hangup,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
            Self::Hangup => "SIGHUP",
        }
    }

    /// 128 + the signal's number, as a shell reports a process that the signal ended.
    fn exit_code(self) -> u8 {
        match self {
            Self::Interrupt => 130,
            Self::Terminate => 143,
            Self::Hangup => 129,
        }
    }
}

impl Signals {
    /// Takes them over; call it before anything that has to be undone. Needs a runtime with I/O.
    pub fn install(hangup_means: Hangup) -> io::Result<Self> {
        // Asked before it is taken over.
        let hangup_means = match hangup_means {
            Hangup::Stops if hangup_is_ignored() => Hangup::Nothing,
            means => means,
        };
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            hangup_means,
            _ignored: [signal(SignalKind::user_defined1())?, signal(SignalKind::user_defined2())?],
        })
    }

    /// Cancels `stop` at the first signal and returns at the second, with the code to exit with at once. To be
    /// selected against what stops by the token: whoever awaits only this never ends after one signal.
    pub async fn watch(mut self, stop: CancellationToken) -> ExitCode {
        let first = self.next().await;
        info!(signal = first.name(), "stopping; a second signal ends the process at once");
        stop.cancel();
        // A terminal that goes sends SIGHUP more than once: the shell does, and then the kernel.
        self.hangup_means = Hangup::Nothing;
        let second = self.next().await;
        info!(signal = second.name(), "ended by a second signal");
        ExitCode::from(second.exit_code())
    }

    /// The next signal that asks for the end.
    async fn next(&mut self) -> Kind {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => return Kind::Interrupt,
                _ = self.terminate.recv() => return Kind::Terminate,
                _ = self.hangup.recv() => match &self.hangup_means {
                    Hangup::Stops => return Kind::Hangup,
                    Hangup::Reloads(reloads) => reloads.ask(),
                    Hangup::Nothing => info!("SIGHUP has no effect here"),
                },
            }
        }
    }
}

/// Whether whoever started this process has it ignore SIGHUP, as `nohup` does.
fn hangup_is_ignored() -> bool {
    // Signal 1 is the lowest bit.
    const SIGHUP_BIT: u64 = 1;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & SIGHUP_BIT != 0)
}
