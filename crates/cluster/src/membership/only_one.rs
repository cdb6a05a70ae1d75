//! One id, one disk: a node that runs on a copy of another one's data directory is told, by the members that know where its
//! id is.
//!
//! A copy may be older than the last move of its original. What it knows itself leads nowhere then, and nobody calls it,
//! because all others call the original. So it asks: at its start, before it can vote, and whenever it hears of no leader.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use openraft::Instant as _;
use sessile_store::{Member, NodeId};
use tokio::time::sleep;

use super::changes::MembershipChanges;
use crate::error::StartError;
use crate::group::Group;
use crate::transport::{ThisNode, are_copies};
use crate::wire::Identity;

/// How often a member that hears of no leader asks: as often as it tells the leader that it has moved.
const AGAIN: Duration = Duration::from_secs(1);

/// Before this node can vote: nobody else may be under its id, neither where its own disk says that it is nor where a member
/// that answers knows it to be. `members` are those that its disk knows.
///
/// Of a node that has moved nobody is where it was, and the members that answer find nobody either; if none answers, it goes
/// on. It takes as long as the slowest of them may take to answer.
pub(crate) async fn assert_only_one<'a>(
    this: &ThisNode,
    members: impl Iterator<Item = (&'a NodeId, &'a Member)>,
    seeds: &[String],
) -> Result<(), StartError> {
    let members: Vec<_> = members.collect();
    let Some((_, known)) = members.iter().find(|(node, _)| **node == this.node()) else { return Ok(()) };
    if this.address().is_empty() || known.address.is_empty() {
        return Ok(());
    }
    let others = members.iter().filter(|(node, _)| **node != this.node()).map(|(_, member)| member.address.clone());
    let others: BTreeSet<String> = others.chain(seeds.iter().cloned()).collect();
    let was_there = async { if known.address == this.address() { None } else { finds(this, &known.address).await } };
    let (was_there, told) = tokio::join!(was_there, ask(this, &others));
    was_there.or(told).map_or(Ok(()), |address| Err(StartError::Copied { node: this.node(), address }))
}

/// Where another process runs under this node's id, if it is that which answers there.
async fn finds(this: &ThisNode, address: &str) -> Option<String> {
    let found = this.probe(address).await.ok()?;
    this.is_copy(&found).then(|| address.to_owned())
}

/// Where another process runs under this node's id, by the word of whoever answers at these addresses.
async fn ask(this: &ThisNode, addresses: &BTreeSet<String>) -> Option<String> {
    let others = addresses.iter().filter(|address| !address.is_empty() && *address != this.address());
    let answers = join_all(others.map(|address| this.asks_where_it_runs(address))).await;
    let told = answers.into_iter().filter_map(Result::ok).map(|identity| identity.runs_at);
    told.into_iter().find(|address| !address.is_empty() && address != this.address())
}

/// For as long as this member runs: while it hears of no leader it asks again, and stops if it is a copy. Who was cut off as a
/// copy was started in its place learns of it so, too.
pub(super) async fn watch(changes: &MembershipChanges, seeds: &[String]) {
    let (group, this) = (changes.group(), changes.this());
    loop {
        sleep(AGAIN).await;
        // Of a Raft that has ended nobody asks any more.
        let Some(hears) = hears_of_a_leader(group).await else { return };
        if hears {
            continue;
        }
        let membership = group.membership();
        let others = membership.membership().nodes().filter(|(node, _)| **node != group.node);
        let is_at =
            |(node, member): (&NodeId, &Member)| this.directory().address(*node).unwrap_or(member.address.clone());
        let others: BTreeSet<String> = others.map(is_at).chain(seeds.iter().cloned()).collect();
        if let Some(address) = ask(this, &others).await {
            group.stop_for(&StartError::Copied { node: group.node, address });
            return;
        }
    }
}

/// Whether this member leads, or has lately heard of who does; `None` if Raft has ended.
async fn hears_of_a_leader(group: &Group) -> Option<bool> {
    let heard = group.raft.with_raft_state(|state| state.vote_last_modified()).await.ok()?;
    let is_fresh = heard.is_some_and(|heard| heard.elapsed() < group.timing.answers());
    Some(group.leads() || is_fresh && group.leader().is_some())
}

/// Where another process than the one that asks answers under its id now; empty if none does, as far as is known here. The
/// one that is where the membership says is never told of another: of two that ask, one goes on.
pub(crate) async fn runs_at(changes: &MembershipChanges, node: NodeId, asks: &Identity) -> String {
    let (group, this) = (changes.group(), changes.this());
    let said = group.membership().membership().get_node(&node).map(|member| member.address.clone());
    let Some(said) = said.filter(|said| *said != asks.address) else { return String::new() };
    let found = this.directory().address(node).filter(|found| *found != said && *found != asks.address);
    for address in [Some(said), found].into_iter().flatten() {
        if this.probe(&address).await.is_ok_and(|answered| are_copies((node, asks.start_id), &answered)) {
            return address;
        }
    }
    String::new()
}
