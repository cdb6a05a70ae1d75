//! Changes of the membership, at the leader: one at a time, each guarded by the membership it was decided on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use openraft::ChangeMembers;
use openraft::async_runtime::watch::WatchReceiver as _;
use sessile_core::RulesVersion;
use sessile_store::{KeyHash, Member, NodeId, StoredMembership};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use tonic::Status;

use super::change::{CHANGE_TIMEOUT, Change, still_answers};
use super::changed::{Asked, Changed, changed, index_of, unchanged};
use super::decide;
use super::find::{find, is_one_of};
use super::history::{Author, ChangeHistory};
use super::leadership::hand_over;
use super::named_keys::named_keys;
use super::own_key::OwnKey;
use super::quorum::assert_caught_up;
use crate::error::StartError;
use crate::group::{Group, voters, was_dead, was_removed};
use crate::health::ClusterHealth;
use crate::reads::Reads;
use crate::transport::{Found, ThisNode, are_copies, cluster_to_wire, why_silent};
use crate::wire::refusal::Reason;
use crate::wire::{JoinRequest, JoinResponse};

/// How long a leader may take to prove that it leads, before a change: it applies what is committed meanwhile.
const PROOF_TIMEOUT: Duration = Duration::from_secs(5);
/// How long leadership may take to move.
pub(crate) const HAND_OVER_TIMEOUT: Duration = Duration::from_secs(5);
/// The most members, voters and learners together. Every one talks with every other.
pub const MAX_MEMBERS: usize = 32;

/// Changes the membership of one group, where this node leads it.
pub(crate) struct MembershipChanges {
    group: Arc<Group>,
    this: Arc<ThisNode>,
    health: Arc<ClusterHealth>,
    reads: Arc<Reads>,
    history: Arc<ChangeHistory>,
    /// Whether a node that asks for it is admitted without a command.
    admits_without_command: bool,
    own_key: OwnKey,
    /// Held while this node, as the leader, changes the membership: one change at a time.
    changing: Mutex<()>,
}

impl MembershipChanges {
    pub(crate) fn new(
        group: Arc<Group>,
        this: Arc<ThisNode>,
        health: Arc<ClusterHealth>,
        reads: Arc<Reads>,
        history: Arc<ChangeHistory>,
        own_key: OwnKey,
        admits_without_command: bool,
    ) -> Self {
        Self { group, this, health, reads, history, admits_without_command, own_key, changing: Mutex::default() }
    }

    /// The key of this node.
    pub(super) fn own_key(&self) -> &OwnKey {
        &self.own_key
    }

    /// A change that was made by now, as a sentence.
    pub(super) fn changed_now(&self, what: String) -> Changed {
        changed(index_of(&self.group.membership()), what)
    }

    /// What the membership says of this member.
    pub(super) fn known(&self) -> Option<Member> {
        self.group.membership().membership().get_node(&self.group.node).cloned()
    }

    /// Waits until it names these keys.
    pub(super) async fn until_known(&self, keys: &[KeyHash]) -> Result<(), Status> {
        let mut server = self.group.server.clone();
        let known = async {
            loop {
                drop(server.borrow_and_update());
                if self.known().is_some_and(|known| known.keys == keys) {
                    return Ok(());
                }
                server.changed().await.map_err(|_| Status::unavailable("this node is stopping"))?;
            }
        };
        let late = |_| Status::deadline_exceeded("this node does not hear of its own key in time; ask again");
        timeout(CHANGE_TIMEOUT, known).await.map_err(late)?
    }

    pub(super) fn group(&self) -> &Group {
        &self.group
    }

    pub(super) fn health(&self) -> &ClusterHealth {
        &self.health
    }

    pub(super) fn this(&self) -> &ThisNode {
        &self.this
    }

    /// What is changed by anybody, with its result.
    pub(crate) fn history(&self) -> &ChangeHistory {
        &self.history
    }

    pub(super) fn autopilot(&self) -> Author {
        Author::autopilot(self.this.name())
    }

    /// The one member that a person means.
    pub(crate) fn find_member(&self, who: &str) -> Result<(NodeId, Member), Status> {
        find(self.group.membership().membership().nodes(), who)
    }

