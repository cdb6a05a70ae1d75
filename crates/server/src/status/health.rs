use sessile_cluster::admin::{MemberStatus, StatusResponse};

use super::duration::span;
use super::row::{label, printable};

/// A member that has not applied what was committed so long ago lags: it is no more use as a voter, and a loss of another
/// one would be felt. Reports are up to three seconds old, so less than this is not known.
const LAGS_AFTER_MS: u64 = 5_000;

/// How a cluster is, seen from the node that was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    /// Every member answers, and there is nothing to look at.
    Healthy,
    /// It serves, and somebody should look.
    Degraded,
    /// The node that was asked does not serve now, and need not stay so.
    NotReady,
    /// Too few voters answer for anything to be read or written.
    NoQuorum,
}

impl Health {
    /// As it stands in JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::NotReady => "not_ready",
            Self::NoQuorum => "no_quorum",
        }
    }
}

/// How it is, and one sentence that says so.
pub(crate) fn judge(status: &StatusResponse) -> (Health, String) {
    if status.cluster_id.is_empty() {
        return (Health::NotReady, format!("not ready: this node belongs to no cluster yet{}", waiting_for(status)));
    }
    if status.members.is_empty() {
        return (Health::NotReady, format!("not ready: this node is still starting{}", waiting_for(status)));
    }
    let voters: Vec<_> = status.members.iter().filter(|member| member.voter).collect();
    let (up, down): (Vec<_>, Vec<_>) = voters.iter().copied().partition(|member| member.reachable);
    let majority = voters.len() / 2 + 1;
    let answer = if up.len() == 1 { "answers" } else { "answer" };
    let answering = format!("{} of {} voters {answer}", up.len(), voters.len());
    if up.len() < majority {
        let silent = silence(status, &down);
        let pending = pending(status);
        return (Health::NoQuorum, format!("no quorum: {answering}, and {majority} are needed; {silent}{pending}"));
    }
    if status.leader.is_empty() && status.leader_id.is_empty() {
        let why = pending(status) + &waiting_for(status);
        return (Health::NotReady, format!("not ready: {answering}, but none leads yet{why}"));
    }
    if !status.ready {
        let why = pending(status) + &waiting_for(status);
        return (Health::NotReady, format!("not ready: this node cannot serve yet{why}"));
    }
    let spare = match up.len() - majority {
        0 => "one more loss and the cluster stops".to_owned(),
        1 => "one more may fail".to_owned(),
        more => format!("{more} more may fail"),
    };
    if !down.is_empty() {
        return (Health::Degraded, format!("{}: {spare}{}", silence(status, &down), pending(status)));
    }
    let learners: Vec<_> = status.members.iter().filter(|member| !member.voter).collect();
    let silent: Vec<_> = learners.iter().copied().filter(|learner| !learner.reachable).collect();
    let mut sentence = format!("{answering}, {} leads", leader(status));
    if up.len() == majority && voters.len() > 1 {
        sentence += ", one loss and the cluster stops";
    }
    sentence += &pending(status);
    for learner in learners.iter().filter(|learner| learner.reachable) {
        sentence += &format!("; {} is a learner, {} entries behind", label(status, learner), learner.lag);
    }
    let lagging: Vec<_> = voters.iter().copied().filter(|voter| lags(voter)).collect();
    for voter in &lagging {
        sentence += &format!("; {}", lag(status, voter));
    }
    if !silent.is_empty() {
        sentence += &format!("; {}, no voter", silence(status, &silent));
    }
    match (silent.is_empty() && lagging.is_empty(), status.alerts.len()) {
        (true, 0) => (Health::Healthy, format!("healthy: {sentence}")),
        (false, 0) => (Health::Degraded, format!("degraded: {sentence}")),
        (_, 1) => (Health::Degraded, format!("degraded: {sentence}; there is 1 alert")),
        (_, alerts) => (Health::Degraded, format!("degraded: {sentence}; there are {alerts} alerts")),
    }
}

/// A change of the membership that is under way, to stand behind something else. An older node says only that there is one.
fn pending(status: &StatusResponse) -> String {
    match &*status.pending_change {
        "" if status.joint => "; a change of the voters is under way".to_owned(),
        "" => String::new(),
        change => format!("; {}", printable(change)),
    }
}

/// Whether a member that answers is behind by more than a moment, or has to be given the state whole.
pub(crate) fn lags(member: &MemberStatus) -> bool {
    member.reachable && (member.behind_ms >= LAGS_AFTER_MS || member.receiving_bytes.is_some())
}

/// How a member lags.
pub(super) fn lag(status: &StatusResponse, member: &MemberStatus) -> String {
    let name = label(status, member);
    match member.receiving_bytes {
        Some(bytes) => format!("{name} receives the state of another member, {} MiB so far", bytes >> 20),
        None => format!("{name} is {} behind ({} entries)", span(member.behind_ms), member.lag),
    }
}

fn leader(status: &StatusResponse) -> String {
    let member = status.members.iter().find(|member| member.id == status.leader_id);
    member.map_or_else(|| printable(&status.leader), |member| label(status, member))
}

fn waiting_for(status: &StatusResponse) -> String {
    if status.waiting_for.is_empty() {
        return String::new();
    }
    format!("; it waits: {}", printable(&status.waiting_for.join("; ")))
}

