use sessile_cluster::admin::{MemberStatus, Role, StatusResponse};

use super::duration::{moment, span};

/// What stands above the columns.
pub(crate) const HEADINGS: [&str; 9] =
    ["NAME", "ROLE", "VOTER", "ADDRESS", "APPLIED", "LAG", "LAST CONTACT", "VERSION", "SINCE"];

/// How many digits of an id tell members of one name apart.
const SHORT_ID: usize = 8;

/// One member, a text for each column. No text has a control character, whatever a member calls itself.
pub(crate) fn row(status: &StatusResponse, member: &MemberStatus) -> [String; 9] {
    let contact = match member.last_contact_ms {
        _ if member.id == status.node_id => "this node".to_owned(),
        Some(millis) => format!("{} ago", span(millis)),
        None => "never".to_owned(),
    };
    let since = match (member.reachable, moment(member.since_ms)) {
        (_, never) if never == "-" => never,
        (true, time) => format!("up {time}"),
        (false, time) => format!("down {time}"),
    };
    [
        label(status, member),
        // Who is in no cluster has none.
        if member.role() == Role::Unspecified { "-" } else { role(member.role()) }.to_owned(),
        if member.voter { "yes" } else { "no" }.to_owned(),
        or_dash(&member.address),
        member.applied.to_string(),
        member.lag.to_string(),
        contact,
        or_dash(&member.version),
        since,
    ]
}

/// What a person calls a member: its name, with a part of its id where another bears the same or it has none.
pub(crate) fn label(status: &StatusResponse, member: &MemberStatus) -> String {
    let namesakes = status.members.iter().filter(|other| other.name == member.name).count();
    let id: String = printable(&member.id).chars().take(SHORT_ID).collect();
    match (member.name.is_empty(), namesakes) {
        (true, _) => id,
        (false, 0 | 1) => printable(&member.name),
        (false, _) => format!("{} ({id})", printable(&member.name)),
    }
}

/// As it stands in JSON too.
pub(crate) fn role(role: Role) -> &'static str {
    match role {
        Role::Leader => "leader",
        Role::Follower => "follower",
        Role::Learner => "learner",
        Role::Unspecified => "unknown",
    }
}

/// Text from somewhere else, for a terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { '?' } else { character }).collect()
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { printable(text) }
}
