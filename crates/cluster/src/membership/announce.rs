use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join;
use openraft::async_runtime::watch::WatchReceiver as _;
use sessile_store::Member;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};
use tracing::{info, warn};

use super::changes::MembershipChanges;
use super::only_one;
use super::rotation::settle;
use super::tell::tell_leader;
use crate::group::Group;
use crate::transport::{ThisNode, why_silent};
use crate::wire::JoinResponse;

/// How long before the leader is told again, unless the leader or the membership becomes another one.
const AGAIN: Duration = Duration::from_secs(1);
/// How long a member that knows of no membership waits for somebody to send it one, before it asks its seeds whether anybody
/// will. A state on its way to it takes a while, and brings the membership at its end.
const UNKNOWN: Duration = Duration::from_secs(5);

/// Once after a start: what the membership says of this member is what its configuration says, or the leader is told. And
/// once after an upgrade from a program that knew no keys: by which key this member is recognised. And for as long as it runs:
/// whether it is the only one with its id.
pub(crate) async fn run(changes: Arc<MembershipChanges>, seeds: Vec<String>, stop: CancellationToken) {
    let tell = async {
        tell_what_changed(&changes, &seeds).await;
        tell_key(&changes).await;
        settle_key(&changes).await;
    };
    stop.run_until_cancelled(join(tell, only_one::watch(&changes, &seeds))).await;
}

/// Has the key of this member put where every member's is to stand, as soon as it may stand there.
async fn tell_key(changes: &MembershipChanges) {
    let group = changes.group();
    let mut server = group.server.clone();
    let own = changes.this().as_member().keys;
    loop {
        drop(server.borrow_and_update());
        let known = group.membership().membership().get_node(&group.node).cloned();
        if own.is_empty() || known.as_ref().is_some_and(|known| !known.keys.is_empty()) {
            return;
        }
        if let Some(known) = known.filter(|_| changes.may_name_keys())
            && let Err(status) = tell_leader(changes, Member { keys: own.clone(), ..known }).await
        {
            info!("the leader does not take over this node's key yet: {}", status.message());
        }
        if let Ok(Err(_)) = timeout(AGAIN, server.changed()).await {
            return;
        }
    }
}

/// Ends a change of this member's key that was cut short.
async fn settle_key(changes: &MembershipChanges) {
    while let Err(status) = settle(changes).await {
        info!("a change of this node's key is not ended yet: {}", status.message());
        sleep(AGAIN).await;
    }
}

async fn tell_what_changed(changes: &MembershipChanges, seeds: &[String]) {
    let group = changes.group();
    let (mut server, mut said) = (group.server.clone(), String::new());
    let Some(found) = first_found(changes, seeds).await else { return };
    loop {
        // Seen, so that only what comes from here on is news.
        drop(server.borrow_and_update());
        match is_told(changes, &found).await {
            Ok(true) => return,
            Ok(false) => {}
            Err(status) if status.code() == Code::AlreadyExists => {
                group.stop_for(&status.message());
                return;
            }
            Err(status) if said == status.message() => {}
            Err(status) => {
                warn!("the leader does not take over this node's new name, address or rules: {}", status.message());
                status.message().clone_into(&mut said);
            }
        }
        // Of a Raft that has ended nothing comes any more.
        if let Ok(Err(_)) = timeout(AGAIN, server.changed()).await {
            return;
        }
    }
}

/// What the membership says of this member as soon as it says anything. `None` if Raft ends before.
///
/// Nobody calls a learner that was removed before it had received anything, so it asks.
async fn first_found(changes: &MembershipChanges, seeds: &[String]) -> Option<Member> {
    let group = changes.group();
    let mut server = group.server.clone();
    loop {
        let known = {
            let server = server.borrow_and_update();
            // What is not committed yet may be taken back.
            let by = [&server.committed_membership_config, &server.membership_config];
            by.into_iter().find_map(|membership| membership.membership().get_node(&group.node).cloned())
        };
        if known.is_some() {
            return known;
        }
        match timeout(UNKNOWN, server.changed()).await {
            Ok(changed) => changed.ok()?,
            Err(_) if knows_no_member(group) => ask_seeds(changes, seeds).await,
            Err(_) => {}
        }
    }
}

fn knows_no_member(group: &Group) -> bool {
    group.membership().membership().nodes().next().is_none()
}

