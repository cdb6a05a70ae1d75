//! Decisions about the membership as stories, in `tests/golden/membership/`. Members are told apart by their numbers, which
//! are their ids; the leader is none of those that stop. What was decided is done at once:
//!
//! ```text
//! voters n1 n2 n3                       a cluster, of nodes 1, 2 and 3
//! n4 joins                              a node of that name, of the next number, becomes a learner
//! node 1 stops | node 1 starts          whether it answers
//! node 4 is 5000 behind                 so many entries of the leader's log are not in its own
//! 10 s pass
//! autopilot                             one round of it, at the leader
//! promote 4 | remove 3 | replace 3 4    as `sessile cluster` has it
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use openraft::ChangeMembers;
use sessile_store::{Member, NodeId};
use tonic::Status;

use super::decide::{Namesake, Placing, Silence, is_ready, newcomer, removal, replacement, superseded, surplus};
use super::quorum::assert_caught_up;

#[allow(clippy::duplicate_mod, reason = "neither floor knows the other, in its tests either")]
#[path = "../../../../tests/script.rs"]
mod script;

/// As `cluster.stabilise_ms` is by default.
const STABILISE: Duration = Duration::from_secs(10);
/// As `cluster.dead_after_ms` is by default.
const DEAD_AFTER: Duration = Duration::from_secs(600);

#[test]
fn who_may_vote_is_decided_as_the_stories_tell() {
    script::play_all("membership", || {
        let mut world = World::default();
        move |command| world.run(command)
    });
}

#[derive(Default)]
struct World {
    members: BTreeMap<NodeId, Known>,
    voters: BTreeSet<NodeId>,
    nodes: u64,
}

/// What the leader knows of a member.
struct Known {
    member: Member,
    /// How long it has answered without a gap.
    healthy_for: Option<Duration>,
    /// How long it has not, unless it does.
    silent_for: Duration,
    behind: u64,
}

impl World {
    fn run(&mut self, command: &str) -> String {
        let words: Vec<&str> = command.split(' ').collect();
        match words[..] {
            ["voters", ref names @ ..] => {
                self.voters = names.iter().map(|name| self.joins(name)).collect();
                self.shown()
            }
            [name, "joins"] => {
                self.joins(name);
                self.shown()
            }
            ["node", number, "stops"] => {
                self.quietly(number, |known| (known.healthy_for, known.silent_for) = (None, Duration::ZERO))
            }
            ["node", number, "starts"] => self.quietly(number, |known| known.healthy_for = Some(Duration::ZERO)),
            ["node", number, "is", entries, "behind"] => {
                self.quietly(number, |known| known.behind = entries.parse().unwrap())
            }
            [seconds, "s", "pass"] => {
                let passed = Duration::from_secs(seconds.parse().unwrap());
                for known in self.members.values_mut() {
                    *known.healthy_for.as_mut().unwrap_or(&mut known.silent_for) += passed;
                }
                String::new()
            }
            ["autopilot"] => self.autopilot(),
            ["promote", number] => self.promote(node(number)),
            ["remove", number] => {
                let change = removal(&self.voters, node(number), |voter| self.is_well(voter));
                self.told(change)
            }
            ["replace", old, new] => self.replace(node(old), node(new)),
            _ => panic!("no command: {command}"),
        }
    }

    /// As the leader admits it: what came to nothing under its name goes.
    fn joins(&mut self, name: &str) -> NodeId {
        self.nodes += 1;
        let node = NodeId::from(self.nodes);
        let members = self.members.iter().map(|(node, known)| (node, &known.member));
        let superseded = superseded(members, &self.voters, (node, name));
        self.members.retain(|member, _| !superseded.contains(member));
        let member = Member { name: name.to_owned(), ..Member::default() };
        self.members
            .insert(node, Known { member, healthy_for: Some(Duration::ZERO), silent_for: Duration::ZERO, behind: 0 });
        node
    }

    fn quietly(&mut self, number: &str, change: impl FnOnce(&mut Known)) -> String {
        change(self.members.get_mut(&node(number)).unwrap());
        String::new()
    }

    fn is_well(&self, node: NodeId) -> bool {
        self.members.get(&node).is_some_and(|known| known.healthy_for.is_some())
    }

