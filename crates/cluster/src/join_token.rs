use std::fmt;

use subtle::ConstantTimeEq;

/// A shared secret; empty when none is asked for. Shown nowhere, compared in constant time.
#[derive(Clone, Default)]
pub struct JoinToken(String);

impl JoinToken {
    /// From what a file holds; white space around it does not count.
    pub fn new(token: &str) -> Self {
        Self(token.trim().to_owned())
    }

    /// Whether it was given.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether somebody else's is the same. How long it takes tells nothing but the length.
    pub(crate) fn admits(&self, other: &str) -> bool {
        self.0.as_bytes().ct_eq(other.trim().as_bytes()).into()
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_empty() { "JoinToken(none)" } else { "JoinToken(…)" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_join_token_is_compared_without_its_line_end_and_never_shown() {
        let token = JoinToken::new("open sesame\n");
        assert!(token.admits("open sesame"));
        assert!(!token.admits("open sesam") && !token.admits("") && !token.admits("Open sesame"));
        assert!(JoinToken::default().admits(""));
        assert!(!format!("{token:?}").contains("sesame"));
    }
}
