use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sessile_core::{Command, LogTime, NamespaceCommand, NamespaceId, NamespaceToken, TokenHash};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::group::Group;
use crate::writes::Writes;

/// How often it is told which tokens were used. Nobody waits for it.
const ROUND: Duration = Duration::from_secs(1);
/// How long the entry that tells of one may take. What is not told then is told in the next round.
const TELL_TIMEOUT: Duration = Duration::from_secs(5);

/// Which tokens requests have shown at this node, until the log tells of it: once an hour for each, beside requests, and never
/// in their way. Several members may tell of the same hour; the first one counts.
pub(crate) struct TokenUses {
    group: Arc<Group>,
    writes: Arc<Writes>,
    /// Of tokens that were there when they were used, so it is as bounded as the tokens are.
    noted: Mutex<BTreeMap<(NamespaceId, TokenHash), LogTime>>,
}

impl TokenUses {
    pub(crate) fn new(group: Arc<Group>, writes: Arc<Writes>) -> Self {
        Self { group, writes, noted: Mutex::default() }
    }

    /// A request was let in by that token. Never waits for anybody but another such note.
    pub(crate) fn note(&self, namespace: NamespaceId, token: &NamespaceToken) {
        // Nearly always it is known already.
        if let Some(used_at) = token.use_at(self.group.state.clock()) {
            self.noted.lock().insert((namespace, token.hash), used_at);
        }
    }

    /// Tells of what was noted, until it is cancelled.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut rounds = interval(ROUND);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stop.run_until_cancelled(rounds.tick()).await.is_some() {
            stop.run_until_cancelled(self.tell()).await;
        }
    }

    async fn tell(&self) {
        let mut noted = std::mem::take(&mut *self.noted.lock());
        while let Some(((namespace, hash), used_at)) = noted.pop_first() {
            if !self.is_news(namespace, &hash, used_at) {
                continue;
            }
            let command = Command::Namespace(NamespaceCommand::TokenUsed { namespace, hash, used_at });
            if self.writes.command(command, Instant::now() + TELL_TIMEOUT).await.is_none() {
                // There is no leader, or no quorum: the others wait as well.
                noted.insert((namespace, hash), used_at);
                break;
            }
        }
        let mut newer = self.noted.lock();
        for (of, used_at) in noted {
            newer.entry(of).or_insert(used_at);
        }
    }

    /// Whether the token is still there, and nobody has told of it meanwhile.
    fn is_news(&self, namespace: NamespaceId, hash: &TokenHash, used_at: LogTime) -> bool {
        let table = self.group.state.namespaces();
        let tokens = table.get(namespace).map(|namespace| namespace.tokens());
        let token = tokens.and_then(|tokens| tokens.values().find(|token| token.hash == *hash));
        token.is_some_and(|token| token.use_at(used_at).is_some())
    }
}
