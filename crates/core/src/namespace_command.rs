//! What can be said about namespaces, and the answers. Their bytes are written in `command` and `outcome_wire`.

use crate::{GroupName, NamespaceId, NamespaceSettings, Renewal, RulesVersion};

/// Something about the namespaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamespaceCommand {
    /// Which namespaces there are; said once, by the first leader that can follow such rules. One of them is `sessions`.
    Seed(Vec<NamespaceSettings>),
    /// There is one more.
    Create(NamespaceSettings),
    /// A namespace has these settings from now on.
    Set {
        /// Which one.
        namespace: NamespaceId,
        /// Only if it was changed last by the entry at this log index.
        if_changed_at: u64,
        /// What it has from now on.
        settings: NamespaceSettings,
    },
    /// There is one less.
    Drop {
        /// Which one.
        namespace: NamespaceId,
        /// Also if it counts something.
        force: bool,
    },
    /// What a namespace, or one group of it, has is gone.
    Truncate {
        /// Which one.
        namespace: NamespaceId,
        /// `None` for the whole namespace.
        group: Option<GroupName>,
    },
}

impl NamespaceCommand {
    /// The first rules by which it can be followed.
    pub fn rules_needed(&self) -> RulesVersion {
        let renews = |settings: &NamespaceSettings| settings.renewal != Renewal::Never;
        let is_newer = match self {
            Self::Seed(all) => all.iter().any(renews),
            Self::Create(settings) | Self::Set { settings, .. } => renews(settings),
            Self::Drop { .. } | Self::Truncate { .. } => false,
        };
        if is_newer { RulesVersion::RENEWALS } else { RulesVersion::NAMESPACES }
    }
}

/// What became of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct NamespaceChanged {
    /// Which namespace was changed; `sessions` where all were.
    pub namespace: NamespaceId,
    /// The keys that it counts no more.
    pub keys: u64,
    /// Their bytes and those of their values.
    pub bytes: u64,
}

/// Why nothing became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, serde::Serialize, serde::Deserialize)]
pub enum NamespaceRefusal {
    /// Nobody has said yet which namespaces there are.
    #[error("the namespaces are not there yet")]
    NotSeeded,
    /// That was said before.
    #[error("the namespaces are there already")]
    Seeded,
    /// There is no such namespace.
    #[error("there is no such namespace")]
    Unknown,
    /// Another namespace has the name.
    #[error("a namespace has that name already")]
    NameTaken {
        /// That one.
        by: NamespaceId,
    },
    /// The base URI overlaps with that of another namespace.
    #[error("the base URI overlaps with that of another namespace")]
    BaseUriTaken {
        /// Of that one.
        by: NamespaceId,
    },
    /// There are [`MAX_NAMESPACES`](crate::MAX_NAMESPACES).
    #[error("there are as many namespaces as there may be")]
    TooMany,
    /// It was changed by another entry since.
    #[error("the namespace was changed meanwhile")]
    Changed,
    /// It counts something.
    #[error("the namespace is not empty")]
    NotEmpty {
        /// So many keys.
        keys: u64,
        /// So many bytes.
        bytes: u64,
    },
    /// It counts more than a new quota would allow.
    #[error("the namespace has more than the new quota allows")]
    QuotaBelow {
        /// So many keys.
        keys: u64,
        /// So many bytes.
        bytes: u64,
    },
    /// The namespace counts nothing of such a group.
    #[error("the namespace has no such group")]
    UnknownGroup,
    /// So many groups were truncated one by one that no more can be remembered.
    #[error("too many groups of the namespace were truncated one by one")]
    TooManyGroups,
}
