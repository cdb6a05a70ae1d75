use sessile_cluster::admin::{MemberStatus, StatusResponse};

use crate::status::amounts::bytes;
use crate::status::duration::{moment, span};
use crate::status::health::{lag, lags};
use crate::status::markup::{Row, escaped, section, table};
use crate::status::row::{label, printable, role};
use crate::status::seen::Seen;

const HEADINGS: [&str; 10] =
    ["Name", "Role", "State", "Behind", "Last contact", "Sessions", "Disk free", "Address", "Version", "Since"];

/// The members: who leads, who lags, who does not answer.
pub(super) fn members(seen: &Seen) -> String {
    let row = |member: &MemberStatus| Row {
        id: Some(format!("member-{}", printable(&member.id))),
        cells: cells(&seen.status, member),
    };
    section("members", "Members", &table("Members", &HEADINGS, seen.status.members.iter().map(row)))
}

fn cells(status: &StatusResponse, member: &MemberStatus) -> Vec<String> {
    let is_self = member.id == status.node_id;
    let mut name = escaped(&label(status, member));
    if is_self {
        name += " <span class=\"soft\">(this node)</span>";
    }
    let role = role(member.role());
    let role = if role == "leader" { "<strong>leader</strong>".to_owned() } else { role.to_owned() };
    let contact = match member.last_contact_ms {
        _ if is_self => "-".to_owned(),
        Some(millis) => format!("{} ago", span(millis)),
        None => "never".to_owned(),
    };
    let (limit, free) = (member.disk_limit_bytes, bytes(member.disk_free_bytes));
    let disk = match member.reachable {
        true if member.disk_nearly_full => format!("<span class=\"bad\">{free}: full below {}</span>", bytes(limit)),
        true if member.disk_low => format!("<span class=\"warn\">{free}: low</span>"),
        true => free,
        // What it told last says nothing of now.
        false => "-".to_owned(),
    };
    let behind = if member.reachable { format!("{} entries", member.lag) } else { "-".to_owned() };
    let sessions = if member.reachable { member.sessions.to_string() } else { "-".to_owned() };
    let version = if member.version.is_empty() { "-".to_owned() } else { printable(&member.version) };
    let address = escaped(&printable(&member.address));
    let since = moment(member.since_ms);
    vec![name, role, state(status, member), behind, contact, sessions, disk, address, escaped(&version), since]
}

/// How a member is, in a word or two.
fn state(status: &StatusResponse, member: &MemberStatus) -> String {
    if !member.reachable {
        return "<span class=\"bad\">does not answer</span>".to_owned();
    }
    if lags(member) {
        return format!("<span class=\"warn\">lags: {}</span>", escaped(&lag(status, member)));
    }
    "<span class=\"good\">answers</span>".to_owned()
}
