use std::fmt;

use ring::hmac;

/// The fewest bytes of a token: 128 bits, if they are drawn at random. A proof can be guessed at without asking anybody, by
/// whoever heard one that was meant for it.
const MIN_BYTES: usize = 16;

/// A shared secret; empty when none is asked for. Shown nowhere, sent nowhere: each side proves to the other that it knows
/// it, on a connection of the two.
#[derive(Clone)]
pub struct Secret(hmac::Key, usize);

/// What for. A proof for one purpose is none for another, also where somebody has used one secret for both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To become a member.
    Join,
    /// To ask what operators ask.
    Operate,
}

/// Who proves. Each side has a label of its own, so that nobody can give a proof back to whom it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// It made the connection.
    Caller,
    /// It took the connection.
    Called,
}

fn label(purpose: Purpose, side: Side) -> &'static [u8] {
    match (purpose, side) {
        (Purpose::Join, Side::Caller) => b"sessile join, caller",
        (Purpose::Join, Side::Called) => b"sessile join, called",
        (Purpose::Operate, Side::Caller) => b"sessile operate, caller",
        (Purpose::Operate, Side::Called) => b"sessile operate, called",
    }
}

impl Secret {
    /// The fewest bytes that one should have.
    pub const MIN_BYTES: usize = MIN_BYTES;

    /// A new one, for a file: 256 bits from the operating system, in hexadecimal digits.
    pub fn random() -> String {
        let [high, low] = rand::random::<[u128; 2]>();
        format!("{high:032x}{low:032x}")
    }

    /// From what a file holds; white space around it does not count.
    pub fn new(text: &str) -> Self {
        let text = text.trim();
        Self(hmac::Key::new(hmac::HMAC_SHA256, text.as_bytes()), text.len())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.1 == 0
    }

    /// Whether it is shorter than one should be.
    pub fn could_be_guessed(&self) -> bool {
        self.1 < MIN_BYTES
    }

    /// Whether somebody else's is the same. How long it takes tells nothing of either: a hash of the one is compared with a
    /// hash of the other.
    pub fn is_same(&self, other: &str) -> bool {
        self.equals(&Self::new(other))
    }

    pub(crate) fn equals(&self, other: &Self) -> bool {
        let any = (Purpose::Join, Side::Caller, [0; 32]);
        self.is_proved(any.0, any.1, &any.2, &other.prove(any.0, any.1, &any.2))
    }

    /// Proves that this side of the connection with that exporter knows it.
    pub(crate) fn prove(&self, purpose: Purpose, side: Side, exporter: &[u8; 32]) -> Vec<u8> {
        hmac::sign(&self.0, &[label(purpose, side), exporter].concat()).as_ref().to_vec()
    }

    /// Whether that is what [`prove`](Self::prove) of the other side makes, compared in constant time. Nobody proves that it
    /// knows none.
    pub(crate) fn is_proved(&self, purpose: Purpose, side: Side, exporter: &[u8; 32], proof: &[u8]) -> bool {
        !self.is_empty() && hmac::verify(&self.0, &[label(purpose, side), exporter].concat(), proof).is_ok()
    }
}

impl Default for Secret {
    fn default() -> Self {
        Self::new("")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_empty() { "Secret(none)" } else { "Secret(…)" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: [u8; 32] = [1; 32];
    const OTHER: [u8; 32] = [2; 32];

    #[test]
    fn a_proof_is_of_one_token_one_purpose_one_side_and_one_connection() {
        let token = Secret::new("open sesame open sesame\n");
        let proof = token.prove(Purpose::Join, Side::Caller, &ONE);
        let proves = |token: &Secret, purpose, side, exporter| token.is_proved(purpose, side, exporter, &proof);
        assert!(proves(&Secret::new("open sesame open sesame"), Purpose::Join, Side::Caller, &ONE));
        assert!(!proves(&token, Purpose::Join, Side::Called, &ONE), "given back to whom it came from");
        assert!(!proves(&token, Purpose::Operate, Side::Caller, &ONE), "meant for something else");
        assert!(!proves(&token, Purpose::Join, Side::Caller, &OTHER), "replayed on another connection");
        assert!(!proves(&Secret::new("open sesame open sesam"), Purpose::Join, Side::Caller, &ONE));
        for cut in [&[][..], &proof[1..]] {
            assert!(!token.is_proved(Purpose::Join, Side::Caller, &ONE, cut));
        }
    }

    #[test]
    fn nobody_proves_that_it_knows_no_token() {
        let none = Secret::default();
        let proof = none.prove(Purpose::Join, Side::Caller, &ONE);
        assert!(none.is_empty() && !none.is_proved(Purpose::Join, Side::Caller, &ONE, &proof));
        assert!(!none.is_same(""));
    }

    #[test]
    fn a_token_is_never_shown() {
        let (one, other) = (Secret::random(), Secret::random());
        assert!(one.len() == 64 && one != other && one.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let token = Secret::new("open sesame");
        assert!(token.is_same(" open sesame") && !token.is_same("open sesam") && !token.is_same(""));
        assert!(!format!("{token:?}").contains("sesame"));
    }
}
