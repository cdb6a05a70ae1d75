use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sessile_core::Command;
use sessile_core::injected::{decisions, rules_supported};
use sessile_store::{Member, NodeId, StoredMembership, rules_of_all};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};
use tracing::{info, warn};

use super::changes::MembershipChanges;
use super::decide::{self, Namesake, Placing, Silence, is_ready};
use crate::group::{DONE, voters};
use crate::writes::Writes;

/// How often the leader looks whether something is to be done.
const ROUND: Duration = Duration::from_millis(250);

/// What the leader does by itself: ends a change that another leader had begun, gives learners that stay healthy a vote,
/// puts a reimaged node in its old one's place, raises the rules when every member can follow.
pub(crate) struct Autopilot {
    changes: Arc<MembershipChanges>,
    writes: Arc<Writes>,
    /// `None` if learners and the dead are left to commands.
    waits: Option<Waits>,
}

/// How long it waits before it changes who votes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waits {
    /// A learner has been healthy for so long when it gets a vote.
    pub(crate) stabilise: Duration,
    /// A voter has been silent for so long when it loses its vote to a newcomer of another name.
    pub(crate) dead_after: Duration,
}

impl Autopilot {
    pub(crate) fn new(changes: Arc<MembershipChanges>, writes: Arc<Writes>, waits: Option<Waits>) -> Self {
        Self { changes, writes, waits }
    }

    /// Looks around until it is cancelled.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut rounds = interval(ROUND);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stop.run_until_cancelled(rounds.tick()).await.is_some() {
            if self.changes.group().leads() {
                stop.run_until_cancelled(look(&self)).await;
            } else {
                self.changes.health().concerns_are(BTreeSet::new());
            }
        }
    }
}

async fn look(autopilot: &Autopilot) {
    let changes = &*autopilot.changes;
    let (on, is_committed) = changes.group().membership_and_whether_committed();
    if !is_committed {
        return;
    }
    // Also with the autopilot off: a change that is half done is nobody's wish.
    if on.membership().get_joint_config().len() > 1 {
        // Whoever makes a change holds the lock until both its steps are done; who does not hold it left one behind.
        let left_behind = !changes.is_changing() && decisions().leader_ends_changes_of_others;
        if left_behind {
            // Else at the next look.
            let _ = changes.finish_joint_change(&on).await;
        }
        return;
    }
    raise_rules(changes, &autopilot.writes, &on).await;
    let Some(Waits { stabilise, dead_after }) = autopilot.waits else { return };
    let voters = voters(&on);
    let silences = silences(changes, &voters);
    let mut concerns = BTreeSet::new();
    let mut is_changed = false;
    for (&learner, member) in on.membership().nodes().filter(|(node, _)| !voters.contains(node)) {
        let healthy_for = changes.health().members.get(learner).and_then(|known| known.reachable_for());
        let behind = changes.group().unacknowledged(learner);
        if !is_ready(healthy_for, stabilise, behind) && decisions().learners_wait_for_a_vote {
            continue;
        }
        let newcomer = decide::newcomer(&silences, dead_after);
        match place(changes, (learner, member), newcomer, &on).await {
            Ok(true) => {
                // The membership is another one now.
                is_changed = true;
                break;
            }
            Ok(false) => {}
            Err(concern) => drop(concerns.insert(concern)),
        }
    }
    if let Some(dead) = decide::surplus(&silences, dead_after).filter(|_| !is_changed)
        && let Err(concern) = remove_dead(changes, dead, &on).await
    {
        concerns.insert(concern);
    }
    for news in changes.health().concerns_are(concerns) {
        warn!("{news}");
    }
}

/// How long each voter has not answered, by what this node knows.
fn silences(changes: &MembershipChanges, voters: &BTreeSet<NodeId>) -> Vec<Silence> {
    let health = changes.health();
    let silent_for = |node| match health.is_well(node) {
        true => None,
        // Of one that was not asked yet nothing is known.
        false => Some(health.members.get(node).and_then(|known| known.silent_for()).unwrap_or_default()),
    };
    voters.iter().map(|&node| Silence { node, silent_for: silent_for(node) }).collect()
}

