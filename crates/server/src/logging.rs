//! Log lines on standard output, in Kask's format (one JSON object a line) or in one for people.
//!
//! `request_id` is taken from the event or, failing that, from the nearest span that has one. An `error!` with
//! `fatal = true` is FATAL, and is out before it returns. Whoever logs never waits for the reader of standard output:
//! lines wait in a bounded buffer, and what does not fit is lost and counted.
//!
//! Libraries are heard from WARN up, whatever `log_level` says; at `debug` from INFO up, and never below: their debug
//! lines may carry payloads, and a session key is a credential.

mod layer;
mod level;
mod line;
mod sink;

use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use tracing::Subscriber;
use tracing_log::LogTracer;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::Registry;

use crate::config::LogLevel;
use crate::output::LogOutput;
use layer::{FLUSH_PATIENCE, LineLayer};
use level::{LevelLayer, bridged};
use line::{Line, Severity};
use sink::Sink;

pub use level::LevelSwitch;
pub use line::Format;
pub(crate) use sink::lost_lines;

/// Keeps the log going. Dropped, it gives the last lines a second to get out.
#[derive(Debug)]
#[must_use = "the last lines are lost unless this lives until the end"]
pub struct LogGuard {
    sink: Arc<Sink>,
    level: LevelSwitch,
}

impl LogGuard {
    /// What changes the level while the process runs.
    pub fn level(&self) -> LevelSwitch {
        self.level.clone()
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        self.sink.drain(FLUSH_PATIENCE);
        self.sink.close();
    }
}

/// Starts the process's log on standard output. An error when there is one already, or no thread for it.
pub fn start(level: LogLevel, format: Format) -> anyhow::Result<LogGuard> {
    let sink = Arc::new(Sink::default());
    let switch = LevelSwitch::new(level);
    tracing::subscriber::set_global_default(subscriber(switch.clone(), format.clone(), wall_clock, Arc::clone(&sink)))?;
    // lsm-tree and sled speak through the `log` crate.
    LogTracer::init_with_filter(bridged(level))?;
    spawn_writer(Arc::clone(&sink), format)?;
    Ok(LogGuard { sink, level: switch })
}

/// The thread belongs to the guard: it ends when the guard has closed the sink, or, stuck in a write that nobody reads,
/// with the process.
fn spawn_writer(sink: Arc<Sink>, format: Format) -> io::Result<()> {
    let loss_notice = move |lost: u64| {
        let message = "log lines were lost because nobody read them in time".to_owned();
        let fields = vec![("lost", lost.into())];
        let line = Line { severity: Severity::Warning, message, request_id: None, fields };
        format.render(&line, wall_clock())
    };
    std::thread::Builder::new().name("sessile-log".to_owned()).spawn(move || sink.run(&mut LogOutput, loss_notice))?;
    Ok(())
}

fn subscriber(
    switch: LevelSwitch,
    format: Format,
    clock: fn() -> SystemTime,
    sink: Arc<Sink>,
) -> impl Subscriber + Send + Sync {
    Registry::default().with(LevelLayer::new(switch.clone())).with(LineLayer { switch, format, clock, sink })
}

#[expect(clippy::disallowed_methods, reason = "what the log says of its time, and of a certificate's, decides nothing")]
pub(crate) fn wall_clock() -> SystemTime {
    SystemTime::now()
}

#[cfg(test)]
mod tests;
