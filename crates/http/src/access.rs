//! Who may do what in a namespace. One without tokens is open; where there are some, a request shows one as a bearer
//! (RFC 6750), and needs `read` to read, `write` to write and to delete, and both for a delete that hands out the value.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::Method;
use http::request::Parts;
use ring::digest::{SHA256, digest};
use sessile_core::{Namespace, NamespaceId, NamespaceTable, NamespaceToken, TokenHash, TokenName, TokenRight};
use subtle::ConstantTimeEq as _;
use tokio::time::Instant;

use crate::problem::Problem;
use crate::target::{self, Miss, Target};
use crate::{Sessions, bearer, prefer};

/// By what a namespace recognises a token: its SHA-256. A token is 256 bits that were drawn at random, so nothing slower is
/// needed to keep it from being guessed.
pub fn token_hash(token: &str) -> TokenHash {
    let mut sha256 = [0; 32];
    sha256.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    TokenHash::new(sha256)
}

/// What a request is about, if it may ask for it.
pub(crate) fn target<'table, S: Sessions>(
    sessions: &S,
    table: &'table NamespaceTable,
    parts: &Parts,
) -> Result<Target<'table>, Miss> {
    target::of(table, parts.uri.path(), |id, namespace| {
        // Nearly always there is none.
        if namespace.tokens().is_empty() { Ok(()) } else { admit(sessions, id, namespace, parts) }
    })
}

/// Before a read is answered: whether it may still ask, if the namespaces are others by now. The read has waited until its
/// node knew all that was acknowledged before it came, so a token that was removed before is refused on every node.
pub(crate) async fn still_admits<S: Sessions>(
    sessions: &S,
    before: &Arc<NamespaceTable>,
    parts: &Parts,
    deadline: Instant,
) -> Result<(), Miss> {
    if !reads(&parts.method) {
        // It has been done, or refused.
        return Ok(());
    }
    match sessions.namespaces(deadline).await {
        Ok(Some(now)) if !Arc::ptr_eq(&now, before) => target(sessions, &now, parts).map(drop),
        _ => Ok(()),
    }
}

fn admit<S: Sessions>(sessions: &S, id: NamespaceId, namespace: &Namespace, parts: &Parts) -> Result<(), Miss> {
    let shown = bearer::shown(&parts.headers);
    let shown = shown.ok_or(Miss::Closed(Problem::Unauthorized, "it shows no token, or more than one"))?;
    let token = known(namespace.tokens(), &token_hash(shown));
    let token = token.ok_or(Miss::Closed(Problem::UnknownToken, "its token is none of the namespace"))?;
    if !token.right.covers(needed(parts)) {
        return Err(Miss::Closed(Problem::Forbidden, "its token does not allow that"));
    }
    sessions.token_used(id, token);
    Ok(())
}

/// All are compared, each in constant time: how long it takes tells nothing of which it is, or how nearly.
fn known<'tokens>(
    tokens: &'tokens BTreeMap<TokenName, NamespaceToken>,
    shown: &TokenHash,
) -> Option<&'tokens NamespaceToken> {
    tokens.values().fold(None, |found, token| {
        let is_same = token.hash.as_bytes().ct_eq(shown.as_bytes());
        if is_same.into() { Some(token) } else { found }
    })
}

fn needed(parts: &Parts) -> TokenRight {
    match parts.method {
        _ if reads(&parts.method) => TokenRight::Read,
        Method::DELETE if prefer::wants_representation(&parts.headers) => TokenRight::Both,
        _ => TokenRight::Write,
    }
}

fn reads(method: &Method) -> bool {
    [Method::GET, Method::HEAD].contains(method)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_recognised_by_its_sha256() {
        // FIPS 180-2, B.1.
        let hash = token_hash("abc");
        assert_eq!(hash.as_bytes()[..8], [0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea]);
        let token =
            |hash| NamespaceToken { right: TokenRight::Read, hash, added_at: Default::default(), used_at: None };
        let named = |name: &str| TokenName::new(name).unwrap();
        let tokens: BTreeMap<_, _> =
            [("a", "first"), ("b", "abc"), ("c", "last")].map(|(name, of)| (named(name), token(token_hash(of)))).into();
        assert_eq!(known(&tokens, &hash), Some(&tokens[&named("b")]));
        for other in ["", "ab", "abc ", "Abc"] {
            assert_eq!(known(&tokens, &token_hash(other)), None, "{other:?}");
        }
    }
}
