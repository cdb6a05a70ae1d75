use std::collections::BTreeMap;

use crate::{
    BaseUri, Bucket, GroupName, MAX_NAMESPACES, NamespaceId, NamespaceName, NamespaceSettings, NamespaceToken,
    TokenName,
};

/// The namespaces there are, as the log has made them. Small, and replaced whole where it is shared, so whoever holds one
/// sees one moment of it.
///
/// Invariants, held by the rules of [`NamespaceCommand`](crate::NamespaceCommand):
/// - until it is seeded it has `sessions` alone, without limits;
/// - at most [`MAX_NAMESPACES`]; no two have one name, and no two overlap in their base URIs;
/// - a namespace has at most [`MAX_TOKENS`](crate::MAX_TOKENS), no two of one name or hash;
/// - an id is given once: none is above `last_id`, and one that was dropped does not come back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespaceTable {
    last_id: Option<NamespaceId>,
    namespaces: BTreeMap<NamespaceId, Namespace>,
}

/// One namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespace {
    /// What an operator chose.
    pub settings: NamespaceSettings,
    /// The log index of the entry that changed it last; 0 if none did.
    pub changed_at: u64,
    /// What was written under an older generation is absent.
    pub(crate) generation: u64,
    /// The newest generation that was given, to the namespace or to one of its groups.
    pub(crate) last_generation: u64,
    /// The groups that were truncated and may still have records of before.
    pub(crate) truncated: BTreeMap<GroupName, TruncatedGroup>,
    /// Whoever wants something needs one of these; if there is none, nobody needs any.
    pub(crate) tokens: BTreeMap<TokenName, NamespaceToken>,
}

/// A group that was truncated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TruncatedGroup {
    /// What was written under an older generation of the group is absent.
    pub generation: u64,
    /// When this has passed, all of that has expired.
    pub until: Bucket,
}

/// A namespace without its truncated groups and its tokens, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct StoredNamespace {
    /// What an operator chose.
    pub settings: NamespaceSettings,
    /// The log index of the entry that changed it last.
    pub changed_at: u64,
    /// What was written under an older generation is absent.
    pub generation: u64,
    /// The newest generation that was given, to the namespace or to one of its groups.
    pub last_generation: u64,
}

impl Default for NamespaceTable {
    fn default() -> Self {
        let sessions = NamespaceSettings::unlimited(NamespaceName::sessions(), BaseUri::default());
        Self::of([sessions])
    }
}

impl NamespaceTable {
    /// These, by the configuration of a node and not by the log; the first has the id of `sessions`.
    pub fn of(all: impl IntoIterator<Item = NamespaceSettings>) -> Self {
        let ids = (NamespaceId::SESSIONS.number()..).map(NamespaceId::new);
        let namespaces = ids.zip(all).map(|(id, settings)| (id, Namespace::new(settings, 0)));
        Self { last_id: None, namespaces: namespaces.collect() }
    }

    /// Whether it was said which namespaces there are. Until then each node goes by its own configuration.
    pub fn is_seeded(&self) -> bool {
        self.last_id.is_some()
    }

    /// The highest id that was ever given; `None` until it is seeded.
    pub(crate) fn last_id(&self) -> Option<NamespaceId> {
        self.last_id
    }

    /// One namespace.
    pub fn get(&self, id: NamespaceId) -> Option<&Namespace> {
        self.namespaces.get(&id)
    }

    /// Whether it was there and was dropped. One that this table does not know yet is not gone.
    pub fn is_gone(&self, id: NamespaceId) -> bool {
        self.last_id.is_some_and(|last| id <= last) && !self.namespaces.contains_key(&id)
    }

    /// The namespace of that name.
    pub fn named(&self, name: &str) -> Option<(NamespaceId, &Namespace)> {
        self.iter().find(|(_, namespace)| namespace.settings.name.as_str() == name)
    }

    /// The namespace whose base URI that is, with a slash at both ends.
    pub fn under(&self, base_uri: &[u8]) -> Option<(NamespaceId, &Namespace)> {
        self.iter().find(|(_, namespace)| namespace.settings.base_uri.as_str().as_bytes() == base_uri)
    }

    /// All of them, in the order in which they were made.
    pub fn iter(&self) -> impl Iterator<Item = (NamespaceId, &Namespace)> {
        self.namespaces.iter().map(|(id, namespace)| (*id, namespace))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.namespaces.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.namespaces.is_empty()
    }

