use std::collections::{BTreeMap, VecDeque};

use parking_lot::RwLock;
use sessile_store::{KeyHash, Member, NodeId};

use super::tls::Handshake;

/// How many nodes are remembered that have proved that they know the join token: twice as many as there may be members.
const MAX_PROVED: usize = 64;

/// By which keys nodes are recognised: members by those that the membership names, and, until this node has heard that they
/// are members, those that have proved that they know the join token.
pub(crate) struct KnownKeys {
    /// There is no TLS here, and nobody is recognised.
    plaintext: bool,
    members: RwLock<BTreeMap<NodeId, Vec<KeyHash>>>,
    /// The oldest first.
    proved: RwLock<VecDeque<(NodeId, KeyHash)>>,
}

/// How a node is to be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Way {
    /// By TLS, if it has one of these keys.
    Keys(Vec<KeyHash>),
    /// Without TLS: it is a member of which no key is known, as one of a program of before.
    Plain,
    /// Not at all: it is known by no key.
    Unknown,
}

/// Who somebody is that says it is a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recognised {
    /// A member.
    Member,
    /// No member that this node has heard of. It has proved that it knows the join token.
    Proved,
    /// No member that this node has heard of, and nothing is proved.
    Unknown,
    /// Somebody else: the member of that id has another key.
    WrongKey,
}

impl KnownKeys {
    /// Of nobody yet.
    pub(crate) fn new(plaintext: bool) -> Self {
        Self { plaintext, members: RwLock::default(), proved: RwLock::default() }
    }

    /// Whether there is no TLS here, by the operator's choice.
    pub(crate) fn plaintext(&self) -> bool {
        self.plaintext
    }

    /// From now on these are the members.
    pub(crate) fn members_are<'a>(&self, members: impl Iterator<Item = (&'a NodeId, &'a Member)>) {
        *self.members.write() = members.map(|(node, member)| (*node, member.keys.clone())).collect();
    }

    /// That node has proved with that key that it knows the join token.
    pub(super) fn has_proved(&self, node: NodeId, key: KeyHash) {
        let mut proved = self.proved.write();
        proved.retain(|(other, _)| *other != node);
        if proved.len() >= MAX_PROVED {
            proved.pop_front();
        }
        proved.push_back((node, key));
    }

    /// That node did not answer with the key that it had proved. A member that is known by no other one may be of a program
    /// of before again.
    pub(super) fn forget(&self, node: NodeId) {
        if self.members.read().get(&node).is_some_and(Vec::is_empty) {
            self.proved.write().retain(|(other, _)| *other != node);
        }
    }

    /// Whether some member has no key yet, so that it is spoken with without TLS.
    pub(crate) fn some_have_none(&self) -> bool {
        self.members.read().values().any(Vec::is_empty)
    }

    /// Whether that node is a member with a key.
    pub(super) fn is_recognised_by_key(&self, node: NodeId) -> bool {
        !self.plaintext && self.members.read().get(&node).is_some_and(|keys| !keys.is_empty())
    }

    /// How that node is reached.
    pub(super) fn way_to(&self, node: NodeId) -> Way {
        if self.plaintext {
            return Way::Plain;
        }
        let named = self.members.read().get(&node).cloned();
        match (named, self.proved_by(node)) {
            (Some(keys), _) if !keys.is_empty() => Way::Keys(keys),
            (_, Some(key)) => Way::Keys(vec![key]),
            (Some(_), None) => Way::Plain,
            (None, None) => Way::Unknown,
        }
    }

    /// Who somebody is that says it is that node, and of whom a handshake proved that.
    pub(super) fn recognise(&self, node: NodeId, handshake: Option<Handshake>) -> Recognised {
        if self.plaintext {
            return Recognised::Member;
        }
        let key = handshake.and_then(|handshake| handshake.key);
        match self.members.read().get(&node) {
            Some(keys) if keys.is_empty() || key.is_some_and(|key| keys.contains(&key)) => Recognised::Member,
            Some(_) => Recognised::WrongKey,
            None if key.is_some() && key == self.proved_by(node) => Recognised::Proved,
            None => Recognised::Unknown,
        }
    }

    fn proved_by(&self, node: NodeId) -> Option<KeyHash> {
        self.proved.read().iter().find(|(other, _)| *other == node).map(|(_, key)| *key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> NodeId {
        NodeId::from(number)
    }

    fn key(number: u8) -> KeyHash {
        KeyHash::new([number; 32])
    }

    fn shows(number: u8) -> Option<Handshake> {
        Some(Handshake { key: Some(key(number)), exporter: [0; 32] })
    }

    fn known(members: &[(u64, &[u8])]) -> KnownKeys {
        let known = KnownKeys::new(false);
        let members: BTreeMap<NodeId, Member> = members
            .iter()
            .map(|(node, keys)| {
                (id(*node), Member { keys: keys.iter().copied().map(key).collect(), ..Member::default() })
            })
            .collect();
        known.members_are(members.iter());
        known
    }

    #[test]
    fn a_member_is_recognised_by_the_keys_that_the_membership_names_and_by_no_other() {
        let known = known(&[(1, &[1]), (2, &[2, 22])]);
        for (node, shown, recognised) in [
            (1, shows(1), Recognised::Member),
            (2, shows(22), Recognised::Member),
            (1, shows(2), Recognised::WrongKey),
            (1, None, Recognised::WrongKey),
            (1, Some(Handshake::PLAIN), Recognised::WrongKey),
            (3, shows(3), Recognised::Unknown),
            (3, None, Recognised::Unknown),
        ] {
            assert_eq!(known.recognise(id(node), shown), recognised, "{node} {shown:?}");
        }
        known.has_proved(id(1), key(9));
        assert_eq!(known.recognise(id(1), shows(9)), Recognised::WrongKey, "a token makes nobody another member");
        known.has_proved(id(3), key(3));
        assert_eq!(known.recognise(id(3), shows(3)), Recognised::Proved);
        assert_eq!(known.recognise(id(3), None), Recognised::Unknown, "not on this connection");
        assert_eq!((known.way_to(id(1)), known.way_to(id(3))), (Way::Keys(vec![key(1)]), Way::Keys(vec![key(3)])));
        assert_eq!(known.way_to(id(4)), Way::Unknown);
        assert!(!known.some_have_none());
    }

    #[test]
    fn while_a_member_has_no_key_it_alone_is_spoken_with_without_tls() {
        let known = known(&[(1, &[1]), (2, &[])]);
        assert!(known.some_have_none());
        assert_eq!((known.way_to(id(2)), known.recognise(id(2), None)), (Way::Plain, Recognised::Member));
        assert_eq!(known.recognise(id(1), None), Recognised::WrongKey);
        known.has_proved(id(2), key(2));
        assert_eq!(known.way_to(id(2)), Way::Keys(vec![key(2)]));
        known.forget(id(2));
        assert_eq!(known.way_to(id(2)), Way::Plain, "its program is one of before again");
    }

    #[test]
    fn a_stranger_that_proves_again_and_again_takes_no_more_than_its_room() {
        let known = known(&[]);
        (0..200).for_each(|number| known.has_proved(id(number), key(1)));
        assert_eq!(known.proved.read().len(), MAX_PROVED);
        assert_eq!((known.way_to(id(0)), known.way_to(id(199))), (Way::Unknown, Way::Keys(vec![key(1)])));
    }
}
