//! Which of the rare states can be seen in what the nodes show of themselves.

use std::collections::BTreeMap;

use sessile_store::LogId;

use super::invariants::Seen;
use super::marks::{Mark, Marks};

/// Looks at all nodes again and again.
pub(super) struct RareStates {
    marks: Marks,
    /// What each node's log held at the last look, in which start of its program.
    logs: BTreeMap<String, (u64, BTreeMap<u64, LogId>)>,
    /// Whether two led, and a node without a vote was ahead, at the last look: a state counts when it begins.
    two_led: bool,
    was_ahead: bool,
}

impl RareStates {
    pub(super) fn new(marks: Marks) -> Self {
        Self { marks, logs: BTreeMap::new(), two_led: false, was_ahead: false }
    }

    pub(super) fn look(&mut self, seen: &[Seen<'_>]) {
        let two_lead = seen.iter().filter(|seen| seen.status.leads_in.is_some()).count() > 1;
        if two_lead && !self.two_led {
            self.marks.reach(Mark::TwoLeaders);
        }
        self.two_led = two_lead;
        let is_ahead = is_ahead(seen);
        if is_ahead && !self.was_ahead {
            self.marks.reach(Mark::TermOfNoVoter);
        }
        self.was_ahead = is_ahead;
        for Seen { name, start, log, .. } in seen {
            let log: BTreeMap<u64, LogId> = log.iter().map(|entry| (entry.index, *entry)).collect();
            let known = self.logs.insert((*name).to_owned(), (*start, log.clone()));
            let Some((_, known)) = known.filter(|(before, _)| before == start) else { continue };
            let is_other = |(index, entry): (&u64, &LogId)| log.get(index).is_some_and(|now| now != entry);
            if known.iter().any(is_other) {
                self.marks.reach(Mark::LogOverwritten);
            }
        }
    }
}

/// Whether somebody who has no vote knows a newer term than the leader.
fn is_ahead(seen: &[Seen<'_>]) -> bool {
    let leader = seen.iter().filter(|seen| seen.status.leads_in.is_some()).max_by_key(|seen| seen.status.leads_in);
    leader.is_some_and(|leader| {
        let voters = &leader.status.voters;
        seen.iter().any(|seen| !voters.contains(&seen.status.node) && seen.status.term > leader.status.term)
    })
}
