//! What was changed about the cluster: by whom, from where, when, what, and with what result. A bounded list that every
//! replica keeps alike.
//!
//! An entry stands in the list before its change begins, and gets its result after the change has ended. One without a
//! result is of a change whose leader went away meanwhile: what became of it is seen elsewhere.

use std::collections::BTreeMap;

use crate::LogTime;

/// The most entries that are kept; the oldest go first. A cluster sees a few changes a week, so this is years; with texts of
/// the greatest length it is 2 MiB.
pub const MAX_HISTORY: usize = 1_000;
/// The most bytes of each text; the rest is cut. A name has 64 of them, an address 260, a sentence about a change 200.
pub const MAX_HISTORY_TEXT: usize = 512;

/// A change that somebody wants.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Change {
    who: String,
    from: String,
    what: String,
}

/// What can be said about a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HistoryCommand {
    /// It begins.
    Begin(Change),
    /// It has ended.
    End {
        /// The log index of its beginning.
        entry: u64,
        /// With what result.
        result: String,
    },
}

/// A change, as the history has it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct HistoryEntry {
    at: LogTime,
    change: Change,
    result: Option<String>,
}

impl Change {
    /// Who wants what, and from where they ask. Each text is cut at [`MAX_HISTORY_TEXT`], and stays on one line.
    pub fn new(who: &str, from: &str, what: &str) -> Self {
        Self { who: one_line(who), from: one_line(from), what: one_line(what) }
    }

    /// Who wants it: an operator, by what they have proved to be, or `autopilot`.
    pub fn who(&self) -> &str {
        &self.who
    }

    /// From where: an address.
    pub fn from(&self) -> &str {
        &self.from
    }

    /// What is to be changed.
    pub fn what(&self) -> &str {
        &self.what
    }
}

impl HistoryCommand {
    /// The end of the change that began at that log index.
    pub fn end(entry: u64, result: &str) -> Self {
        Self::End { entry, result: one_line(result) }
    }
}

impl HistoryEntry {
    /// Puts an entry together again from what the methods below told.
    pub fn from_parts(at: LogTime, change: Change, result: Option<&str>) -> Self {
        Self { at, change, result: result.map(one_line) }
    }

    /// The replicated clock when it began.
    pub fn at(&self) -> LogTime {
        self.at
    }

    /// The change.
    pub fn change(&self) -> &Change {
        &self.change
    }

    /// What came of it; `None` while that is not known.
    pub fn result(&self) -> Option<&str> {
        self.result.as_deref()
    }
}

/// The list, by the log index at which each change began.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct History(BTreeMap<u64, HistoryEntry>);

/// What became of an entry: what it was before, and what it is now.
pub(crate) type Replaced = (u64, Option<HistoryEntry>, Option<HistoryEntry>);

impl History {
    /// Adds a change that begins, and says what that changed: there is one entry more, and perhaps one less.
    pub(crate) fn begin(&mut self, index: u64, at: LogTime, change: Change) -> Vec<Replaced> {
        let entry = HistoryEntry { at, change, result: None };
        let mut replaced = vec![(index, self.0.insert(index, entry.clone()), Some(entry))];
        while self.0.len() > MAX_HISTORY
            && let Some((oldest, gone)) = self.0.pop_first()
        {
            replaced.push((oldest, Some(gone), None));
        }
        replaced
    }

    /// Notes the result of a change, if it is still in the list and has none. Said twice, the first one stays.
    pub(crate) fn end(&mut self, index: u64, result: String) -> Option<Replaced> {
        let entry = self.0.get_mut(&index).filter(|entry| entry.result.is_none())?;
        let before = entry.clone();
        entry.result = Some(result);
        Some((index, Some(before), Some(entry.clone())))
    }

    pub(crate) fn get(&self, index: u64) -> Option<&HistoryEntry> {
        self.0.get(&index)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &HistoryEntry)> {
        self.0.iter().map(|(index, entry)| (*index, entry))
    }

    /// Puts a stored entry back.
    pub(crate) fn restore(&mut self, index: u64, entry: HistoryEntry) {
        self.0.insert(index, entry);
    }
}

fn one_line(text: &str) -> String {
    let mut line: String = text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect();
    line.truncate(line.floor_char_boundary(MAX_HISTORY_TEXT));
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_one_line_of_bounded_length() {
        let long = "é".repeat(MAX_HISTORY_TEXT);
        let change = Change::new("an\noperator", &long, "x");
        assert_eq!((change.who(), change.from().len(), change.what()), ("an operator", MAX_HISTORY_TEXT, "x"));
        assert_eq!(HistoryCommand::end(1, "a\tb"), HistoryCommand::End { entry: 1, result: "a b".to_owned() });
        assert_eq!(Change::new("", &format!("a{long}"), "").from().len(), MAX_HISTORY_TEXT - 1, "no half letter");
    }

    #[test]
    fn the_oldest_go_first_and_the_first_result_stays() {
        let mut history = History::default();
        for index in 0..=MAX_HISTORY as u64 {
            let replaced = history.begin(index, LogTime::from_millis(index), Change::new("a", "b", "c"));
            assert_eq!(replaced.len(), if index < MAX_HISTORY as u64 { 1 } else { 2 });
        }
        assert_eq!(history.iter().count(), MAX_HISTORY);
        assert_eq!(history.end(0, "late".to_owned()), None, "it is not kept any more");
        assert!(history.end(7, "done".to_owned()).is_some() && history.end(7, "again".to_owned()).is_none());
        assert_eq!(history.get(7).and_then(HistoryEntry::result), Some("done"));
    }
}
