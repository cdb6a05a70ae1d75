//! How this member changes its key: first the membership names both, so that it is recognised by either; when every member
//! has heard of that, it uses the new one; then the membership names that alone.
//!
//! Each step is durable before the next, and what is left to do follows from what is there: a crash in between is gone on
//! with at the next start.

use std::time::Duration;

use sessile_store::{KeyHash, Member};
use tokio::time::{sleep, timeout};
use tonic::Status;
use tracing::info;

use super::changed::Changed;
use super::changes::MembershipChanges;
use super::tell::tell_leader;

/// How many steps a change may take: three, and as many again after somebody else has changed what is known of this member.
const MAX_STEPS: usize = 8;

/// How long every member may take to apply one entry and to tell so, which it does every second.
const ALL_KNOW: Duration = Duration::from_secs(5);
/// How often it is looked whether they have.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// The membership is to name these.
    Tell(Vec<KeyHash>),
    /// The next key is to be used.
    Use,
    /// Nothing.
    Done,
}

/// What follows from the key in use, the next one, and those that the membership names.
fn step(own: KeyHash, next: Option<KeyHash>, named: &[KeyHash]) -> Step {
    match next {
        Some(next) if next == own || named.contains(&next) => Step::Use,
        Some(next) => Step::Tell(vec![own, next]),
        None if named == [own] || !named.contains(&own) => Step::Done,
        None => Step::Tell(vec![own]),
    }
}

/// Changes the key by which this member is recognised, or goes on with a change that was cut short.
pub(crate) async fn rotate(changes: &MembershipChanges) -> Result<Changed, Status> {
    if changes.this().door().keys().plaintext() {
        return Err(Status::failed_precondition("cluster.plaintext is set: members are recognised by no keys"));
    }
    if changes.known().is_none_or(|known| known.keys.is_empty()) {
        let text = "this node is recognised by no key yet: not every member runs a program that knows keys";
        return Err(Status::failed_precondition(text));
    }
    let own = changes.own_key();
    let _one = own.change().ok_or_else(|| Status::aborted("the key is being changed; look again in a moment"))?;
    own.make_next().await?;
    go_on(changes).await?;
    let what = format!("{} is recognised by the key {} now", changes.this().name(), own.hash());
    info!("{what}");
    Ok(changes.changed_now(what))
}

/// Ends a change that was cut short, if one was.
pub(super) async fn settle(changes: &MembershipChanges) -> Result<(), Status> {
    match changes.own_key().change() {
        Some(_one) => go_on(changes).await,
        None => Ok(()),
    }
}

async fn go_on(changes: &MembershipChanges) -> Result<(), Status> {
    let own = changes.own_key();
    for _ in 0..MAX_STEPS {
        let known = changes.known().ok_or_else(|| Status::unavailable("this node knows no membership yet"))?;
        match step(own.hash(), own.next().await?, &known.keys) {
            Step::Done => return Ok(()),
            Step::Use => {
                until_all_know(changes).await?;
                own.use_next().await?;
            }
            Step::Tell(keys) => {
                tell_leader(changes, Member { keys: keys.clone(), ..known }).await?;
                changes.until_known(&keys).await?;
            }
        }
    }
    Err(Status::aborted("the membership changes again and again; try once more"))
}

/// Waits until every other member has applied the membership in force. One that had not, would refuse this one, and if this
/// one leads, nobody else would tell it.
async fn until_all_know(changes: &MembershipChanges) -> Result<(), Status> {
    let (group, members) = (changes.group(), &changes.health().members);
    let membership = group.membership();
    let index = membership.log_id().map_or(0, |log_id| log_id.index);
    let lags = || {
        let knows =
            |node| members.get(node).and_then(|known| known.report).is_some_and(|report| report.applied >= index);
        let mut others = membership.membership().nodes().filter(|(node, _)| **node != group.node);
        others.find(|(node, _)| !knows(**node)).map(|(_, member)| member.name.clone())
    };
    let all = async {
        while lags().is_some() {
            sleep(LOOK_AGAIN).await;
        }
    };
    // Whether all know or the time is up: looked at next.
    let _ = timeout(ALL_KNOW, all).await;
    lags().map_or(Ok(()), |name| {
        let text = format!(
            "{name} has not heard yet of the new key, and would not recognise this node by it: bring {name} back, or remove \
             it; then ask again. Until then both keys are valid"
        );
        Err(Status::failed_precondition(text))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn key(number: u8) -> KeyHash {
        KeyHash::new([number; 32])
    }

    #[test]
    fn a_change_of_the_key_goes_on_from_wherever_it_was_cut_short() {
        let (old, new) = (key(1), key(2));
        for (own, next, named, then) in [
            (old, None, vec![old], Step::Done),
            (old, Some(new), vec![old], Step::Tell(vec![old, new])),
            (old, Some(new), vec![old, new], Step::Use),
            (new, Some(new), vec![old, new], Step::Use),
            (new, None, vec![old, new], Step::Tell(vec![new])),
            (new, None, vec![new], Step::Done),
            // It would be refused, whatever it tells.
            (new, None, vec![old], Step::Done),
        ] {
            assert_eq!(step(own, next, &named), then, "{own} {next:?} {named:?}");
        }
    }
}
