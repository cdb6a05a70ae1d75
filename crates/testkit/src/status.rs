use serde_json::Value;

/// What `sessile status --json` says, as far as tests look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// 32 hexadecimal digits; `None` while the node belongs to no cluster.
    pub cluster_id: Option<String>,
    /// The leader's name, if one is known.
    pub leader: Option<String>,
    /// Whether the node could serve a linearizable read and a write now.
    pub ready: bool,
    /// The log index of the membership in force.
    pub membership_index: u64,
    /// Whether a change between two sets of voters is under way.
    pub joint: bool,
    /// The version of the replicated rules in force.
    pub rules: u64,
    /// What the node waits for, as sentences.
    pub waiting_for: Vec<String>,
    /// What an operator should look at, as sentences.
    pub alerts: Vec<String>,
    /// Everybody.
    pub members: Vec<Member>,
}

/// A member, as the node that was asked knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// A label for people.
    pub name: String,
    /// Who it is: 32 hexadecimal digits.
    pub id: String,
    /// host:port of its gRPC listener.
    pub address: String,
    /// What it is now.
    pub role: Role,
    /// Whether it has a vote.
    pub voter: bool,
    /// The last log index that it has applied.
    pub applied: u64,
    /// How many committed entries it has not applied.
    pub lag: u64,
    /// Milliseconds since it was last heard of; `None` if never.
    pub last_contact_ms: Option<u64>,
    /// Whether it answers.
    pub reachable: bool,
    /// A checksum of its state, in hexadecimal, and the log index that it is of. Members agree at equal index.
    pub checksum: String,
    /// See there.
    pub checksum_index: u64,
    /// How many sessions it counts.
    pub sessions: u64,
    /// The version of its program; empty if it was never heard of.
    pub version: String,
    /// The newest version of the replicated rules that it can follow.
    pub rules_supported: u64,
}

/// What a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A voter that leads.
    Leader,
    /// A voter that does not.
    Follower,
    /// Receives the log and has no vote.
    Learner,
}

impl Status {
    /// From the document. An error names the field that is not as it should be.
    pub fn parse(json: &str) -> Result<Self, String> {
        let document: Value = serde_json::from_str(json).map_err(|error| format!("no JSON: {error}"))?;
        let members = document["members"].as_array().ok_or("`members` is no list")?;
        Ok(Self {
            cluster_id: optional_text(&document, "cluster_id")?,
            leader: optional_text(&document, "leader")?,
            ready: flag(&document, "ready")?,
            membership_index: number(&document, "membership_index")?,
            joint: flag(&document, "joint")?,
            rules: number(&document, "rules")?,
            waiting_for: texts(&document, "waiting_for")?,
            alerts: texts(&document, "alerts")?,
            members: members.iter().map(Member::parse).collect::<Result<_, _>>()?,
        })
    }

    /// The only member of that name; `None` if there is none or more than one.
    pub fn member(&self, name: &str) -> Option<&Member> {
        let mut named = self.members.iter().filter(|member| member.name == name);
        named.next().filter(|_| named.next().is_none())
    }

    /// The only member of that name, if it has a vote.
    pub fn voter(&self, name: &str) -> Option<&Member> {
        self.member(name).filter(|member| member.voter)
    }

    /// The names of those with a vote, in alphabetical order.
    pub fn voters(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.members.iter().filter(|m| m.voter).map(|member| member.name.as_str()).collect();
        names.sort_unstable();
        names
    }

    /// Whether a sentence of what it waits for or of its alerts holds that.
    pub fn says(&self, what: &str) -> bool {
        self.waiting_for.iter().chain(&self.alerts).any(|sentence| sentence.contains(what))
    }
}

impl Member {
    fn parse(member: &Value) -> Result<Self, String> {
        let text = |name| optional_text(member, name)?.ok_or_else(|| format!("`members[].{name}` is missing"));
        let role = match text("role")?.as_str() {
            "leader" => Role::Leader,
            "follower" => Role::Follower,
            "learner" => Role::Learner,
            other => return Err(format!("`members[].role` is {other:?}")),
        };
        Ok(Self {
            // A node may have no name, and a member that never reported has no checksum.
            name: optional_text(member, "name")?.unwrap_or_default(),
            id: text("id")?,
            address: optional_text(member, "address")?.unwrap_or_default(),
            role,
            voter: flag(member, "voter")?,
            applied: number(member, "applied")?,
            lag: number(member, "lag")?,
            last_contact_ms: member["last_contact_ms"].as_u64(),
            reachable: flag(member, "reachable")?,
            checksum: optional_text(member, "checksum")?.unwrap_or_default(),
            checksum_index: number(member, "checksum_index")?,
            sessions: number(member, "sessions")?,
            version: optional_text(member, "version")?.unwrap_or_default(),
            rules_supported: number(member, "rules_supported")?,
        })
    }
}

