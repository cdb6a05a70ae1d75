//! The level in force, and which events it lets through.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer};

use crate::config::LogLevel;

/// What the targets of our own crates begin with (`sessile`, `sessile_store`, …).
pub(super) const OWN_TARGETS: &str = "sessile";
/// openraft warns there of every answer that nobody waits for any more and of every try to reach a member that is gone:
/// thousands of lines, and six a second of a node that asks for votes and reaches nobody. That a member is gone our own log
/// says once.
const WARNS_OF_EVERY_TRY: [&str; 5] = [
    "openraft::core::raft_core",
    "openraft::raft::responder",
    "openraft::core::heartbeat",
    "openraft::replication",
    "openraft::engine::handler::replication_handler",
];

/// openraft says there as an error that it was asked for something after it was stopped, which is so at every stop. Why it
/// stopped, if nobody asked it to, our own log says.
const FINDS_IT_STOPPED: [&str; 2] = ["openraft::raft::raft_inner", "openraft::raft::stream_append"];

/// The level in force. Cheap to clone; clones switch the same log.
#[derive(Debug, Clone)]
pub struct LevelSwitch {
    /// Its place in [`LogLevel::ALL`].
    place: Arc<AtomicUsize>,
}

impl LevelSwitch {
    pub(super) fn new(level: LogLevel) -> Self {
        Self { place: Arc::new(AtomicUsize::new(level as usize)) }
    }

    /// The level in force.
    pub fn get(&self) -> LogLevel {
        LogLevel::ALL[self.place()]
    }

    /// From here on that level is in force.
    pub fn set(&self, level: LogLevel) {
        self.place.store(level as usize, Ordering::Relaxed);
        tracing_log::log::set_max_level(bridged(level));
        // Each place that logs remembers whether anybody wants its events.
        tracing_core::callsite::rebuild_interest_cache();
    }

    fn place(&self) -> usize {
        self.place.load(Ordering::Relaxed)
    }
}

/// Lets through what the level in force wants. What each level wants is made beforehand, so that asking takes no lock.
#[derive(Debug)]
pub(super) struct LevelLayer {
    switch: LevelSwitch,
    wanted: [Targets; LogLevel::ALL.len()],
}

impl LevelLayer {
    pub(super) fn new(switch: LevelSwitch) -> Self {
        Self { switch, wanted: LogLevel::ALL.map(targets) }
    }

    fn now(&self) -> &Targets {
        &self.wanted[self.switch.place()]
    }
}

impl<S: Subscriber> Layer<S> for LevelLayer {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        Layer::<S>::register_callsite(self.now(), metadata)
    }

    fn enabled(&self, metadata: &Metadata<'_>, context: Context<'_, S>) -> bool {
        Layer::<S>::enabled(self.now(), metadata, context)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Layer::<S>::max_level_hint(self.now())
    }
}

fn targets(level: LogLevel) -> Targets {
    Targets::new()
        .with_default(LevelFilter::from(libraries(level)))
        .with_targets(WARNS_OF_EVERY_TRY.map(|target| (target, LevelFilter::ERROR)))
        .with_targets(FINDS_IT_STOPPED.map(|target| (target, LevelFilter::OFF)))
        .with_target(OWN_TARGETS, own(level))
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

/// The same for libraries that speak through the `log` crate, as lsm-tree and sled do.
pub(super) fn bridged(level: LogLevel) -> tracing_log::log::LevelFilter {
    match libraries(level) {
        Some(Level::INFO) => tracing_log::log::LevelFilter::Info,
        Some(Level::WARN) => tracing_log::log::LevelFilter::Warn,
        _ => tracing_log::log::LevelFilter::Error,
    }
}
