use std::fmt;

/// The most namespaces. Each is in memory on every member and in its metrics; a farm has a handful of kinds of sessions.
pub const MAX_NAMESPACES: usize = 256;

/// The most groups of a namespace that are counted by name; the keys of further ones are counted together. It bounds
/// memory and metrics whatever keys clients invent. Wikimedia has about 1,000 wikis.
pub const MAX_GROUPS: usize = 2048;

/// The longest name of a namespace, in bytes: it stands in metrics and in every line about it.
pub const MAX_NAMESPACE_NAME_BYTES: usize = 64;

/// A namespace: keys of different namespaces never meet. It is part of the key on disk, in commands and in metrics. Given
/// once, and never to another namespace.
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
}

/// By its number, for whoever does not know its name.
impl fmt::Display for NamespaceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::SESSIONS { f.write_str("sessions") } else { write!(f, "namespace-{}", self.0) }
    }
}

/// The name of a namespace: 1 to [`MAX_NAMESPACE_NAME_BYTES`] of `a-z 0-9 _ -`, a letter first.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NamespaceName(String);

/// Text that is no namespace's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a namespace's name is 1 to {MAX_NAMESPACE_NAME_BYTES} of a-z 0-9 _ -, and begins with a letter")]
pub struct NamespaceNameError;

impl NamespaceName {
    /// Takes the text when it is a namespace's name.
    ///
    /// # Errors
    /// It is none.
    pub fn new(text: &str) -> Result<Self, NamespaceNameError> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
        let begins = text.as_bytes().first().is_some_and(u8::is_ascii_lowercase);
        let valid = begins && text.len() <= MAX_NAMESPACE_NAME_BYTES && text.bytes().all(allowed);
        if valid { Ok(Self(text.to_owned())) } else { Err(NamespaceNameError) }
    }

    /// The name of the first namespace.
    pub fn sessions() -> Self {
        Self("sessions".to_owned())
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NamespaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_short_plain_and_begins_with_a_letter() {
        let longest = "a".repeat(MAX_NAMESPACE_NAME_BYTES);
        for (text, valid) in [
            ("sessions", true),
            ("echo-seen_2", true),
            (&*longest, true),
            (&*format!("{longest}a"), false),
            ("", false),
            ("2nd", false),
            ("Sessions", false),
            ("a b", false),
            ("é", false),
        ] {
            assert_eq!(NamespaceName::new(text).is_ok(), valid, "{text:?}");
        }
    }
}
