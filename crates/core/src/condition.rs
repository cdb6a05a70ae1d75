use crate::{Record, Version};

/// The most versions that one condition may list: a client compares with what it has seen, and has seen few.
pub const MAX_CONDITION_VERSIONS: usize = 16;

/// What must hold of the key's live record for a command to have an effect (RFC 9110, 13.1).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Condition {
    /// Anything goes.
    #[default]
    None,
    /// There is no live record (`If-None-Match: *`).
    Absent,
    /// There is one (`If-Match: *`).
    Present,
    /// There is one and its version is one of these (`If-Match: "…"`).
    Matches(Vec<Version>),
    /// There is none, or its version is none of these (`If-None-Match: "…"`).
    Differs(Vec<Version>),
}

impl Condition {
    /// Whether it holds of the live record, or of there being none.
    pub fn holds(&self, live: Option<&Record>) -> bool {
        match (self, live) {
            (Self::None, _) | (Self::Absent, None) | (Self::Present, Some(_)) | (Self::Differs(_), None) => true,
            (Self::Absent, Some(_)) | (Self::Present | Self::Matches(_), None) => false,
            (Self::Matches(versions), Some(record)) => versions.contains(&record.header.version),
            (Self::Differs(versions), Some(record)) => !versions.contains(&record.header.version),
        }
    }
}
