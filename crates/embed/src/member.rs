use std::net::SocketAddr;
use std::time::Duration;

use sessile_cluster::{NodeConfig, PeersConfig, Secret, Timing};

use crate::error::Error;

/// Whose member a node is, and how it finds the others. What it starts with is what `sessile serve` has by default.
///
/// ```
/// use sessile_embed::Member;
///
/// let addresses = ["10.0.0.1:7081", "10.0.0.2:7081", "10.0.0.3:7081"];
/// let member = Member::new("n1", addresses[0], "a secret of at least sixteen bytes").first_members(addresses);
/// assert_eq!(member.expect, Some(3));
/// ```
#[derive(Debug, Clone)]
pub struct Member {
    /// Its label for people, and the name under which a node with an empty disk takes its old one's place: 1 to 63 of
    /// `A-Z a-z 0-9 . _ -`.
    pub name: String,
    /// `HOST:PORT` where it listens for the others and for operators.
    pub listen: String,
    /// `HOST:PORT` at which the others reach it; `None` for `listen`, or what that is bound to if its port is 0.
    pub advertise: Option<String>,
    /// `HOST:PORT` of the first members, or of some members of the cluster that it is to join.
    pub seeds: Vec<String>,
    /// How many seeds make the first cluster; `None` to join one, or to wait for `sessile cluster init`.
    pub expect: Option<usize>,
    /// What proves that a node may join: the same for all. Never sent.
    pub join_token: Secret,
    /// Whether members speak without TLS: then whoever reaches their port is one.
    pub plaintext: bool,
    /// How long a new node listens for a cluster before it takes part in making one.
    pub listen_for: Duration,
    /// How long a learner must have been healthy before it becomes a voter.
    pub stabilise: Duration,
    /// How long a voter must have been silent before a newcomer of another name takes its place.
    pub dead_after: Duration,
    /// How far voters are from each other at the most, and what follows from that.
    pub timing: Timing,
    /// Whether members come, go and change by themselves.
    pub autopilot: bool,
    /// The most connections that it keeps open on `listen`.
    pub max_connections: usize,
}

impl Member {
    /// The longest name, in bytes.
    pub const MAX_NAME_BYTES: usize = 63;

    /// A member that knows of no others. `join_token` is a secret that all members share, of 16 bytes at least, such as
    /// `sessile cluster new-token` prints.
    pub fn new(name: impl Into<String>, listen: impl Into<String>, join_token: &str) -> Self {
        Self {
            name: name.into(),
            listen: listen.into(),
            advertise: None,
            seeds: Vec::new(),
            expect: None,
            join_token: Secret::new(join_token),
            plaintext: false,
            listen_for: PeersConfig::DEFAULT_LISTEN,
            stabilise: PeersConfig::DEFAULT_STABILISE,
            dead_after: PeersConfig::DEFAULT_DEAD_AFTER,
            timing: Timing::default(),
            autopilot: true,
            max_connections: NodeConfig::DEFAULT_MAX_CONNECTIONS,
        }
    }

    /// These make the first cluster, this one among them; and it joins the cluster that they know of, if there is one. The
    /// same list goes to each of them.
    #[must_use]
    pub fn first_members(self, addresses: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let joins = self.joins(addresses);
        Self { expect: Some(joins.seeds.len()), ..joins }
    }

    /// It joins the cluster that any of these is a member of, and waits until there is one.
    #[must_use]
    pub fn joins(self, addresses: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let mut seeds: Vec<String> = Vec::new();
        for address in addresses.into_iter().map(Into::into) {
            if !seeds.contains(&address) {
                seeds.push(address);
            }
        }
        Self { seeds, expect: None, ..self }
    }

    /// Whether that can be a member's name.
    pub fn is_name(text: &str) -> bool {
        (1..=Self::MAX_NAME_BYTES).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    }