    /// Begins a change of the membership, of that of entry `decided_on` if the caller names one.
    async fn begin_change(&self, decided_on: Option<u64>) -> Result<Change<'_>, Status> {
        let change = self.begin_on(decided_on).await?;
        if change.on.membership().get_joint_config().len() > 1 {
            return Err(Status::aborted("another change of the membership is under way; try again in a moment"));
        }
        Ok(change)
    }

    /// As `begin_change`, also when the membership is one that a change has left half done.
    async fn begin_on(&self, decided_on: Option<u64>) -> Result<Change<'_>, Status> {
        let one_at_a_time = self.changing.lock().await;
        // Three things need this proof. Raft takes no change from a leader that no quorum has answered within a lease, as
        // one that was just elected. Who has lost its quorum without knowing would decide on what was. And who was removed
        // is known by what is applied, so that must be everything that is committed.
        if self.reads.prove(Instant::now() + PROOF_TIMEOUT).await.is_err() || !self.group.leads() {
            return Err(Status::unavailable("no quorum confirms that this node leads; try again"));
        }
        let on = StoredMembership::clone(&self.group.membership());
        let index = index_of(&on);
        if let Some(decided_on) = decided_on
            && decided_on != index
        {
            return Err(Status::aborted(format!(
                "the membership has changed: it was decided on that of entry {decided_on}, and the one in force is of \
                 entry {index}; look again with `sessile status`"
            )));
        }
        Ok(Change { group: &self.group, this: &self.this, history: &self.history, on, _one_at_a_time: one_at_a_time })
    }

    /// Admits a node that asks for it, as a learner; or notes that a member's address, name or rules are other than the
    /// membership says.
    /// `key` is that of the connection: what the node is recognised by from now on.
    pub(crate) async fn join(
        &self,
        node: NodeId,
        request: &JoinRequest,
        key: Option<KeyHash>,
    ) -> Result<JoinResponse, Status> {
        if !self.group.leads() {
            let leader = self.group.leader().and_then(|leader| self.this.directory().address(leader));
            return Ok(JoinResponse { cluster: Bytes::new(), leader_address: leader.unwrap_or_default() });
        }
        self.assert_not_removed(node)?;
        let known = self.group.membership().membership().get_node(&node).cloned();
        let wanted = Member {
            name: request.name.clone(),
            address: request.address.clone(),
            rules_supported: RulesVersion::new(request.rules_supported),
            keys: self.keys_of(node, known.as_ref(), key, &request.key)?,
        };
        if let Some(known) = known.as_ref().filter(|known| known.address != wanted.address) {
            self.assert_has_moved(node, known, request.start_id).await?;
        }
        if known.is_none() && !self.admits_without_command {
            let text = format!(
                "cluster.autopilot is off: admit the node with `sessile cluster add-learner {}`",
                request.address
            );
            return Err(self.this.door().refuse(Reason::NotReady, &text));
        }
        if known.is_none() {
            self.assert_can_follow(&wanted)?;
            self.assert_is_reached(node, &wanted).await?;
        }
        let author = Author::node(&wanted.name, &wanted.address);
        self.admit(node, wanted, None, Some(author)).await?;
        Ok(JoinResponse { cluster: cluster_to_wire(self.group.cluster), leader_address: String::new() })
    }

    /// [`named_keys`] for a node, by what is known here.
    fn keys_of(
        &self,
        node: NodeId,
        known: Option<&Member>,
        shown: Option<KeyHash>,
        wanted: &[Bytes],
    ) -> Result<Vec<KeyHash>, Status> {
        let wanted: Vec<KeyHash> = wanted.iter().filter_map(|key| KeyHash::from_bytes(key)).collect();
        let named = named_keys(known.map_or(&[], |known| &known.keys), shown, &wanted, self.may_name_keys());
        named.ok_or_else(|| {
            let text = format!("node {node} is a member that is recognised by another key");
            self.this.door().refuse(Reason::WrongKey, &text)
        })
    }

    /// Whether keys may stand in the membership: every member is of a program that keeps them there.
    pub(super) fn may_name_keys(&self) -> bool {
        let membership = self.group.membership();
        let mut members = membership.membership().nodes();
        self.group.state.rules() >= RulesVersion::KEYS || members.all(|(_, member)| !member.keys.is_empty())
    }

    fn assert_not_removed(&self, node: NodeId) -> Result<(), Status> {
        if !self.group.state.is_removed(node) {
            return Ok(());
        }
        if self.group.replaced().contains(&node) {
            let text = format!("node {node} was replaced in cluster {} while it was away", self.group.cluster);
            return Err(self.this.door().refuse(Reason::Replaced, &text));
        }
        let text = format!(
            "node {node} was removed from cluster {}, which never accepts its id again; to come back as a new node, \
             start it with --discard-data-and-rejoin",
            self.group.cluster
        );
        Err(self.this.door().refuse(Reason::Removed, &text))
    }

    /// Who does not know the rules in force would be sent what it cannot apply, for ever, and hold up the next ones.
    fn assert_can_follow(&self, wanted: &Member) -> Result<(), Status> {
        let (rules, knows) = (self.group.state.rules(), wanted.rules_supported);
        if knows >= rules {
            return Ok(());
        }
        let text = format!(
            "rules version {rules} is in force, and the program of {} knows no newer one than {knows}: start a newer version \
             of it",
            wanted.name
        );
        Err(self.this.door().refuse(Reason::NotReady, &text))
    }

    /// Who is to be written into the membership must be found where it says that it is: it is sent the log there.
    async fn assert_is_reached(&self, node: NodeId, wanted: &Member) -> Result<(), Status> {
        let Member { name, address, .. } = wanted;
        let found = match self.this.probe(address).await {
            Ok(found) if found.node == node => return Ok(()),
            Ok(found) => format!("another one, {}, answers", found.node),
            Err(status) => format!("the leader finds nobody: it {}", why_silent(&status)),
        };
        let text =
            format!("node {name} says that it is reached at {address}, where {found}; see to its cluster.advertise");
        Err(self.this.door().refuse(Reason::NotReady, &text))
    }

    /// Makes a learner of the node that was found at an address.
    pub(crate) async fn admit_found(
        &self,
        found: &Found,
        address: &str,
        decided_on: Option<u64>,
    ) -> Result<Changed, Status> {
        let known = self.group.membership().membership().get_node(&found.node).cloned();
        let keys = self.keys_of(found.node, known.as_ref(), found.key, &[])?;
        let wanted = Member { keys, ..found.as_member(address) };
        if known.is_none() {
            self.assert_can_follow(&wanted)?;
        }
        self.admit(found.node, wanted, decided_on, None).await
    }

    /// Makes a node a learner, in the place of those of its name that came to nothing; or sets what the membership says of
    /// a member. With an author it comes into the history, where an operator's command is already.
    pub(crate) async fn admit(
        &self,
        node: NodeId,
        wanted: Member,
        decided_on: Option<u64>,
        author: Option<Author>,
    ) -> Result<Changed, Status> {
        let change = self.begin_change(decided_on).await?;
        let on = &change.on;
        self.assert_not_removed(node)?;
        let name = wanted.name.clone();
        let known = on.membership().get_node(&node);
        if known == Some(&wanted) {
            return Ok(unchanged(on, format!("{name} is a member already")));
        }
        let superseded = match known {
            Some(_) => BTreeSet::new(),
            None => decide::superseded(on.membership().nodes(), &voters(on), (node, &name)),
        };
        if known.is_none() && on.membership().nodes().count() - superseded.len() >= MAX_MEMBERS {
            return Err(Status::failed_precondition(format!("there are {MAX_MEMBERS} members, and no more are taken")));
        }
        self.assert_name_is_free(node, &wanted, on).await?;
        let (members, what) = match known {
            Some(_) => (ChangeMembers::SetNodes(BTreeMap::from([(node, wanted.clone())])), "is now known as"),
            None => {
                let added = ChangeMembers::AddNodes(BTreeMap::from([(node, wanted.clone())]));
                (ChangeMembers::Batch(vec![ChangeMembers::RemoveNodes(superseded), added]), "is a learner now:")
            }
        };
        let what = format!("{name} {what} node {node} at {}", wanted.address);
        let membership = change.make(members, author, &what).await?;
        Ok(changed(membership, what))
    }

    /// A member that is elsewhere now must not be where it was as well: then one of the two runs on a copy of the other's disk.
    async fn assert_has_moved(&self, node: NodeId, known: &Member, start_id: u64) -> Result<(), Status> {
        match self.this.probe(&known.address).await {
            Ok(found) if are_copies((node, start_id), &found) => {
                // As it would have been told at its start, had it known of that address.
                let copied = StartError::Copied { node, address: known.address.clone() };
                Err(Status::already_exists(copied.to_string()))
            }
            _ => Ok(()),
        }
    }

    /// Two that live must not bear one name: by the name a reimaged node takes its old one's place.
    async fn assert_name_is_free(&self, node: NodeId, wanted: &Member, on: &StoredMembership) -> Result<(), Status> {
        for (other, member) in on.membership().nodes().filter(|(id, member)| **id != node && member.name == wanted.name)
        {
            // A learner is removed by this. One that was heard of lately lives, whatever one more call finds.
            let lives = !voters(on).contains(other) && self.health.is_well(*other);
            if lives || self.still_answers(*other, member).await {
                let text = format!(
                    "the name {} is borne by node {other}, which answers at {}: give the new one another cluster.name",
                    wanted.name, member.address
                );
                return Err(self.this.door().refuse(Reason::NameTaken, &text));
            }
        }
        Ok(())
    }

    /// Whether a member's address answers with that member's id.
    pub(crate) async fn still_answers(&self, node: NodeId, member: &Member) -> bool {
        still_answers(&self.group, &self.this, node, member).await
    }

    /// Gives a learner a vote. With an author it comes into the history.
    pub(crate) async fn promote(
        &self,
        who: &str,
        decided_on: Option<u64>,
        author: Option<Author>,
    ) -> Result<Changed, Status> {
        let change = self.begin_change(decided_on).await?;
        let (node, member) = self.find_member(who)?;
        if voters(&change.on).contains(&node) {
            return Ok(unchanged(&change.on, format!("{} is a voter already", member.name)));
        }
        assert_caught_up(&member, self.behind(node))?;
        let (members, what) =
            (ChangeMembers::AddVoterIds(BTreeSet::from([node])), format!("{} is a voter now", member.name));
        let membership = change.make(members, author, &what).await?;
        Ok(changed(membership, what))
    }

    /// Puts a learner in the place of a member.
    pub(crate) async fn replace(&self, old: &str, new: &str, decided_on: Option<u64>) -> Result<Asked, Status> {
        let change = self.begin_change(decided_on).await?;
        let (new, new_member) = self.find_member(new)?;
        let (old, _) = match self.find_member(old) {
            Ok(found) => found,
            // Asked twice: it is gone already, and the new one is in its place.
            Err(_) if self.was_removed(old) && voters(&change.on).contains(&new) => {
                let what = format!("{} is in its place already", new_member.name);
                return Ok(Asked::Answered(unchanged(&change.on, what)));
            }
            Err(status) => return Err(status),
        };
        let new = (new, &new_member);
        let members = self.replacement(&change.on, old, new)?;
        if old == self.group.node {
            return hand_over(&self.group, &self.health, None, HAND_OVER_TIMEOUT).await.map(Asked::HandedOver);
        }
        change.make_replacement(members, old, new, None).await.map(Asked::Answered)
    }

    /// The same, of two neither of which is this node.
    pub(crate) async fn replace_node(
        &self,
        old: NodeId,
        new: (NodeId, &Member),
        on: &StoredMembership,
    ) -> Result<Changed, Status> {
        let change = self.begin_change(Some(index_of(on))).await?;
        let members = self.replacement(&change.on, old, new)?;
        change.make_replacement(members, old, new, Some(self.autopilot())).await
    }

    /// [`decide::replacement`], by what is known here.
    fn replacement(
        &self,
        on: &StoredMembership,
        old: NodeId,
        new: (NodeId, &Member),
    ) -> Result<ChangeMembers<NodeId, Member>, Status> {
        let is_well = |node| self.health.is_well(node);
        decide::replacement(&voters(on), old, new, || self.behind(new.0), is_well)
    }

    /// How many entries of this leader's log a member that answers has not taken into its own.
    fn behind(&self, node: NodeId) -> Option<u64> {
        self.group.unacknowledged(node).filter(|_| self.health.is_well(node))
    }

    /// Removes a member for good.
    pub(crate) async fn remove(&self, who: &str, decided_on: Option<u64>) -> Result<Asked, Status> {
        let change = self.begin_change(decided_on).await?;
        let (node, member) = match self.find_member(who) {
            Ok(found) => found,
            Err(_) if self.was_removed(who) => {
                return Ok(Asked::Answered(unchanged(&change.on, format!("node {who} was removed already"))));
            }
            Err(status) => return Err(status),
        };
        let members = decide::removal(&voters(&change.on), node, |voter| self.health.is_well(voter))?;
        if node == self.group.node {
            return hand_over(&self.group, &self.health, None, HAND_OVER_TIMEOUT).await.map(Asked::HandedOver);
        }
        let what = was_removed(&member.name, node);
        let membership = change.make(members, None, &what).await?;
        Ok(Asked::Answered(changed(membership, what)))
    }

    /// Changes where a member is reached.
    pub(crate) async fn set_address(&self, who: &str, address: &str, decided_on: Option<u64>) -> Result<Asked, Status> {
        let change = self.begin_change(decided_on).await?;
        let (node, member) = self.find_member(who)?;
        if member.address == address {
            let what = format!("{} is at {address} already", member.name);
            return Ok(Asked::Answered(unchanged(&change.on, what)));
        }
        // With this change the others look for this node at the new address, where it does not listen before it is started
        // anew: as the leader it would be found by nobody. So another voter leads first, if one can.
        if node == self.group.node
            && let Ok(successor) = hand_over(&self.group, &self.health, None, HAND_OVER_TIMEOUT).await
        {
            return Ok(Asked::HandedOver(successor));
        }
        let moved = Member { address: address.to_owned(), ..member.clone() };
        let what = format!("{} is reached at {address} now", member.name);
        let membership = change.make(ChangeMembers::SetNodes(BTreeMap::from([(node, moved)])), None, &what).await?;
        Ok(Asked::Answered(changed(membership, what)))
    }

    /// Whether this node is changing the membership now.
    pub(super) fn is_changing(&self) -> bool {
        self.changing.try_lock().is_err()
    }

    /// Ends a change that another leader had begun.
    pub(super) async fn finish_joint_change(&self, on: &StoredMembership) -> Result<u64, Status> {
        let what = "the change of the voters that another leader had begun is ended";
        let change = self.begin_on(Some(index_of(on))).await?;
        change.make(ChangeMembers::AddVoterIds(BTreeSet::new()), Some(self.autopilot()), what).await
    }

    /// Removes a learner that came to nothing.
    pub(crate) async fn remove_learner(&self, node: NodeId, on: &StoredMembership) -> Result<u64, Status> {
        let change = self.begin_change(Some(index_of(on))).await?;
        let what = format!("node {node}, a learner that came to nothing, is removed");
        change.make(ChangeMembers::RemoveNodes(BTreeSet::from([node])), Some(self.autopilot()), &what).await
    }

    /// Takes its vote away from a voter that is dead, for good.
    pub(super) async fn remove_dead(&self, node: NodeId, on: &StoredMembership) -> Result<u64, Status> {
        let change = self.begin_change(Some(index_of(on))).await?;
        let members = decide::removal(&voters(on), node, |voter| self.health.is_well(voter))?;
        let what = was_dead(&self.group.name_of(node), node);
        change.make(members, Some(self.autopilot()), &what).await
    }

    fn was_removed(&self, who: &str) -> bool {
        is_one_of(&self.group.state.removed(), who)
    }
}
