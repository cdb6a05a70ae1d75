use std::fmt;

use ring::hmac;

/// The fewest bytes of a token: 128 bits, if they are drawn at random. A proof can be guessed at without asking anybody, by
/// whoever heard one that was meant for it.
const MIN_BYTES: usize = 16;

/// A shared secret; empty when none is asked for. Shown nowhere, sent nowhere: each side proves to the other that it knows
/// it, on a connection of the two.
#[derive(Clone)]
pub struct JoinToken(hmac::Key, usize);

/// Who proves. Each side has a label of its own, so that nobody can give a proof back to whom it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// It made the connection.
    Caller,
    /// It took the connection.
    Called,
}

impl Side {
    fn label(self) -> &'static [u8] {
        match self {
            Self::Caller => b"sessile join, caller",
            Self::Called => b"sessile join, called",
        }
    }
}

impl JoinToken {
    /// The fewest bytes that a token should have.
    pub const MIN_BYTES: usize = MIN_BYTES;

    /// A new one, for a file: 256 bits from the operating system, in hexadecimal digits.
    pub fn random() -> String {
        let [high, low] = rand::random::<[u128; 2]>();
        format!("{high:032x}{low:032x}")
    }

    /// From what a file holds; white space around it does not count.
    pub fn new(token: &str) -> Self {
        let token = token.trim();
        Self(hmac::Key::new(hmac::HMAC_SHA256, token.as_bytes()), token.len())
    }

    /// Whether it was given.
    pub fn is_empty(&self) -> bool {
        self.1 == 0
    }

    /// Proves that this side of the connection with that exporter knows the token.
    pub(crate) fn prove(&self, side: Side, exporter: &[u8; 32]) -> Vec<u8> {
        hmac::sign(&self.0, &[side.label(), exporter].concat()).as_ref().to_vec()
    }

    /// Whether that is what [`prove`](Self::prove) of the other side makes, compared in constant time. Nobody proves that it
    /// knows none.
    pub(crate) fn is_proved(&self, side: Side, exporter: &[u8; 32], proof: &[u8]) -> bool {
        !self.is_empty() && hmac::verify(&self.0, &[side.label(), exporter].concat(), proof).is_ok()
    }

    /// Whether somebody else's is the same, as a program of before sent it. How long it takes tells nothing of either: a hash
    /// of the one is compared with a hash of the other.
    pub(crate) fn is_same(&self, other: &str) -> bool {
        let other = Self::new(other);
        self.is_proved(Side::Caller, &[0; 32], &other.prove(Side::Caller, &[0; 32]))
    }
}

impl Default for JoinToken {
    fn default() -> Self {
        Self::new("")
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

    const ONE: [u8; 32] = [1; 32];
    const OTHER: [u8; 32] = [2; 32];

    #[test]
    fn a_proof_is_of_one_token_one_side_and_one_connection() {
        let token = JoinToken::new("open sesame open sesame\n");
        let proof = token.prove(Side::Caller, &ONE);
        assert!(JoinToken::new("open sesame open sesame").is_proved(Side::Caller, &ONE, &proof));
        assert!(!token.is_proved(Side::Called, &ONE, &proof), "given back to whom it came from");
        assert!(!token.is_proved(Side::Caller, &OTHER, &proof), "replayed on another connection");
        assert!(!token.is_proved(Side::Caller, &ONE, &[]) && !token.is_proved(Side::Caller, &ONE, &proof[1..]));
        assert!(!JoinToken::new("open sesame open sesam").is_proved(Side::Caller, &ONE, &proof));
    }

    #[test]
    fn nobody_proves_that_it_knows_no_token() {
        let none = JoinToken::default();
        assert!(none.is_empty() && !none.is_proved(Side::Caller, &ONE, &none.prove(Side::Caller, &ONE)));
        assert!(!none.is_same(""));
    }

    #[test]
    fn a_token_is_never_shown() {
        let (one, other) = (JoinToken::random(), JoinToken::random());
        assert!(one.len() == 64 && one != other && one.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let token = JoinToken::new("open sesame");
        assert!(token.is_same(" open sesame") && !token.is_same("open sesam") && !token.is_same(""));
        assert!(!format!("{token:?}").contains("sesame"));
    }
}