    /// What a program that writes its configuration in Rust may get wrong.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let wrong = |sentence: String| Err(Error::Config(sentence));
        if !Self::is_name(&self.name) {
            let most = Self::MAX_NAME_BYTES;
            return wrong(format!(
                "the member's name {:?} must be 1 to {most} characters of A-Z, a-z, 0-9, `.`, `_` and `-`, such as n1",
                self.name
            ));
        }
        if self.advertise.is_none() && self.listens_everywhere() {
            return wrong(format!(
                "member {} listens on {}, which no other machine can connect to; say in `advertise` at which address they \
                 reach this one",
                self.name, self.listen
            ));
        }
        if self.join_token.could_be_guessed() {
            let least = Secret::MIN_BYTES;
            return wrong(format!(
                "the join token of member {} is shorter than {least} bytes, and could be guessed; take what `sessile \
                 cluster new-token` prints",
                self.name
            ));
        }
        match self.expect {
            None => Ok(()),
            Some(0 | 1) => wrong(format!(
                "member {} expects to be alone; a cluster of one has no `member`, or name two first members at least",
                self.name
            )),
            Some(expect) if expect != self.seeds.len() => wrong(format!(
                "member {} expects {expect} first members, and its seeds are {} addresses; name every first member once",
                self.name,
                self.seeds.len()
            )),
            Some(_) => self.check_own_address(),
        }
    }

    fn listens_everywhere(&self) -> bool {
        self.listen.parse().is_ok_and(|address: SocketAddr| address.ip().is_unspecified())
    }

    /// A first member is one of its own seeds: nobody would wait for it otherwise.
    fn check_own_address(&self) -> Result<(), Error> {
        let own = self.advertise.as_ref().unwrap_or(&self.listen);
        if self.seeds.contains(own) {
            return Ok(());
        }
        Err(Error::Config(format!(
            "the first members lack the address of member {}, {own}; add it as it stands in `advertise`, or in `listen` \
             where there is none",
            self.name
        )))
    }

    /// What the node is told of the others once `listen` is bound to that address.
    pub(crate) fn peers(&self, bound: SocketAddr) -> PeersConfig {
        // A name stays a name: the machine may come to have another address.
        let listens = if self.listen.ends_with(":0") { bound.to_string() } else { self.listen.clone() };
        PeersConfig {
            advertise: self.advertise.clone().unwrap_or(listens),
            seeds: self.seeds.clone(),
            expect: self.expect,
            join_token: self.join_token.clone(),
            plaintext: self.plaintext,
            listen_for: self.listen_for,
            stabilise: self.stabilise,
            dead_after: self.dead_after,
            autopilot: self.autopilot,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "a token of the tests";

    #[test]
    fn what_can_be_no_member_is_refused_with_a_sentence_that_names_it() {
        let of = |name: &str, token: &str| Member::new(name, "127.0.0.1:7081", token);
        let first = |addresses: &[&str]| of("n1", TOKEN).first_members(addresses.iter().copied());
        for (member, said) in [
            (of("", TOKEN), "the member's name \"\" must be"),
            (of("a b", TOKEN), "the member's name \"a b\" must be"),
            (of(&"n".repeat(64), TOKEN), "the member's name"),
            (of("n1", "guessable"), "is shorter than 16 bytes"),
            (Member::new("n1", "0.0.0.0:7081", TOKEN), "which no other machine can connect to"),
            (first(&["127.0.0.1:7081"]), "expects to be alone"),
            (first(&["127.0.0.1:7082", "127.0.0.1:7083"]), "lack the address of member n1, 127.0.0.1:7081"),
            (Member { expect: Some(3), ..of("n1", TOKEN) }, "its seeds are 0 addresses"),
        ] {
            let refused = member.check().unwrap_err().to_string();
            assert!(refused.contains(said) && !refused.contains("guessable"), "{refused}");
        }
        let elsewhere = Member { advertise: Some("n1.example:7081".into()), ..of("n1", TOKEN) };
        for member in [
            of(&"n".repeat(63), TOKEN),
            first(&["127.0.0.1:7081", "127.0.0.1:7081", "127.0.0.1:7082"]),
            elsewhere.first_members(["n1.example:7081", "n2.example:7081"]),
            of("n4", TOKEN).joins(["127.0.0.1:7082"]),
        ] {
            member.check().unwrap();
        }
    }

    #[test]
    fn a_member_advertises_where_it_listens_unless_it_says_where() {
        let bound = "127.0.0.1:4711".parse().unwrap();
        for (listen, advertise, expected) in [
            ("127.0.0.1:0", None, "127.0.0.1:4711"),
            ("n1.example:7081", None, "n1.example:7081"),
            ("0.0.0.0:7081", Some("n1.example:7081"), "n1.example:7081"),
        ] {
            let member = Member { advertise: advertise.map(str::to_owned), ..Member::new("n1", listen, TOKEN) };
            member.check().unwrap();
            assert_eq!(member.peers(bound).advertise, expected);
        }
    }
}
