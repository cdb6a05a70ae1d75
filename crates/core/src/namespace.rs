use std::fmt;

/// The most groups of a namespace that are counted by name; the keys of further ones are counted together. It bounds
/// memory and metrics whatever keys clients invent. Wikimedia has about 1,000 wikis.
pub const MAX_GROUPS: usize = 2048;

/// A namespace: keys of different namespaces never meet. It is part of the key on disk, in commands and in metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct NamespaceId(u32);

impl NamespaceId {
    /// `sessions`, the first namespace.
    pub const SESSIONS: Self = Self(1);

    /// The namespace with that number.
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// Its number.
    pub const fn number(self) -> u32 {
        self.0
    }

    /// Its name, as metrics and people know it.
    pub fn name(self) -> String {
        if self == Self::SESSIONS { "sessions".to_owned() } else { format!("namespace-{}", self.0) }
    }
}

impl fmt::Display for NamespaceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}
