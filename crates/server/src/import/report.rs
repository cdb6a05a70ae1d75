//! What an import did, for people and for programs.

use std::time::Duration;

use serde_json::{Value, json};

use super::args::Import;
use super::counts::Counts;
use super::fate::Skip;
use super::progress::grouped;
use super::state::State;

/// What one run of the command did.
pub(super) struct Report<'a> {
    pub(super) import: &'a Import,
    pub(super) state: &'a State,
    pub(super) lasted: Duration,
    /// Copies that were not looked for in the source again, because it ended before.
    pub(super) unchecked: u64,
}

impl Report<'_> {
    /// Whether strings of the source are no sessions in the target.
    pub(super) fn left_something(&self) -> bool {
        !self.state.counts.skipped.is_empty()
    }

    pub(super) fn json(&self) -> Value {
        let mut document = self.state.counts.json();
        document.insert("finished".into(), self.state.finished.into());
        document.insert("dry_run".into(), self.import.dry_run.into());
        document.insert("unchecked".into(), self.unchecked.into());
        document.insert("seconds".into(), json!(self.lasted.as_secs_f64()));
        Value::Object(document)
    }

    pub(super) fn text(&self) -> String {
        let Counts { scanned, copied, bytes, already_there, without_ttl, shortened, expired, taken_back, .. } =
            &self.state.counts;
        let (would, dry) = (if self.import.dry_run { "would be copied" } else { "copied" }, self.import.dry_run);
        let seconds = self.lasted.as_secs_f64();
        let mut text = format!("{} keys looked at, in {seconds:.1} s\n", grouped(*scanned));
        let mut line = |count: u64, words: &str| text += &format!("{:>14}  {words}\n", grouped(count));
        line(*copied, &format!("{would}, {} bytes", grouped(*bytes)));
        if !dry {
            line(*already_there, "were there already, and stay as they are");
        }
        for (count, words) in [
            (*without_ttl, "of the copied never expire in the source, and take the namespace's default"),
            (*shortened, "of the copied expire earlier, at the longest that the namespace gives"),
            (*expired, "expired before they were copied"),
            (*taken_back, "were copied and removed again, as the source has them no more"),
        ] {
            if count > 0 {
                line(count, words);
            }
        }
        for (kind, count) in &self.state.counts.other_types {
            line(*count, &format!("not copied: a {kind}, no string"));
        }
        for skip in Skip::ALL {
            if let Some(count) = self.state.counts.skipped.get(skip.name()) {
                line(*count, &format!("not copied: {}", skip.words()));
            }
        }
        if self.unchecked > 0 {
            line(self.unchecked, "of the copied were not looked for in the source again; who logged out while");
            text += "                they were copied may be logged in there still\n";
        }
        text
    }

    /// How far it was when it ended early, and what goes on.
    pub(super) fn how_far(&self) -> String {
        let Counts { scanned, copied, already_there, .. } = &self.state.counts;
        format!(
            "{} keys were looked at, {} copied, {} were there already; to go on: {}",
            grouped(*scanned),
            grouped(*copied),
            grouped(*already_there),
            self.import.line()
        )
    }
}