/// Who does not answer, and for how long.
pub(super) fn silence(status: &StatusResponse, silent: &[&MemberStatus]) -> String {
    let each = silent.iter().map(|member| match member.last_contact_ms {
        Some(millis) => format!("{} has not answered for {}", label(status, member), span(millis)),
        None => format!("{} has never answered", label(status, member)),
    });
    each.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::examples::{cluster, learner, pristine, voter, without};

    #[test]
    fn health_is_one_plain_sentence() {
        let with = |mut status: StatusResponse, change: &dyn Fn(&mut StatusResponse)| {
            change(&mut status);
            status
        };
        for (status, health, sentence) in [
            (cluster(3), Health::Healthy, "healthy: 3 of 3 voters answer, n2 leads"),
            (cluster(1), Health::Healthy, "healthy: 1 of 1 voters answers, n1 leads"),
            (cluster(2), Health::Healthy, "healthy: 2 of 2 voters answer, n2 leads, one loss and the cluster stops"),
            (
                without(cluster(3), &[3]),
                Health::Degraded,
                "n3 has not answered for 12 s: one more loss and the cluster stops",
            ),
            (without(cluster(5), &[3]), Health::Degraded, "n3 has not answered for 12 s: one more may fail"),
            (without(cluster(7), &[3]), Health::Degraded, "n3 has not answered for 12 s: 2 more may fail"),
            (
                without(cluster(5), &[3, 4]),
                Health::Degraded,
                "n3 has not answered for 12 s, n4 has not answered for 12 s: one more loss and the cluster stops",
            ),
            (
                without(cluster(3), &[2, 3]),
                Health::NoQuorum,
                "no quorum: 1 of 3 voters answers, and 2 are needed; n2 has not answered for 12 s, n3 has not answered for \
                 12 s",
            ),
            (
                with(without(cluster(2), &[2]), &|status| status.members[1].last_contact_ms = None),
                Health::NoQuorum,
                "no quorum: 1 of 2 voters answers, and 2 are needed; n2 has never answered",
            ),
            (
                with(cluster(3), &|status| {
                    status.leader.clear();
                    status.leader_id.clear();
                    status.ready = false;
                }),
                Health::NotReady,
                "not ready: 3 of 3 voters answer, but none leads yet",
            ),
            (
                with(cluster(3), &|status| {
                    status.ready = false;
                    status.waiting_for = vec!["the state is 7 entries behind".to_owned()];
                }),
                Health::NotReady,
                "not ready: this node cannot serve yet; it waits: the state is 7 entries behind",
            ),
            (
                pristine(),
                Health::NotReady,
                "not ready: this node belongs to no cluster yet; it waits: 10.0.0.2:7081 does not answer; 10.0.0.3:7081 \
                 does not answer",
            ),
            (
                with(pristine(), &|status| {
                    status.cluster_id = "00112233445566778899aabbccddeeff".to_owned();
                    status.waiting_for.clear();
                }),
                Health::NotReady,
                "not ready: this node is still starting",
            ),
            (
                with(cluster(3), &|status| (status.members[2].behind_ms, status.members[2].lag) = (12_000, 4_321)),
                Health::Degraded,
                "degraded: 3 of 3 voters answer, n2 leads; n3 is 12 s behind (4321 entries)",
            ),
            (
                with(cluster(3), &|status| status.members[2].behind_ms = 4_999),
                Health::Healthy,
                "healthy: 3 of 3 voters answer, n2 leads",
            ),
            (
                with(cluster(3), &|status| status.members[2].receiving_bytes = Some(3 << 20)),
                Health::Degraded,
                "degraded: 3 of 3 voters answer, n2 leads; n3 receives the state of another member, 3 MiB so far",
            ),
            (
                with(cluster(3), &|status| status.members[2].receiving_bytes = Some(0)),
                Health::Degraded,
                "degraded: 3 of 3 voters answer, n2 leads; n3 receives the state of another member, 0 MiB so far",
            ),
            (
                with(cluster(3), &|status| status.members.push(MemberStatus { lag: 120, ..learner(4) })),
                Health::Healthy,
                "healthy: 3 of 3 voters answer, n2 leads; n4 is a learner, 120 entries behind",
            ),
            (
                without(with(cluster(3), &|status| status.members.push(learner(4))), &[4]),
                Health::Degraded,
                "degraded: 3 of 3 voters answer, n2 leads; n4 has not answered for 12 s, no voter",
            ),
            (
                with(cluster(3), &|status| status.joint = true),
                Health::Healthy,
                "healthy: 3 of 3 voters answer, n2 leads; a change of the voters is under way",
            ),
            (
                with(without(cluster(3), &[3]), &|status| {
                    (status.ready, status.joint) = (false, true);
                    status.pending_change = "a change of the voters from n1, n2, n3 to n1, n3 is under way".to_owned();
                }),
                Health::NotReady,
                "not ready: this node cannot serve yet; a change of the voters from n1, n2, n3 to n1, n3 is under way",
            ),
            (
                with(cluster(3), &|status| status.alerts = vec!["n3's clock is 3 s off".to_owned()]),
                Health::Degraded,
                "degraded: 3 of 3 voters answer, n2 leads; there is 1 alert",
            ),
        ] {
            assert_eq!(judge(&status), (health, sentence.to_owned()));
        }
    }

    #[test]
    fn members_of_one_name_are_told_apart_and_none_writes_to_the_terminal() {
        let mut status = without(cluster(3), &[3]);
        status.members[2].name = "n2".to_owned();
        assert!(judge(&status).1.starts_with("n2 (00000003) has not answered"), "{}", judge(&status).1);
        status.members[2].name = "\u{1b}[2J\n".to_owned();
        assert!(judge(&status).1.starts_with("?[2J? has not answered"), "{}", judge(&status).1);
        status.members[2].name.clear();
        assert!(judge(&status).1.starts_with("00000003 has not answered"), "{}", judge(&status).1);
        assert_eq!(voter(3).name, "n3");
    }
}
