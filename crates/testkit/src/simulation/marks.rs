//! Rare states that many seeds together must come to. A simulation that never meets one does not try what follows from it,
//! however many seeds it runs. They are seen from outside: in what the nodes log, in what they show of themselves, in what
//! clients are told.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::Context;

use super::lock::lock;

/// A state that is rare and matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mark {
    /// A leader found a joint change of the membership that another one had begun, and ended it.
    JointChangeInherited,
    /// A leader was killed while its change was a joint one.
    KilledInChange,
    /// A machine that came back empty took the place of its dead voter.
    DeadVoterReplaced,
    /// A machine of another name took the place of a dead voter.
    ReplacedUnderNewName,
    /// A member received the whole state.
    StateReceived,
    /// A state on its way broke off and went on where it was.
    TransferWentOn,
    /// A member that had lost its state, and had its log, took another one's.
    StateFetched,
    /// A command was refused because a queue was full.
    QueueFull,
    /// A round was abandoned: whoever waited for it was told that nobody knows.
    OutcomeUnknown,
    /// A command reached no log by its deadline.
    NotProposed,
    /// The copy of a running node's disk was refused.
    CopyRefused,
    /// A node was told that it was removed.
    ToldThatRemoved,
    /// A node was replaced because its disk showed an older image.
    OlderImage,
    /// Entries of one leader were overwritten by those of another.
    LogOverwritten,
    /// Two nodes took themselves for the leader at one moment.
    TwoLeaders,
    /// A node without a vote knew a newer term than the leader.
    TermOfNoVoter,
    /// The membership was told that a member is at another address.
    Moved,
    /// A leader stood still and went on when another one led.
    StoodStillAsLeader,
    /// Time waited for clocks that agree.
    TimeWaited,
    /// A node ended because its disk failed.
    DiskFailed,
    /// What was left served without those that stayed away.
    ServedWithoutSome,
    /// The last member with a program of before had a newer one, and newer rules were in force.
    Upgraded,
}

impl Mark {
    /// All of them.
    pub const ALL: [Self; 22] = [
        Self::JointChangeInherited,
        Self::KilledInChange,
        Self::DeadVoterReplaced,
        Self::ReplacedUnderNewName,
        Self::StateReceived,
        Self::TransferWentOn,
        Self::StateFetched,
        Self::QueueFull,
        Self::OutcomeUnknown,
        Self::NotProposed,
        Self::CopyRefused,
        Self::ToldThatRemoved,
        Self::OlderImage,
        Self::LogOverwritten,
        Self::TwoLeaders,
        Self::TermOfNoVoter,
        Self::Moved,
        Self::StoodStillAsLeader,
        Self::TimeWaited,
        Self::DiskFailed,
        Self::ServedWithoutSome,
        Self::Upgraded,
    ];

    /// What a node says when it is there.
    const SAID: [(&'static str, Self); 7] = [
        ("the change of the voters that another leader had begun is ended", Self::JointChangeInherited),
        ("has taken the place of", Self::DeadVoterReplaced),
        ("the state of another member was received", Self::StateReceived),
        ("the transfer of the state goes on where it broke", Self::TransferWentOn),
        ("the state of another member is in use", Self::StateFetched),
        ("is now known as", Self::Moved),
        ("the replicated clock waits", Self::TimeWaited),
    ];
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::JointChangeInherited => "a joint change that a new leader inherited",
            Self::KilledInChange => "a leader killed in a joint change",
            Self::DeadVoterReplaced => "a dead voter replaced by its own machine",
            Self::ReplacedUnderNewName => "a dead voter replaced under a new name",
            Self::StateReceived => "a state received",
            Self::TransferWentOn => "a transfer that went on where it broke",
            Self::StateFetched => "a lost state fetched",
            Self::QueueFull => "a queue that was full",
            Self::OutcomeUnknown => "a round abandoned",
            Self::NotProposed => "a command that reached no log by its deadline",
            Self::CopyRefused => "a copy refused",
            Self::ToldThatRemoved => "a node told that it was removed",
            Self::OlderImage => "an older image replaced",
            Self::LogOverwritten => "entries overwritten by another leader's",
            Self::TwoLeaders => "two that took themselves for the leader",
            Self::TermOfNoVoter => "a newer term of a node without a vote",
            Self::Moved => "a member that has moved",
            Self::StoodStillAsLeader => "a leader that stood still while another came",
            Self::TimeWaited => "time that waited for clocks",
            Self::DiskFailed => "a node that ended with its disk",
            Self::ServedWithoutSome => "served without those that stayed away",
            Self::Upgraded => "newer rules after the last upgrade",
        })
    }
}

/// How often each was reached in one seed.
#[derive(Clone, Default)]
pub(super) struct Marks(Arc<Mutex<BTreeMap<Mark, usize>>>);

impl Marks {
    pub(super) fn reach(&self, mark: Mark) {
        *lock(&self.0).entry(mark).or_default() += 1;
    }

    pub(super) fn reached(&self) -> BTreeMap<Mark, usize> {
        lock(&self.0).clone()
    }

    /// Reads in what the nodes of this thread log.
    pub(super) fn reader<S: Subscriber>(&self) -> impl Layer<S> + use<S> {
        Reader(self.clone())
    }
}

struct Reader(Marks);

/// Whether an event is one of the nodes that could say it.
fn is_read(metadata: &Metadata<'_>) -> bool {
    *metadata.level() <= Level::INFO && metadata.is_event() && metadata.target().starts_with("sessile")
}

impl<S: Subscriber> Layer<S> for Reader {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if is_read(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        is_read(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::INFO)
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut words = Words::default();
        event.record(&mut words);
        let said = Mark::SAID.into_iter().filter(|(said, _)| words.say(said));
        said.for_each(|(_, mark)| self.0.reach(mark));
    }
}

/// What an event says: its message, and of a change of the cluster that was made by itself what was changed.
#[derive(Default)]
struct Words {
    message: String,
    what: String,
    is_done: bool,
}

impl Words {
    fn say(&self, words: &str) -> bool {
        self.message.contains(words) || self.is_done && self.what.contains(words)
    }
}

impl Visit for Words {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "what" => value.clone_into(&mut self.what),
            "result" => self.is_done = value == "done",
            _ => {}
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        }
    }
}
