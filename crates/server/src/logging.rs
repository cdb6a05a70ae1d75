//! Log lines on standard output, in Kask's format (one JSON object a line) or in one for people.
//!
//! `request_id` is taken from the event or, failing that, from the nearest span that has one. An `error!` with
//! `fatal = true` is FATAL, and is out before it returns. Whoever logs never waits for the reader of standard output:
//! lines wait in a bounded buffer, and what does not fit is lost and counted.
//!
//! Libraries are heard from WARN up, whatever `log_level` says; at `debug` from INFO up, and never below: their debug
//! lines may carry payloads, and a session key is a credential.

mod layer;
mod line;
mod sink;

use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use tracing::level_filters::LevelFilter;
use tracing::{Level, Subscriber};
use tracing_log::LogTracer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::Registry;

use crate::config::LogLevel;
use crate::output::LogOutput;
use layer::{FLUSH_PATIENCE, LineLayer, OWN_TARGETS};
use line::{Line, Severity};
use sink::Sink;

pub use line::Format;

/// openraft warns there of every answer that nobody waits for any more and of every try to reach a member that is gone:
/// thousands of lines. That a member is gone our own log says once.
const WARNS_OF_EVERY_TRY: [&str; 4] = [
    "openraft::raft::responder",
    "openraft::core::heartbeat",
    "openraft::replication",
    "openraft::engine::handler::replication_handler",
];

/// Keeps the log going. Dropped, it gives the last lines a second to get out.
#[derive(Debug)]
#[must_use = "the last lines are lost unless this lives until the end"]
pub struct LogGuard {
    sink: Arc<Sink>,
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
    tracing::subscriber::set_global_default(subscriber(level, format.clone(), wall_clock, Arc::clone(&sink)))?;
    // fjall and sled speak through the `log` crate.
    LogTracer::init_with_filter(match libraries(level) {
        Some(Level::INFO) => tracing_log::log::LevelFilter::Info,
        Some(Level::WARN) => tracing_log::log::LevelFilter::Warn,
        _ => tracing_log::log::LevelFilter::Error,
    })?;
    spawn_writer(Arc::clone(&sink), format)?;
    Ok(LogGuard { sink })
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
    level: LogLevel,
    format: Format,
    clock: fn() -> SystemTime,
    sink: Arc<Sink>,
) -> impl Subscriber + Send + Sync {
    let targets = Targets::new()
        .with_default(LevelFilter::from(libraries(level)))
        .with_targets(WARNS_OF_EVERY_TRY.map(|target| (target, LevelFilter::ERROR)))
        .with_target(OWN_TARGETS, own(level));
    Registry::default().with(targets).with(LineLayer { level, format, clock, sink })
}

fn own(level: LogLevel) -> Level {
    match level {
        LogLevel::Debug => Level::DEBUG,
        LogLevel::Info => Level::INFO,
        LogLevel::Warning => Level::WARN,
        // Of the errors, the layer lets the fatal ones through.
        LogLevel::Error | LogLevel::Fatal => Level::ERROR,
    }
}

/// `None`: nothing. No library knows what is fatal for this process.
fn libraries(level: LogLevel) -> Option<Level> {
    match level {
        LogLevel::Debug => Some(Level::INFO),
        LogLevel::Info | LogLevel::Warning => Some(Level::WARN),
        LogLevel::Error => Some(Level::ERROR),
        LogLevel::Fatal => None,
    }
}

#[expect(clippy::disallowed_methods, reason = "what a line of the log says of its time decides nothing")]
fn wall_clock() -> SystemTime {
    SystemTime::now()
}

#[cfg(test)]
mod tests;