    /// A namespace's name for people; its number if there is none.
    pub fn name_of(&self, id: NamespaceId) -> String {
        self.get(id).map_or_else(|| id.to_string(), |namespace| namespace.settings.name.as_str().to_owned())
    }

    /// Says which namespaces there are. What they have is that of those with the same id before.
    pub(crate) fn seed(&mut self, all: impl IntoIterator<Item = (NamespaceId, NamespaceSettings)>, index: u64) {
        let before = std::mem::take(&mut self.namespaces);
        self.last_id = Some(NamespaceId::SESSIONS);
        for (id, settings) in all {
            self.last_id = self.last_id.max(Some(id));
            let kept = before.get(&id).cloned();
            let namespace = kept.unwrap_or_else(|| Namespace::new(settings.clone(), index));
            self.namespaces.insert(id, Namespace { settings, changed_at: index, ..namespace });
        }
        debug_assert!(self.namespaces.len() <= MAX_NAMESPACES, "the rules count them before");
    }

    /// The next id, which is taken with that.
    pub(crate) fn add(&mut self, settings: NamespaceSettings, index: u64) -> NamespaceId {
        let last = self.last_id.unwrap_or(NamespaceId::SESSIONS);
        let id = NamespaceId::new(last.number().saturating_add(1));
        self.last_id = Some(id);
        self.namespaces.insert(id, Namespace::new(settings, index));
        id
    }

    pub(crate) fn get_mut(&mut self, id: NamespaceId) -> Option<&mut Namespace> {
        self.namespaces.get_mut(&id)
    }

    pub(crate) fn remove(&mut self, id: NamespaceId) -> Option<Namespace> {
        self.namespaces.remove(&id)
    }

    /// Puts back that it was seeded, and the highest id that was given. What is restored after that is all there is.
    pub(crate) fn restore_last_id(&mut self, last: NamespaceId) {
        self.last_id = Some(last);
        self.namespaces.clear();
    }

    /// Puts a stored namespace back.
    pub(crate) fn restore(&mut self, id: NamespaceId, stored: StoredNamespace) {
        let StoredNamespace { settings, changed_at, generation, last_generation } = stored;
        let (truncated, tokens) = (BTreeMap::new(), BTreeMap::new());
        self.namespaces.insert(id, Namespace { settings, changed_at, generation, last_generation, truncated, tokens });
    }
}

impl Namespace {
    fn new(settings: NamespaceSettings, changed_at: u64) -> Self {
        let (truncated, tokens) = (BTreeMap::new(), BTreeMap::new());
        Self { settings, changed_at, generation: 0, last_generation: 0, truncated, tokens }
    }

    /// The tokens of which whoever wants something must show one; if there is none, the namespace is open.
    pub fn tokens(&self) -> &BTreeMap<TokenName, NamespaceToken> {
        &self.tokens
    }

    /// As it is stored, without its truncated groups and tokens.
    pub(crate) fn stored(&self) -> StoredNamespace {
        StoredNamespace {
            settings: self.settings.clone(),
            changed_at: self.changed_at,
            generation: self.generation,
            last_generation: self.last_generation,
        }
    }

    /// What was written under an older generation of the group is absent.
    pub(crate) fn group_generation(&self, group: &str) -> u64 {
        // Nearly always there is none.
        if self.truncated.is_empty() { 0 } else { self.truncated.get(group).map_or(0, |group| group.generation) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_was_dropped_does_not_come_back() {
        let settings =
            |name: &str| NamespaceSettings::unlimited(NamespaceName::new(name).unwrap(), BaseUri::new(name).unwrap());
        let mut table = NamespaceTable::default();
        assert!(!table.is_seeded());
        table.seed([(NamespaceId::SESSIONS, settings("sessions"))], 5);
        let second = table.add(settings("echo"), 6);
        assert_eq!(
            (second, table.under(b"/echo/").unwrap().0, table.named("echo").unwrap().0),
            (second, second, second)
        );
        table.remove(second);
        assert!(table.get(second).is_none() && table.under(b"/echo/").is_none());
        assert!(table.is_gone(second) && !table.is_gone(NamespaceId::new(3)), "what is to come is not gone");
        assert_eq!(table.add(settings("echo"), 7), NamespaceId::new(3));
    }
}
