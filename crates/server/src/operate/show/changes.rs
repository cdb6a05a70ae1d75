use sessile_cluster::admin::{MemberStatus, StatusResponse};

use crate::status::row::{label, printable, role};

/// What is new since the last time, a sentence each.
pub(crate) fn between(before: &StatusResponse, now: &StatusResponse) -> Vec<String> {
    let mut changes = Vec::new();
    if before.cluster_id != now.cluster_id && !now.cluster_id.is_empty() {
        changes.push(format!("this node belongs to the cluster {}", now.cluster_id));
    }
    for member in &now.members {
        match before.members.iter().find(|known| known.id == member.id) {
            None => {
                let address = printable(&member.address);
                changes.push(format!("{} at {address} is a member, as {}", label(now, member), article(member)));
            }
            Some(known) => changes.extend(of_member(known, member, &label(now, member))),
        }
    }
    let gone = before.members.iter().filter(|known| now.members.iter().all(|member| member.id != known.id));
    changes.extend(gone.map(|known| format!("{} is no member any more", label(before, known))));
    if before.leader_id != now.leader_id {
        let leader = now.members.iter().find(|member| member.id == now.leader_id);
        changes.push(match leader {
            Some(leader) => format!("{} leads, in term {}", label(now, leader), now.term),
            None => "nobody leads".to_owned(),
        });
    }
    if before.ready != now.ready {
        changes.push(if now.ready { "this node is ready" } else { "this node is not ready" }.to_owned());
    }
    let new_alerts = now.alerts.iter().filter(|alert| !before.alerts.iter().any(|known| is_same(known, alert)));
    changes.extend(new_alerts.map(|alert| format!("alert: {}", printable(alert))));
    changes
}

/// Whether two alerts are of one thing: the numbers and times in them may be those of another moment.
fn is_same(one: &str, other: &str) -> bool {
    let words = |alert| {
        str::split(alert, ' ').map(|word| if word.starts_with(|c: char| c.is_ascii_digit()) { "#" } else { word })
    };
    words(one).eq(words(other))
}

fn of_member(known: &MemberStatus, member: &MemberStatus, name: &str) -> Vec<String> {
    let mut changes = Vec::new();
    if known.voter != member.voter {
        changes.push(format!("{name} is {}", if member.voter { "a voter" } else { "a voter no more" }));
    }
    if known.reachable != member.reachable {
        let again = if known.last_contact_ms.is_some() { " again" } else { "" };
        changes.push(if member.reachable {
            format!("{name} answers{again}")
        } else {
            format!("{name} does not answer")
        });
    }
    if known.address != member.address {
        changes.push(format!("{name} is at {}", printable(&member.address)));
    }
    if known.version != member.version && !known.version.is_empty() {
        changes.push(format!("{name} runs version {}", printable(&member.version)));
    }
    changes
}

fn article(member: &MemberStatus) -> String {
    if member.voter { "a voter".to_owned() } else { format!("a {}", role(member.role())) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::examples::{cluster, id, learner, pristine, without};

    #[test]
    fn every_change_is_a_sentence() {
        let with = |change: &dyn Fn(&mut StatusResponse)| {
            let mut status = cluster(3);
            change(&mut status);
            status
        };
        let joining = || with(&|status| status.members.push(learner(4)));
        for (before, now, said) in [
            (cluster(3), cluster(3), vec![]),
            (cluster(3), without(cluster(3), &[3]), vec!["n3 does not answer"]),
            (without(cluster(3), &[3]), cluster(3), vec!["n3 answers again"]),
            (cluster(3), joining(), vec!["n4 at 10.0.0.4:7081 is a member, as a learner"]),
            (joining(), cluster(4), vec!["n4 is a voter"]),
            (
                with(&|status| {
                    let never = (false, None, String::new());
                    status.members.push(learner(4));
                    (status.members[3].reachable, status.members[3].last_contact_ms, status.members[3].version) = never;
                }),
                joining(),
                vec!["n4 answers"],
            ),
            (cluster(4), cluster(3), vec!["n4 is no member any more"]),
            (cluster(3), with(&|status| (status.leader_id, status.term) = (id(3), 6)), vec!["n3 leads, in term 6"]),
            (
                cluster(3),
                with(&|status| {
                    status.leader_id.clear();
                    status.ready = false;
                }),
                vec!["nobody leads", "this node is not ready"],
            ),
            (
                cluster(3),
                with(&|status| status.members[1].address = "10.1.0.2:7081".to_owned()),
                vec!["n2 is at 10.1.0.2:7081"],
            ),
            (cluster(3), with(&|status| status.members[1].version = "0.2.0".to_owned()), vec!["n2 runs version 0.2.0"]),
            (cluster(3), with(&|status| status.alerts = vec!["look".to_owned()]), vec!["alert: look"]),
            (with(&|status| status.alerts = vec!["look".to_owned()]), cluster(3), vec![]),
            (
                with(&|status| status.alerts = vec!["n1 is 60 s ahead, at 2026-11-30T12:00:00Z".to_owned()]),
                with(&|status| status.alerts = vec!["n1 is 59 s ahead, at 2026-11-30T12:00:01Z".to_owned()]),
                vec![],
            ),
            (
                with(&|status| status.alerts = vec!["n1 is 60 s ahead".to_owned()]),
                with(&|status| status.alerts = vec!["n2 is 60 s ahead".to_owned()]),
                vec!["alert: n2 is 60 s ahead"],
            ),
        ] {
            assert_eq!(between(&before, &now), said);
        }
        let joined = between(&pristine(), &cluster(3));
        assert_eq!(joined[0], format!("this node belongs to the cluster {}", "c".repeat(32)));
        assert_eq!((joined.len(), joined.last().map(String::as_str)), (6, Some("this node is ready")));
    }
}
