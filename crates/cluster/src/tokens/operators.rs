use std::sync::Arc;

use tokio::sync::watch;

use super::secret::{Purpose, Secret, Side};

/// What an operator may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    /// Look: the status, and the history of changes.
    Read,
    /// Everything.
    Admin,
}

/// By what an operator from elsewhere is known. `Debug` shows no secret.
#[derive(Debug, Clone)]
pub struct OperatorToken {
    /// A name for people, as the history has it. Two may have the same one, while a secret is being replaced.
    pub name: String,
    /// What it allows.
    pub right: Right,
    /// What both sides prove to know.
    pub secret: Secret,
}

/// The tokens that a node knows, at most [`Operators::MAX`]. Cheap to clone; clones share them.
#[derive(Debug, Clone)]
pub struct Operators(Arc<watch::Sender<Vec<OperatorToken>>>);

impl Right {
    /// As files and people name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Admin => "admin",
        }
    }
}

impl OperatorToken {
    fn equals(&self, other: &Self) -> bool {
        self.name == other.name && self.right == other.right && self.secret.equals(&other.secret)
    }
}

impl Operators {
    /// How many there may be: a few people and programs, and as many again while secrets are being replaced. Whoever asks
    /// what a node knows is told a proof of each.
    pub const MAX: usize = 16;

    /// These, or as many of them as there may be.
    pub fn new(tokens: Vec<OperatorToken>) -> Self {
        let operators = Self(Arc::new(watch::Sender::default()));
        operators.replace(tokens);
        operators
    }

    /// From now on these. Whoever has proved another one has to prove one of these.
    pub fn replace(&self, mut tokens: Vec<OperatorToken>) {
        tokens.truncate(Self::MAX);
        self.0.send_replace(tokens);
    }

    /// Hears of every later [`replace`](Self::replace).
    pub(crate) fn changes(&self) -> watch::Receiver<Vec<OperatorToken>> {
        self.0.subscribe()
    }

    /// Whether that one still counts.
    pub(crate) fn has(&self, token: &OperatorToken) -> bool {
        self.0.borrow().iter().any(|known| known.equals(token))
    }

    /// Proves, as the side that was called, that they are known here: one proof for each.
    pub(crate) fn prove(&self, exporter: &[u8; 32]) -> Vec<Vec<u8>> {
        self.0.borrow().iter().map(|token| token.secret.prove(Purpose::Operate, Side::Called, exporter)).collect()
    }

    /// The one that the caller proves to know.
    pub(crate) fn proved(&self, exporter: &[u8; 32], proof: &[u8]) -> Option<OperatorToken> {
        let tokens = self.0.borrow();
        // All are looked at, so that the time tells nothing of which it is.
        let proved = tokens
            .iter()
            .filter(|token| token.secret.is_proved(Purpose::Operate, Side::Caller, exporter, proof))
            .max_by_key(|token| token.right);
        proved.cloned()
    }
}

impl Default for Operators {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: [u8; 32] = [1; 32];
    const ELSEWHERE: [u8; 32] = [2; 32];

    fn token(name: &str, right: Right, secret: &str) -> OperatorToken {
        OperatorToken { name: name.to_owned(), right, secret: Secret::new(secret) }
    }

    fn proof(secret: &str, exporter: &[u8; 32]) -> Vec<u8> {
        Secret::new(secret).prove(Purpose::Operate, Side::Caller, exporter)
    }

    #[test]
    fn who_proves_a_token_has_its_name_and_right_on_that_connection() {
        let operators = Operators::new(vec![token("a", Right::Read, "one"), token("b", Right::Admin, "two")]);
        let proved = |secret, exporter| operators.proved(&HERE, &proof(secret, exporter)).map(|t| (t.name, t.right));
        assert_eq!(proved("one", &HERE), Some(("a".to_owned(), Right::Read)));
        assert_eq!(proved("two", &HERE), Some(("b".to_owned(), Right::Admin)));
        assert_eq!((proved("three", &HERE), proved("two", &ELSEWHERE)), (None, None));
        let proofs = operators.prove(&HERE);
        let known = |secret: &str| {
            let secret = Secret::new(secret);
            proofs.iter().any(|proof| secret.is_proved(Purpose::Operate, Side::Called, &HERE, proof))
        };
        assert!(known("one") && known("two") && !known("three"));
        assert!(proofs.iter().all(|proof| operators.proved(&HERE, proof).is_none()), "given back to whom it came from");
    }

    #[test]
    fn a_token_that_was_replaced_counts_no_longer_and_nobody_proves_an_empty_one() {
        let operators = Operators::new(vec![token("a", Right::Admin, "one"), token("none", Right::Admin, "")]);
        assert!(operators.proved(&HERE, &proof("", &HERE)).is_none());
        let before = operators.proved(&HERE, &proof("one", &HERE)).unwrap();
        let changes = operators.changes();
        operators.replace(vec![token("a", Right::Admin, "one"), token("a", Right::Admin, "two")]);
        assert!(operators.has(&before) && changes.has_changed().unwrap(), "while both count, nobody is sent away");
        operators.replace(vec![token("a", Right::Read, "one"), token("a", Right::Admin, "two")]);
        assert!(!operators.has(&before), "its right is another one");
        operators.replace((0..100).map(|_| token("a", Right::Read, "one")).collect());
        assert_eq!(operators.prove(&HERE).len(), Operators::MAX);
    }
}