/// A text; `None` where there is none, null or an empty one.
fn optional_text(of: &Value, name: &str) -> Result<Option<String>, String> {
    match &of[name] {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
        other => Err(format!("`{name}` is {other}, no text")),
    }
}

fn texts(of: &Value, name: &str) -> Result<Vec<String>, String> {
    let wrong = || format!("`{name}` is {}, no list of texts", of[name]);
    let list = of[name].as_array().ok_or_else(wrong)?;
    list.iter().map(|text| text.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
}

fn flag(of: &Value, name: &str) -> Result<bool, String> {
    of[name].as_bool().ok_or_else(|| format!("`{name}` is {}, neither true nor false", of[name]))
}

fn number(of: &Value, name: &str) -> Result<u64, String> {
    of[name].as_u64().ok_or_else(|| format!("`{name}` is {}, no number", of[name]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMED: &str = r#"{
        "cluster_id": "00112233445566778899aabbccddeeff", "leader": "n2", "ready": true, "membership_index": 7,
        "joint": false, "waiting_for": [], "alerts": ["n3 is down"], "term": 4, "rules": 1, "members": [
            {"name": "n2", "id": "b2", "address": "127.0.0.1:7082", "role": "leader", "voter": true, "applied": 9,
             "lag": 0, "last_contact_ms": 0, "reachable": true, "checksum": "ff", "checksum_index": 9, "sessions": 3,
             "version": "0.2.0", "rules_supported": 2},
            {"name": "n1", "id": "a1", "address": "127.0.0.1:7081", "role": "learner", "voter": false, "applied": 8,
             "lag": 1, "last_contact_ms": 12, "reachable": true, "checksum": "ee", "checksum_index": 8, "sessions": 3,
             "version": "0.1.0", "rules_supported": 1},
            {"name": "n3", "id": "c3", "address": "127.0.0.1:7083", "role": "follower", "voter": true, "applied": 0,
             "lag": 9, "last_contact_ms": null, "reachable": false, "checksum": "", "checksum_index": 0, "sessions": 0,
             "version": "", "rules_supported": 1}
        ]}"#;

    #[test]
    fn a_cluster_is_read() {
        let status = Status::parse(FORMED).unwrap();
        assert_eq!((status.leader.as_deref(), status.ready, status.voters()), (Some("n2"), true, vec!["n2", "n3"]));
        assert_eq!(status.voter("n2").unwrap().role, Role::Leader);
        assert!(status.voter("n1").is_none() && status.member("n1").is_some());
        assert_eq!(status.member("n3").unwrap().last_contact_ms, None);
        let versions =
            ["n1", "n2"].map(|name| status.member(name).unwrap()).map(|of| (of.version.as_str(), of.rules_supported));
        assert_eq!((status.rules, versions), (1, [("0.1.0", 1), ("0.2.0", 2)]));
        assert!(status.says("n3 is down") && !status.says("n1"));
    }

    #[test]
    fn a_node_without_a_cluster_is_read() {
        let waiting = r#"{"cluster_id": "", "leader": null, "ready": false, "membership_index": 0, "joint": false, "rules": 1,
            "waiting_for": ["127.0.0.1:7083 does not answer"], "alerts": [], "members": []}"#;
        let status = Status::parse(waiting).unwrap();
        assert_eq!((status.cluster_id.as_ref(), status.leader.as_ref(), status.ready), (None, None, false));
        assert!(status.says("127.0.0.1:7083"));
    }

    #[test]
    fn a_name_that_two_bear_names_nobody() {
        let twice = FORMED.replace(r#""name": "n3""#, r#""name": "n2""#);
        assert_eq!(Status::parse(&twice).unwrap().member("n2"), None);
    }

    #[test]
    fn what_is_not_as_it_should_be_is_named() {
        for (from, to, named) in [
            ("\"ready\": true", "\"ready\": 1", "`ready`"),
            ("\"role\": \"learner\"", "\"role\": \"boss\"", "boss"),
            ("\"alerts\": [\"n3 is down\"]", "\"alerts\": \"n3\"", "`alerts`"),
            ("\"sessions\": 3", "\"sessions\": -3", "`sessions`"),
            ("\"id\": \"b2\"", "\"id\": null", "id"),
        ] {
            assert!(FORMED.contains(from));
            let error = Status::parse(&FORMED.replace(from, to)).unwrap_err();
            assert!(error.contains(named), "{error}");
        }
    }
}