/// Takes the vote of a dead voter away, for which there is no newcomer.
async fn remove_dead(changes: &MembershipChanges, dead: NodeId, on: &StoredMembership) -> Result<(), String> {
    let name = changes.group().name_of(dead);
    match changes.remove_dead(dead, on).await {
        Ok(_) => Ok(()),
        Err(status) if passes(&status) => Ok(()),
        Err(status) => Err(format!("{name} is dead and cannot be removed: {}", status.message())),
    }
}

/// Gives a healthy learner its place, which is `newcomer` unless it bears a member's name. Says whether the membership was
/// changed, or what stands in the way.
async fn place(
    changes: &MembershipChanges,
    (learner, member): (NodeId, &Member),
    newcomer: Placing,
    on: &StoredMembership,
) -> Result<bool, String> {
    let (voters, membership) = (voters(on), on.membership());
    let namesakes = membership.nodes().filter(|(node, other)| **node != learner && other.name == member.name);
    let mut placing = newcomer;
    for (&node, other) in namesakes {
        // One whose heartbeats or reports come lives, whatever one more call finds.
        let answers = changes.health().is_well(node) || changes.still_answers(node, other).await;
        let namesake = Namesake { node, votes: voters.contains(&node), answers };
        placing = placing.beside(namesake, learner, &member.name)?;
        if matches!(placing, Placing::Remove(_)) {
            break;
        }
    }
    let placed = match placing {
        Placing::Remove(other) => {
            return match changes.remove_learner(other, on).await {
                Ok(_) => Ok(true),
                Err(status) if passes(&status) => Ok(false),
                Err(status) => Err(format!("{}, of before, cannot be removed: {}", member.name, status.message())),
            };
        }
        Placing::Wait(silent) => {
            let silent = changes.group().name_of(silent);
            return Err(waits_for(&member.name, &silent));
        }
        Placing::Replace(old) => changes.replace_node(old, (learner, member), on).await,
        Placing::Promote => {
            let decided_on = on.log_id().map(|log_id| log_id.index);
            changes.promote(&learner.to_string(), decided_on, Some(changes.autopilot())).await
        }
    };
    match placed {
        Ok(placed) => Ok(placed.changed),
        Err(status) if passes(&status) => Ok(false),
        Err(status) => Err(format!("{} cannot be given a vote: {}", member.name, status.message())),
    }
}

/// Why a newcomer has no vote yet, and what an operator may do.
fn waits_for(newcomer: &str, silent: &str) -> String {
    format!(
        "{newcomer} waits for a vote: {silent} does not answer, and one more voter would raise the quorum without raising \
         what may be lost; {newcomer} gets a vote when {silent} answers again, or takes its place once it has been silent \
         for cluster.dead_after_ms, or at once by `sessile cluster replace {silent} {newcomer}`"
    )
}

/// Whether it is about a moment, as an election or another change, and not about the members: the next round sees.
fn passes(status: &Status) -> bool {
    matches!(status.code(), Code::Aborted | Code::Unavailable)
}

/// Raises the rules in force to the newest that every member can follow.
async fn raise_rules(changes: &MembershipChanges, writes: &Writes, on: &StoredMembership) {
    let group = changes.group();
    let supported = rules_of_all(on.membership().nodes().map(|(_, member)| member));
    let Some(supported) = supported.map(|supported| supported.min(rules_supported())) else { return };
    if supported > group.state.rules() {
        info!(version = supported.number(), "every member can follow newer rules: they are raised");
        writes.propose_here(Command::RaiseRules(supported).encode()).await;
        if group.state.rules() >= supported {
            // Afterwards, because the rules of before may have no history. The next look misses nothing if it fails.
            let what = format!("rules version {supported} is in force, which every member can follow");
            let raised = std::future::ready(Ok(()));
            let _ = changes.history().record(&changes.autopilot(), &what, raised, |()| DONE.to_owned()).await;
        }
    }
}
