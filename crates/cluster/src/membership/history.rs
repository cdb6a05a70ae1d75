use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use sessile_core::{Change, Command, HistoryCommand, Outcome, RulesVersion};
use tokio::time::{Instant, timeout};
use tonic::{Code, Status};
use tracing::{info, warn};

use crate::group::{AUTOPILOT, Group};
use crate::writes::Writes;

/// How long the beginning of a change may take to come into the history: an entry on a majority.
const BEGIN_TIMEOUT: Duration = Duration::from_secs(5);
/// How long its result may, through an election: a change of who leads ends with one.
const END_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a change waits for a new cluster's first rules with a history. The autopilot raises them in its first rounds.
const KEPT_SOON: Duration = Duration::from_secs(2);

/// Of how many that ask by themselves it is remembered what failed last: more than there may be members.
const FAILURES: usize = 64;

/// Who wants a change, and from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Author {
    pub(crate) who: String,
    pub(crate) from: String,
    /// Whether it asks again by itself when it was refused.
    asks_again: bool,
}

/// What members were told to change, and what came of it, in the replicated state and in this node's log.
///
/// The beginning is in the state before the change is made, and a change whose beginning cannot be written is not made. The
/// result follows. If this node goes away in between, the entry has none.
pub(crate) struct ChangeHistory {
    group: Arc<Group>,
    writes: Arc<Writes>,
    failures: Mutex<Failures>,
}

/// What failed last, of each who asks by himself: the autopilot looks four times a second, and a newcomer asks as often.
/// What fails again and again is one entry, or it would push all others out of the history.
#[derive(Default)]
struct Failures(BTreeMap<String, String>);

impl ChangeHistory {
    pub(crate) fn new(group: Arc<Group>, writes: Arc<Writes>) -> Self {
        Self { group, writes, failures: Mutex::default() }
    }

    /// Has a change made. `what` names it, and `result` says what came of it if it was made. Boxed, because whoever awaits it
    /// would hold the change twice.
    pub(crate) fn record<'a, T: Send + 'a>(
        &'a self,
        author: &'a Author,
        what: &'a str,
        change: impl Future<Output = Result<T, Status>> + Send + 'a,
        result: impl FnOnce(&T) -> String + Send + 'a,
    ) -> BoxFuture<'a, Result<T, Status>> {
        Box::pin(async move {
            let fails_again = self.failures.lock().has(author, what);
            let begun = if fails_again { None } else { self.begin(author, what).await? };
            let made = change.await;
            self.failures.lock().note(author, what, made.is_err());
            if fails_again && made.is_err() {
                return made;
            }
            // What has come about in the end is noted now, for want of a beginning.
            let entry = if fails_again { self.begin(author, what).await.unwrap_or_default() } else { begun };
            let result = match &made {
                Ok(made) => result(made),
                Err(status) if is_refusal(status.code()) => format!("refused: {}", status.message()),
                Err(status) => format!("failed: {}", status.message()),
            };
            info!(who = author.who, from = author.from, what, result, "a change of the cluster");
            if let Some(entry) = entry {
                self.end(entry, &result).await;
            }
            made
        })
    }

    /// Writes that a change begins. Gives the log index of its entry; `None` while the members have no history yet.
    async fn begin(&self, author: &Author, what: &str) -> Result<Option<u64>, Status> {
        if !self.is_kept().await {
            return Ok(None);
        }
        let begins = HistoryCommand::Begin(Change::new(&author.who, &author.from, what));
        let deadline = Instant::now() + BEGIN_TIMEOUT;
        match self.writes.command(Command::History(begins), deadline).await {
            Some(Outcome::Noted { entry }) => Ok(Some(entry)),
            // An entry without a result may be there.
            _ => Err(Status::unavailable(
                "the change could not be written into the history, and was not made; try again in a moment",
            )),
        }
    }

    /// Writes what came of it. The same result written twice is one.
    async fn end(&self, entry: u64, result: &str) {
        let deadline = Instant::now() + END_TIMEOUT;
        let ended = self.writes.command_until(Command::History(HistoryCommand::end(entry, result)), deadline).await;
        if ended.is_none() {
            warn!(entry, result, "what came of a change could not be written into the history");
        }
    }

    /// Whether the rules in force have a history. Where every member can follow such rules, they are soon.
    async fn is_kept(&self) -> bool {
        let is_kept = || self.group.state.rules() >= RulesVersion::HISTORY;
        let membership = self.group.membership();
        if membership.membership().nodes().any(|(_, member)| member.rules_supported < RulesVersion::HISTORY) {
            return is_kept();
        }
        let mut applied = self.group.state.reached();
        let _ = timeout(KEPT_SOON, applied.wait_for(|_| is_kept())).await;
        is_kept()
    }
}

impl Failures {
    fn has(&self, author: &Author, what: &str) -> bool {
        self.0.get(&author.who).is_some_and(|failed| failed == what)
    }

    fn note(&mut self, author: &Author, what: &str, failed: bool) {
        self.0.remove(&author.who);
        if failed && author.asks_again {
            while self.0.len() >= FAILURES {
                self.0.pop_first();
            }
            self.0.insert(author.who.clone(), what.to_owned());
        }
    }
}

impl Author {
    /// Whoever asked for a change, by what they have proved to be.
    pub(crate) fn operator(who: String, from: String) -> Self {
        Self { who, from, asks_again: false }
    }

    /// The leader itself.
    pub(crate) fn autopilot(at: &str) -> Self {
        Self { who: AUTOPILOT.to_owned(), from: at.to_owned(), asks_again: true }
    }

    /// A node that asks for its own place, and has proved that it may by the join token or as a member.
    pub(crate) fn node(name: &str, at: &str) -> Self {
        Self { who: format!("node {name}"), from: at.to_owned(), asks_again: true }
    }
}

/// Whether that was a decision, and not a moment or a way that broke.
fn is_refusal(code: Code) -> bool {
    matches!(
        code,
        Code::FailedPrecondition
            | Code::Aborted
            | Code::AlreadyExists
            | Code::NotFound
            | Code::InvalidArgument
            | Code::PermissionDenied
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_again_and_again_by_itself_is_told_once_and_what_an_operator_asks_for_each_time() {
        let mut failures = Failures::default();
        let (autopilot, operator) = (Author::autopilot("n1"), Author::operator("root".to_owned(), String::new()));
        failures.note(&autopilot, "promote n3", true);
        failures.note(&operator, "promote n3", true);
        assert!(failures.has(&autopilot, "promote n3") && !failures.has(&autopilot, "promote n4"));
        assert!(!failures.has(&operator, "promote n3"));
        failures.note(&autopilot, "promote n3", false);
        assert!(!failures.has(&autopilot, "promote n3"), "it has come about");
        for number in 0..2 * FAILURES {
            failures.note(&Author::node(&format!("n{number}"), "a:1"), "join", true);
        }
        assert_eq!(failures.0.len(), FAILURES);
    }
}
