//! Who left the membership, by the history: what the autopilot put another node in the place of may come back by itself, as a
//! new node; what an operator removed or replaced stays out until an operator says otherwise.
//!
//! The history keeps sentences for people. Those about who left are made here and read here, and nowhere else.

use std::collections::{BTreeMap, BTreeSet};

use sessile_core::HistoryEntry;
use sessile_store::NodeId;

/// Who changes the membership without being asked.
pub(crate) const AUTOPILOT: &str = "autopilot";
/// What came of a change that says itself what is so once it is made.
pub(crate) const DONE: &str = "done";

const TAKES_PLACE: &str = " has taken the place of ";
const REMOVED: &str = " was removed, for good";
const DEAD: &str = ", which was dead, has no vote any more";

/// One node has the place of another.
pub(crate) fn takes_place((new_name, new): (&str, NodeId), (old_name, old): (&str, NodeId)) -> String {
    format!("{}{TAKES_PLACE}{}", named(new_name, new), named(old_name, old))
}

/// An operator removed it.
pub(crate) fn was_removed(name: &str, node: NodeId) -> String {
    format!("{}{REMOVED}", named(name, node))
}

/// It was dead, and nobody took its place.
pub(crate) fn was_dead(name: &str, node: NodeId) -> String {
    format!("{}{DEAD}", named(name, node))
}

fn named(name: &str, node: NodeId) -> String {
    format!("{name} (node {node})")
}

/// Who was replaced by the autopilot, with their names, of a history from its oldest entry on. The last word about a node
/// counts.
///
/// A change without a result counts as made: its leader went away, and another one ended what it had begun. Were it not made,
/// its node would be a member still, or whoever removed it would have the last word.
#[derive(Default)]
pub(crate) struct Replaced(BTreeMap<NodeId, String>);

impl Replaced {
    pub(crate) fn read(&mut self, entry: &HistoryEntry) {
        let is_made = entry.result().is_none_or(|result| result == DONE);
        if entry.change().who() != AUTOPILOT {
            if let Some((_, node)) = entry.result().and_then(left) {
                self.0.remove(&node);
            }
        } else if is_made && let Some((name, node)) = left(entry.change().what()) {
            self.0.insert(node, name.to_owned());
        }
    }

    /// Those whose name is free: under one that a member bears nobody is let in.
    pub(crate) fn with_a_free_name<'a>(self, taken: impl Iterator<Item = &'a str>) -> BTreeSet<NodeId> {
        let taken: BTreeSet<&str> = taken.collect();
        self.0.into_iter().filter(|(_, name)| !taken.contains(&**name)).map(|(node, _)| node).collect()
    }
}

/// Whom a sentence says to have left.
fn left(sentence: &str) -> Option<(&str, NodeId)> {
    let suffixes = [REMOVED, DEAD];
    let who = suffixes.into_iter().find_map(|suffix| sentence.strip_suffix(suffix));
    let who = who.or_else(|| sentence.rsplit_once(TAKES_PLACE).map(|(_, old)| old))?;
    let (name, node) = who.strip_suffix(')')?.rsplit_once(" (node ")?;
    Some((name, node.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use sessile_core::{Change, LogTime};

    use super::*;

    const OLD: NodeId = NodeId::from_bits(7);

    fn entry(who: &str, what: &str, result: Option<&str>) -> HistoryEntry {
        HistoryEntry::from_parts(LogTime::from_millis(1), Change::new(who, "a:1", what), result)
    }

    fn replaced(entries: &[HistoryEntry], taken: &[&str]) -> Vec<NodeId> {
        let mut replaced = Replaced::default();
        entries.iter().for_each(|entry| replaced.read(entry));
        replaced.with_a_free_name(taken.iter().copied()).into_iter().collect()
    }

    #[test]
    fn who_left_is_read_from_what_was_said() {
        let new = NodeId::from_bits(8);
        for name in ["n1", "a (node 9) b", "of (x)", " was removed, for good"] {
            for sentence in [takes_place(("n4", new), (name, OLD)), was_removed(name, OLD), was_dead(name, OLD)] {
                assert_eq!(left(&sentence), Some((name, OLD)), "{sentence}");
            }
        }
        for other in ["remove n1", "n4 is a voter now", "n1 (node x) was removed, for good", "", ")"] {
            assert_eq!(left(other), None, "{other}");
        }
    }

    #[test]
    fn what_the_autopilot_replaced_may_come_back_and_what_an_operator_removed_may_not() {
        let dead = was_dead("n1", OLD);
        let by_autopilot = |result| entry(AUTOPILOT, &dead, result);
        let removed = was_removed("n1", OLD);
        let by_hand = entry("root", "remove n1", Some(&removed));
        assert_eq!(replaced(&[by_autopilot(Some(DONE))], &[]), [OLD]);
        assert_eq!(replaced(&[by_autopilot(None)], &[]), [OLD], "another leader ended it");
        assert_eq!(replaced(&[by_autopilot(Some("refused: no quorum"))], &[]), []);
        assert_eq!(replaced(std::slice::from_ref(&by_hand), &[]), []);
        assert_eq!(replaced(&[by_autopilot(None), by_hand], &[]), [], "an operator has the last word");
        assert_eq!(replaced(&[by_autopilot(Some(DONE))], &["n1"]), [], "its place has another one of its name");
        let place = takes_place(("n4", NodeId::from_bits(8)), ("n1", OLD));
        assert_eq!(replaced(&[entry("root", "replace n1 by n4", Some(&place))], &[]), []);
    }
}