/// Asks the members at these addresses, and the leader that they name, to send it what it needs, and stops this node if one
/// says that it was removed.
async fn ask_seeds(changes: &MembershipChanges, seeds: &[String]) {
    let this = changes.this();
    for seed in seeds.iter().filter(|seed| *seed != this.address()) {
        match ask_leader_by(this, seed).await {
            Ok(_) => return,
            Err(status) if changes.group().stops_if_told_to(&status, this.rejoins()) => return,
            Err(status) => info!("this node knows no member of its cluster, and {seed} {}", why_silent(&status)),
        }
    }
}

/// Asks whoever answers at an address, and the leader if it names one.
async fn ask_leader_by(this: &ThisNode, address: &str) -> Result<JoinResponse, Status> {
    match this.ask_to_join(address).await {
        Ok(JoinResponse { leader_address, .. }) if !leader_address.is_empty() => {
            this.ask_to_join(&leader_address).await
        }
        answer => answer,
    }
}

/// Tells the leader what is other than the membership says. `found` is what it said when this node had started. Says whether
/// it is settled.
async fn is_told(changes: &MembershipChanges, found: &Member) -> Result<bool, Status> {
    let (group, this) = (changes.group(), changes.this());
    let (membership, is_committed) = group.membership_and_whether_committed();
    let known = membership.membership().get_node(&group.node);
    let Some(wanted) = still_to_say(found, known, this.as_member()) else { return Ok(is_committed) };
    match group.leader() {
        Some(leader) if leader != group.node && this.directory().address(leader).is_none() => return Ok(false),
        Some(_) => tell_leader(changes, wanted).await?,
        None => ask_around(group, this).await?,
    }
    Ok(true)
}

/// Tells the leader by way of the others. A leader that came while this member moved looks for it where it was, so nothing is
/// heard of it.
async fn ask_around(group: &Group, this: &ThisNode) -> Result<(), Status> {
    let membership = group.membership();
    for (node, member) in membership.membership().nodes().filter(|(node, _)| **node != group.node) {
        let address = this.directory().address(*node).unwrap_or_else(|| member.address.clone());
        match ask_leader_by(this, &address).await {
            Ok(answer) if !answer.cluster.is_empty() => return Ok(()),
            Err(status) if status.code() == Code::AlreadyExists => return Err(status),
            Ok(_) | Err(_) => {}
        }
    }
    Err(Status::unavailable("no member that answers knows a leader"))
}

/// What the membership is to say of a member, unless it says so already. A name and an address that came after it was found
/// stay until the node starts anew: an operator's `set-address`, or what an earlier start had told. What program it is, only
/// the node itself knows, and its key is a matter of its own.
fn still_to_say(found: &Member, known: Option<&Member>, own: Member) -> Option<Member> {
    let Some(known) = known else { return Some(own) };
    let was_named = (&known.name, &known.address) != (&found.name, &found.address);
    let (name, address) = if was_named { (known.name.clone(), known.address.clone()) } else { (own.name, own.address) };
    let wanted = Member { name, address, keys: known.keys.clone(), ..own };
    (wanted != *known).then_some(wanted)
}

#[cfg(test)]
mod tests {
    use sessile_core::RulesVersion;

    use super::*;

    #[test]
    fn what_an_operator_said_after_the_start_stays() {
        let at = |address: &str| Member { name: "n3".into(), address: address.into(), ..Member::default() };
        let (old, new, said) = (at("a:1"), at("b:1"), at("c:1"));
        let to_say = |found: &Member, known: Option<&Member>| still_to_say(found, known, new.clone());
        assert_eq!(to_say(&old, None), Some(new.clone()), "no member yet");
        assert_eq!(to_say(&old, Some(&old)), Some(new.clone()), "it has moved");
        assert_eq!(to_say(&old, Some(&new)), None, "the leader knows");
        assert_eq!(to_say(&new, Some(&said)), None, "an operator was faster than its first look around");
        assert_eq!(to_say(&old, Some(&said)), None);
    }

    #[test]
    fn a_newer_program_is_told_of_also_when_what_an_earlier_start_had_told_comes_late() {
        let member = |address: &str, rules: u32| {
            let rules_supported = RulesVersion::new(rules);
            Member { name: "n2".into(), address: address.into(), rules_supported, keys: Vec::new() }
        };
        // It moved with its old program, was upgraded before its log knew that, and then the log says so.
        let to_say = still_to_say(&member("a:1", 4), Some(&member("b:1", 4)), member("b:1", 6));
        assert_eq!(to_say, Some(member("b:1", 6)));
        let to_say = still_to_say(&member("a:1", 4), Some(&member("c:1", 4)), member("b:1", 6));
        assert_eq!(to_say, Some(member("c:1", 6)), "an operator's address stays");
    }
}
