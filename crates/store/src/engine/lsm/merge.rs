use std::cmp::Ordering;
use std::collections::BinaryHeap;

use lsm_tree::{UserKey, UserValue};

use crate::engine::guard::Fault;

/// The last thing that happened to a key, as one source has it.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: UserKey,
    /// `None` where the key was removed.
    pub(super) value: Option<UserValue>,
}

/// Entries in ascending order of their keys, each key once.
pub(super) type Source<'a> = Box<dyn Iterator<Item = Result<Entry, Fault>> + Send + 'a>;

/// Several sources as one: in ascending order, and of each key what the newest source has. Ends after the first error.
pub(super) struct MergeIter<'a> {
    /// Newest first.
    sources: Vec<Source<'a>>,
    heads: BinaryHeap<Head>,
    fault: Option<Fault>,
}

/// The next entry of a source.
struct Head {
    entry: Entry,
    /// The source's age: 0 is the newest.
    age: usize,
}

impl<'a> MergeIter<'a> {
    /// Of sources, newest first.
    pub(super) fn new(sources: Vec<Source<'a>>) -> Self {
        let heads = BinaryHeap::with_capacity(sources.len());
        let mut merged = Self { sources, heads, fault: None };
        (0..merged.sources.len()).for_each(|age| merged.advance(age));
        merged
    }

    fn advance(&mut self, age: usize) {
        match self.sources[age].next() {
            Some(Ok(entry)) => self.heads.push(Head { entry, age }),
            Some(Err(fault)) => self.fault = Some(fault),
            None => {}
        }
    }
}

impl Iterator for MergeIter<'_> {
    type Item = Result<Entry, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.fault.is_none() {
            let Head { entry, age } = self.heads.pop()?;
            self.advance(age);
            while let Some(older) = self.heads.peek()
                && older.entry.key == entry.key
            {
                let age = older.age;
                self.heads.pop();
                self.advance(age);
            }
            if self.fault.is_none() {
                return Some(Ok(entry));
            }
        }
        // What lies behind a damaged block is not to be taken for the next entry.
        self.sources.clear();
        self.heads.clear();
        self.fault.take().map(Err)
    }
}

/// The greatest is the one to go first: the smallest key, and of equal ones the newest.
impl Ord for Head {
    fn cmp(&self, other: &Self) -> Ordering {
        other.entry.key.cmp(&self.entry.key).then(other.age.cmp(&self.age))
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Head {}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(entries: &'static [(&str, Option<&str>)]) -> Source<'static> {
        Box::new(entries.iter().map(|(key, value)| {
            if *key == "damaged" {
                return Err(Fault::Library("damaged".to_owned()));
            }
            Ok(Entry { key: UserKey::from(*key), value: value.map(UserValue::from) })
        }))
    }

    fn merged(sources: Vec<Source<'static>>) -> Vec<Result<(String, Option<String>), ()>> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let pair = |entry: Entry| (text(&entry.key), entry.value.as_deref().map(text));
        MergeIter::new(sources).map(|entry| entry.map(pair).map_err(|_| ())).collect()
    }

    #[test]
    fn of_each_key_the_newest_source_decides() {
        let newest = source(&[("b", None), ("c", Some("3"))]);
        let middle = source(&[("a", Some("2")), ("b", Some("2")), ("e", Some("2"))]);
        let oldest = source(&[("a", Some("1")), ("b", Some("1")), ("c", Some("1")), ("d", Some("1"))]);
        let all = [("a", Some("2")), ("b", None), ("c", Some("3")), ("d", Some("1")), ("e", Some("2"))];
        let all = all.map(|(key, value)| Ok((key.to_owned(), value.map(str::to_owned))));
        assert_eq!(merged(vec![newest, middle, oldest]), all);
    }

    #[test]
    fn nothing_comes_after_an_error_and_nothing_that_it_may_have_hidden_before() {
        let damaged = source(&[("a", Some("1")), ("damaged", None), ("c", Some("1"))]);
        let whole = source(&[("b", Some("2")), ("d", Some("2"))]);
        assert_eq!(merged(vec![damaged, whole]), [Err(())], "what stands behind `a` is not known");
    }
}
