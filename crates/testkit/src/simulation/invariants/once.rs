use std::collections::BTreeMap;

use crate::Value;

/// A write has its effect once, however often it is tried: no two writes store the same value here, so a value that is shown
/// under two entity tags was stored twice (A retry recognises itself).
#[derive(Default)]
pub(in super::super) struct Once {
    tags: BTreeMap<(String, Value), String>,
    twice: Option<String>,
}

impl Once {
    /// A client was shown that.
    pub(in super::super) fn shows(&mut self, key: &str, value: Value, tag: &str) {
        let known = self.tags.entry((key.to_owned(), value)).or_insert_with(|| tag.to_owned());
        if known != tag {
            let twice = format!("{value:x} of {key} was shown as {known} and as {tag}: it was stored twice");
            self.twice.get_or_insert(twice);
        }
    }

    /// What was stored twice.
    pub(in super::super) fn twice(&self) -> Option<String> {
        self.twice.clone()
    }
}