    /// Of one that answers.
    fn behind(&self, node: NodeId) -> Option<u64> {
        self.members.get(&node).filter(|_| self.is_well(node)).map(|known| known.behind)
    }

    /// How long each voter has been silent.
    fn silences(&self) -> Vec<Silence> {
        let silent_for = |known: &Known| known.healthy_for.is_none().then_some(known.silent_for);
        self.voters.iter().map(|&node| Silence { node, silent_for: silent_for(&self.members[&node]) }).collect()
    }

    /// The first learner that is ready gets its place. Without one, a dead voter may lose its vote.
    fn autopilot(&mut self) -> String {
        let learners = self.members.iter().filter(|(node, _)| !self.voters.contains(node));
        let mut ready = learners.filter(|(_, known)| is_ready(known.healthy_for, STABILISE, Some(known.behind)));
        let silences = self.silences();
        let Some((&learner, Known { member, .. })) = ready.next() else {
            let Some(dead) = surplus(&silences, DEAD_AFTER) else { return "nothing to do".into() };
            let change = removal(&self.voters, dead, |voter| self.is_well(voter));
            return self.told(change);
        };
        let namesakes =
            self.members.iter().filter(|(node, other)| **node != learner && other.member.name == member.name);
        let placing = namesakes.into_iter().try_fold(newcomer(&silences, DEAD_AFTER), |placing, (&node, _)| {
            let namesake = Namesake { node, votes: self.voters.contains(&node), answers: self.is_well(node) };
            placing.beside(namesake, learner, &member.name)
        });
        match placing {
            Ok(Placing::Promote) => self.promote(learner),
            Ok(Placing::Wait(silent)) => short(&format!("{} waits for node {silent}", member.name)),
            Ok(Placing::Replace(old)) => self.replace(old, learner),
            Ok(Placing::Remove(other)) => self.told(Ok(ChangeMembers::RemoveNodes(BTreeSet::from([other])))),
            Err(concern) => short(&format!("alert: {concern}")),
        }
    }

    fn promote(&mut self, node: NodeId) -> String {
        let caught_up = assert_caught_up(&self.members[&node].member, self.behind(node));
        self.told(caught_up.map(|()| ChangeMembers::AddVoterIds(BTreeSet::from([node]))))
    }

    fn replace(&mut self, old: NodeId, new: NodeId) -> String {
        let new = (new, &self.members[&new].member);
        let behind = || self.behind(new.0);
        let change = replacement(&self.voters, old, new, behind, |voter| self.is_well(voter));
        self.told(change)
    }

    fn told(&mut self, change: Result<ChangeMembers<NodeId, Member>, Status>) -> String {
        match change {
            Ok(change) => {
                self.make(change);
                self.shown()
            }
            Err(refused) => short(&format!("refused: {}", refused.message())),
        }
    }

    /// As Raft makes it: who loses its vote leaves.
    fn make(&mut self, change: ChangeMembers<NodeId, Member>) {
        match change {
            ChangeMembers::AddVoterIds(nodes) => self.voters.extend(nodes),
            ChangeMembers::RemoveVoters(nodes) | ChangeMembers::RemoveNodes(nodes) => {
                self.voters.retain(|voter| !nodes.contains(voter));
                self.members.retain(|member, _| !nodes.contains(member));
            }
            ChangeMembers::Batch(changes) => changes.into_iter().for_each(|change| self.make(change)),
            other => panic!("nobody decides on {other:?}"),
        }
    }

    fn shown(&self) -> String {
        let named = |voting: bool| -> Vec<String> {
            let members = self.members.iter().filter(|(node, _)| self.voters.contains(node) == voting);
            members.map(|(node, known)| short(&format!("{}/{node}", known.member.name))).collect()
        };
        let (voters, learners) = (named(true).join(" "), named(false).join(" "));
        if learners.is_empty() { format!("voters {voters}") } else { format!("voters {voters}, learners {learners}") }
    }
}

fn node(number: &str) -> NodeId {
    NodeId::from(number.parse::<u64>().unwrap())
}

/// The ids of these stories have one digit.
fn short(text: &str) -> String {
    text.replace(&"0".repeat(31), "")
}
