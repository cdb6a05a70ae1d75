//! What became of the keys of the source, in numbers.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::fate::{Skip, Written};

/// How many types of the source are counted by name: it knows six, and modules add a few.
const MAX_TYPES: usize = 32;

/// Numbers of an import, over all of its runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Keys that the source named.
    pub(super) scanned: u64,
    /// Sessions that are in the target now by this import, and their bytes; in a dry run, that would be.
    pub(super) copied: u64,
    pub(super) bytes: u64,
    pub(super) already_there: u64,
    /// Copied ones that had no lifetime.
    pub(super) without_ttl: u64,
    /// Copied ones that live shorter than they would have.
    pub(super) shortened: u64,
    pub(super) expired: u64,
    /// Copied, and removed again, because the source had no such key any more.
    pub(super) taken_back: u64,
    pub(super) skipped: BTreeMap<&'static str, u64>,
    /// What was no string, by its type.
    pub(super) other_types: BTreeMap<String, u64>,
}

impl Counts {
    pub(super) fn add(&mut self, written: &Written, bytes: usize, has_ttl: bool) {
        match written {
            Written::New { shortened, .. } => {
                self.copied += 1;
                self.bytes += bytes as u64;
                self.shortened += u64::from(*shortened);
                self.without_ttl += u64::from(!has_ttl);
            }
            Written::There => self.already_there += 1,
            Written::Expired => self.expired += 1,
            Written::Skipped(skip) => self.skip(*skip),
        }
    }

    pub(super) fn skip(&mut self, skip: Skip) {
        *self.skipped.entry(skip.name()).or_default() += 1;
    }

    pub(super) fn other_type(&mut self, kind: String) {
        let known = self.other_types.len() < MAX_TYPES || self.other_types.contains_key(&kind);
        *self.other_types.entry(if known { kind } else { "others".to_owned() }).or_default() += 1;
    }

    /// When the keys are gone through from the beginning again: what was copied stays copied.
    pub(super) fn begin_again(&mut self) {
        *self = Self {
            copied: self.copied,
            bytes: self.bytes,
            taken_back: self.taken_back,
            without_ttl: self.without_ttl,
            shortened: self.shortened,
            ..Self::default()
        };
    }

    pub(super) fn json(&self) -> Map<String, Value> {
        let document = json!({
            "scanned": self.scanned,
            "copied": self.copied,
            "bytes": self.bytes,
            "already_there": self.already_there,
            "without_ttl": self.without_ttl,
            "shortened": self.shortened,
            "expired": self.expired,
            "taken_back": self.taken_back,
            "skipped": self.skipped,
            "other_types": self.other_types,
        });
        if let Value::Object(map) = document { map } else { Map::new() }
    }

    /// The same numbers, read back; `None` if it is another document.
    pub(super) fn of_json(document: &Value) -> Option<Self> {
        let number = |name: &str| document[name].as_u64();
        let numbers = |name: &str| {
            let all = document[name].as_object()?.iter();
            all.map(|(name, count)| Some((name.clone(), count.as_u64()?))).collect::<Option<BTreeMap<_, _>>>()
        };
        let mut skipped = BTreeMap::new();
        for (name, count) in numbers("skipped")? {
            skipped.insert(Skip::ALL.iter().find(|skip| skip.name() == name)?.name(), count);
        }
        Some(Self {
            scanned: number("scanned")?,
            copied: number("copied")?,
            bytes: number("bytes")?,
            already_there: number("already_there")?,
            without_ttl: number("without_ttl")?,
            shortened: number("shortened")?,
            expired: number("expired")?,
            taken_back: number("taken_back")?,
            skipped,
            other_types: numbers("other_types")?,
        })
    }
}
