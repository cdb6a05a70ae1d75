//! What a change of the membership would be, if it may be made, and which learner gets a vote. Pure: who is well, and how far
//! behind, is given.

use std::collections::BTreeSet;
use std::time::Duration;

use openraft::ChangeMembers;
use sessile_store::{Member, NodeId};
use tonic::Status;

use super::quorum::{CAUGHT_UP_ENTRIES, assert_caught_up, assert_quorum};

type Change = ChangeMembers<NodeId, Member>;

/// How a member leaves for good, if it may.
pub(super) fn removal(
    voters: &BTreeSet<NodeId>,
    node: NodeId,
    is_well: impl Fn(NodeId) -> bool,
) -> Result<Change, Status> {
    let mut after = voters.clone();
    if !after.remove(&node) {
        return Ok(ChangeMembers::RemoveNodes(BTreeSet::from([node])));
    }
    assert_quorum(&after, is_well)?;
    Ok(ChangeMembers::RemoveVoters(BTreeSet::from([node])))
}

/// How one takes the place of another, if it may. `behind` as for [`assert_caught_up`].
pub(super) fn replacement(
    voters: &BTreeSet<NodeId>,
    old: NodeId,
    (new, new_member): (NodeId, &Member),
    behind: impl FnOnce() -> Option<u64>,
    is_well: impl Fn(NodeId) -> bool,
) -> Result<Change, Status> {
    if old == new {
        return Err(Status::invalid_argument("a member cannot take its own place"));
    }
    if !voters.contains(&new) {
        assert_caught_up(new_member, behind())?;
    }
    let mut after = voters.clone();
    let old_voted = after.remove(&old);
    if old_voted {
        after.insert(new);
    }
    assert_quorum(&after, is_well)?;
    Ok(if old_voted {
        let (add, remove) = (BTreeSet::from([new]), BTreeSet::from([old]));
        ChangeMembers::Batch(vec![ChangeMembers::AddVoterIds(add), ChangeMembers::RemoveVoters(remove)])
    } else {
        ChangeMembers::RemoveNodes(BTreeSet::from([old]))
    })
}

/// The learners whose place a newcomer of their name takes: its own earlier lives, which never caught up. The place of a
/// voter it takes once it has caught up itself ([`Placing::Replace`]).
pub(super) fn superseded<'members>(
    members: impl Iterator<Item = (&'members NodeId, &'members Member)>,
    voters: &BTreeSet<NodeId>,
    (newcomer, name): (NodeId, &str),
) -> BTreeSet<NodeId> {
    let of_its_name = members.filter(|(node, member)| **node != newcomer && member.name == name);
    of_its_name.map(|(node, _)| *node).filter(|node| !voters.contains(node)).collect()
}

/// Who votes once that change is made.
pub(super) fn voters_after(voters: &BTreeSet<NodeId>, change: &Change) -> BTreeSet<NodeId> {
    match change {
        ChangeMembers::AddVoterIds(nodes) => voters | nodes,
        ChangeMembers::RemoveVoters(nodes) => voters - nodes,
        ChangeMembers::Batch(changes) => {
            changes.iter().fold(voters.clone(), |voters, change| voters_after(&voters, change))
        }
        _ => voters.clone(),
    }
}

/// Whether a learner has been healthy for long enough and is near enough to be given a vote.
pub(super) fn is_ready(healthy_for: Option<Duration>, stabilise: Duration, behind: Option<u64>) -> bool {
    healthy_for.is_some_and(|healthy| healthy >= stabilise) && behind.is_some_and(|behind| behind <= CAUGHT_UP_ENTRIES)
}

/// The fewest voters of which one may be lost: the autopilot leaves no fewer.
const FEWEST_VOTERS: usize = 3;

/// Another member of a learner's name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Namesake {
    pub(super) node: NodeId,
    pub(super) votes: bool,
    pub(super) answers: bool,
}

/// What is to be done with a learner that is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placing {
    /// It gets a vote of its own.
    Promote,
    /// It takes the place of that voter, whose machine was reimaged.
    Replace(NodeId),
    /// That learner of its name, which came to nothing, is removed first.
    Remove(NodeId),
    /// It waits for that voter, which does not answer, to come back or to be dead.
    Wait(NodeId),
}

/// How long a voter has not answered; `None` for one that answers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Silence {
    pub(super) node: NodeId,
    pub(super) silent_for: Option<Duration>,
}

/// The place of a learner that is ready and bears a new name. It takes that of the voter that has been dead for longest. While
/// a voter is silent and not yet dead it gets no vote that raises the quorum: an even number of voters may lose no more of
/// them than the odd number below.
pub(super) fn newcomer(voters: &[Silence], dead_after: Duration) -> Placing {
    match longest_silent(voters) {
        Some((dead, silent_for)) if silent_for >= dead_after => Placing::Replace(dead),
        Some((silent, _)) if voters.len() % 2 == 1 => Placing::Wait(silent),
        _ => Placing::Promote,
    }
}

/// The dead voter whose vote is best taken away where no newcomer takes it: with it goes the need for one more vote in each
/// quorum, and three voters stay.
pub(super) fn surplus(voters: &[Silence], dead_after: Duration) -> Option<NodeId> {
    let raises_what_may_be_lost = voters.len().is_multiple_of(2) && voters.len() > FEWEST_VOTERS;
    let dead = longest_silent(voters).filter(|(_, silent_for)| *silent_for >= dead_after && raises_what_may_be_lost);
    dead.map(|(node, _)| node)
}

fn longest_silent(voters: &[Silence]) -> Option<(NodeId, Duration)> {
    let silent = voters.iter().filter_map(|voter| Some((voter.node, voter.silent_for?)));
    silent.max_by_key(|(node, silent_for)| (*silent_for, std::cmp::Reverse(*node)))
}

impl Placing {
    /// The same once one more member of its name was looked at.
    ///
    /// # Errors
    /// What an operator must see to: two that live bear one name.
    pub(super) fn beside(self, namesake: Namesake, learner: NodeId, name: &str) -> Result<Self, String> {
        let Namesake { node, votes, answers } = namesake;
        match self {
            Self::Remove(_) => Ok(self),
            _ if answers => Err(format!(
                "two members that answer are called {name}: node {node} and node {learner}; give one of them another \
                 cluster.name"
            )),
            _ if votes => Ok(Self::Replace(node)),
            _ => Ok(Self::Remove(node)),
        }
    }
}
