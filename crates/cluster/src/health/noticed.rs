use std::collections::{BTreeMap, BTreeSet};

use parking_lot::Mutex;
use sessile_store::NodeId;

/// What an operator should look at and no report says, as sentences.
#[derive(Default)]
pub(super) struct Noticed {
    /// What the autopilot waits for an operator to look at.
    concerns: Mutex<BTreeSet<String>>,
    /// Members at whose address a node of another cluster answers.
    strangers: Mutex<BTreeMap<NodeId, String>>,
}

impl Noticed {
    /// From now on the autopilot waits for that. Says what of it is news.
    pub(super) fn concerns_are(&self, concerns: BTreeSet<String>) -> Vec<String> {
        let mut known = self.concerns.lock();
        let news = concerns.difference(&known).cloned().collect();
        *known = concerns;
        news
    }

    /// A member answers at its address.
    pub(super) fn answers(&self, member: NodeId) {
        self.strangers.lock().remove(&member);
    }

    /// A node of another cluster answers at a member's address. Says whether that is news.
    pub(super) fn stranger_answers(&self, member: NodeId, text: &str) -> bool {
        let known = self.strangers.lock().insert(member, text.to_owned());
        known.as_deref() != Some(text)
    }

    pub(super) fn sentences(&self) -> Vec<String> {
        let mut sentences: Vec<String> = self.strangers.lock().values().cloned().collect();
        sentences.extend(self.concerns.lock().iter().cloned());
        sentences
    }
}
