use std::collections::BTreeMap;

use crate::{GroupName, Header, NamespaceId, SessionKey, State, Tally};

/// Counts the records anew, to be held against the counts that [`State`] kept.
#[derive(Debug, Default)]
pub struct Recount(BTreeMap<(NamespaceId, GroupName), Tally>);

impl Recount {
    /// Counts one stored record, if it counts.
    pub fn add(&mut self, state: &State, namespace: NamespaceId, key: &SessionKey, header: &Header) {
        if let Some(name) = state.counted_in(namespace, key, header) {
            let name = GroupName::new(name.as_bytes()).unwrap_or_default();
            self.0.entry((namespace, name)).or_default().add(&Tally::of_record(namespace, key, header));
        }
    }

    /// The first group whose counts differ: its name, what the state kept, and what is there.
    pub fn difference(&self, state: &State) -> Option<(NamespaceId, GroupName, Tally, Tally)> {
        let kept = state
            .namespaces()
            .iter()
            .flat_map(|(id, _)| state.groups(id).map(move |(name, total)| ((id, name.clone()), total)));
        let kept: BTreeMap<_, _> = kept.collect();
        kept.keys().chain(self.0.keys()).find_map(|key| {
            let count = |counts: &BTreeMap<_, Tally>| counts.get(key).copied().unwrap_or_default();
            let (kept, there) = (count(&kept), count(&self.0));
            (kept != there).then(|| (key.0, key.1.clone(), kept, there))
        })
    }
}
