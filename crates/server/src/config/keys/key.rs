use std::ops::RangeInclusive;
use std::time::Duration;

/// A block of keys.
#[derive(Debug)]
pub(in crate::config) struct KeyBlock {
    /// Its whole name, such as `admin.tls`; the top of the file has none.
    pub(in crate::config) name: &'static str,
    /// What it is about, in sentences.
    pub(in crate::config) words: &'static str,
    /// What may stand in it.
    pub(in crate::config) keys: &'static [Key],
}

/// A key: all that is known of it, but for what is checked by a function of its own.
#[derive(Debug)]
pub(in crate::config) struct Key {
    /// Its name in its block.
    pub(in crate::config) name: &'static str,
    /// What its value must be.
    pub(in crate::config) takes: Takes,
    /// What holds where it is left out.
    pub(in crate::config) default: Fallback,
    /// What it means, in sentences.
    pub(in crate::config) words: &'static str,
}

/// What the value of a key must be.
#[derive(Debug)]
pub(in crate::config) enum Takes {
    /// A text, and what it must be: "the path of a directory".
    Text(fn() -> String),
    /// A list of texts, and what each must be.
    Texts(&'static str),
    /// `true` or `false`.
    Flag,
    /// One of these words.
    Word(fn() -> Vec<&'static str>),
    /// A whole number.
    Number(Number),
    /// A block of keys.
    Block,
    /// A list of blocks.
    Blocks,
    /// Anything: nothing reads it.
    Anything,
}

impl Takes {
    /// Whether it is one value, or several of a kind, as a variable of the environment can hold it.
    pub(in crate::config) fn is_value(&self) -> bool {
        !matches!(self, Self::Block | Self::Blocks | Self::Anything)
    }
}

/// A whole number between two bounds.
#[derive(Debug)]
pub(in crate::config) struct Number {
    /// In the plural, such as `seconds`; empty where it only counts.
    pub(in crate::config) unit: &'static str,
    /// The bounds, both of them allowed.
    pub(in crate::config) range: RangeInclusive<u64>,
    /// What happens at the lower bound.
    pub(in crate::config) least: &'static str,
    /// What happens at the upper bound.
    pub(in crate::config) most: &'static str,
}

impl Number {
    /// "a whole number of seconds from 1 to 5".
    pub(in crate::config) fn expected(&self) -> String {
        let of = if self.unit.is_empty() { String::new() } else { format!(" of {}", self.unit) };
        format!("a whole number{of} from {} to {}", self.range.start(), self.range.end())
    }
}

/// What holds where a key is left out.
#[derive(Debug)]
pub(in crate::config) enum Fallback {
    /// That number.
    Number(u64),
    /// That text or word.
    Text(&'static str),
    /// That.
    Flag(bool),
    /// A number or a text, and another one in Kask's file.
    Differs { sessile: &'static Fallback, kask: &'static Fallback },
    /// What follows from other things, in words.
    Follows(&'static str),
}

impl Fallback {
    /// The one of that file.
    fn of(&self, kask: bool) -> &Self {
        match self {
            Self::Differs { kask: its, .. } if kask => its,
            Self::Differs { sessile, .. } => sessile,
            same => same,
        }
    }

    /// The number, of a key that takes one.
    pub(in crate::config) fn number(&self, kask: bool) -> u64 {
        match self.of(kask) {
            Self::Number(number) => *number,
            other => unreachable!("{other:?} is declared where a number is wanted"),
        }
    }

    /// The text, of a key that takes one.
    pub(in crate::config) fn text(&self, kask: bool) -> &'static str {
        match self.of(kask) {
            Self::Text(text) => text,
            other => unreachable!("{other:?} is declared where a text is wanted"),
        }
    }

    /// Whether it is so, of a key that is a flag.
    pub(in crate::config) fn flag(&self) -> bool {
        match self {
            Self::Flag(flag) => *flag,
            other => unreachable!("{other:?} is declared where a flag is wanted"),
        }
    }
}

/// Whole milliseconds, for tables.
pub(super) const fn millis(duration: Duration) -> u64 {
    duration.as_secs() * 1_000 + duration.subsec_millis() as u64
}
