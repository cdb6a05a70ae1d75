//! What a command does to the tokens of a namespace. Pure, as the rules of namespaces are.

use std::sync::Arc;

use crate::checksum;
use crate::ledger::Ledger;
use crate::namespace_table::Namespace;
use crate::{
    LogTime, MAX_TOKENS, NamespaceId, NamespaceRefusal, NamespaceTable, NamespaceToken, RowKey, TokenHash, TokenName,
    TokenRight,
};

/// Whether a namespace can have that token. Whoever adds again what is there is told that it is there.
pub(crate) fn judge_new(
    of: &Namespace,
    name: &TokenName,
    right: TokenRight,
    hash: &TokenHash,
) -> Result<(), NamespaceRefusal> {
    let same = of.tokens.iter().find(|(_, token)| token.hash == *hash);
    match (same, of.tokens.contains_key(name)) {
        (Some((known, token)), _) if known == name && token.right == right => Ok(()),
        (Some(_), _) => Err(NamespaceRefusal::TokenTaken),
        (None, true) => Err(NamespaceRefusal::TokenNameTaken),
        (None, false) if of.tokens.len() >= MAX_TOKENS => Err(NamespaceRefusal::TooManyTokens),
        (None, false) => Ok(()),
    }
}

/// Adds one that was judged; one that is there stays as it is.
pub(crate) fn add(
    table: &mut NamespaceTable,
    ledger: &mut Ledger,
    (id, name): (NamespaceId, &TokenName),
    (right, hash): (TokenRight, TokenHash),
    clock: LogTime,
) {
    let is_there = table.get(id).is_some_and(|namespace| namespace.tokens.contains_key(name));
    if !is_there {
        let token = NamespaceToken { right, hash, added_at: clock, used_at: None };
        replace(table, ledger, id, name, Some(token));
    }
}

pub(crate) fn remove(table: &mut NamespaceTable, ledger: &mut Ledger, id: NamespaceId, name: &TokenName) {
    replace(table, ledger, id, name, None);
}

/// The namespace goes, and its tokens with it.
pub(crate) fn remove_all(table: &mut NamespaceTable, ledger: &mut Ledger, id: NamespaceId) {
    let names = table.get(id).map(|namespace| namespace.tokens.keys().cloned().collect::<Vec<_>>());
    names.unwrap_or_default().iter().for_each(|name| remove(table, ledger, id, name));
}

/// Notes that a token was used, if it is there and that is news.
pub(crate) fn note_use(
    table: &mut NamespaceTable,
    ledger: &mut Ledger,
    id: NamespaceId,
    hash: &TokenHash,
    used_at: LogTime,
) {
    let Some(namespace) = table.get(id) else { return };
    let used = namespace.tokens.iter().find(|(_, token)| token.hash == *hash);
    let used = used.and_then(|(name, token)| Some((name.clone(), token.clone(), token.use_at(used_at)?)));
    if let Some((name, token, used_at)) = used {
        replace(table, ledger, id, &name, Some(NamespaceToken { used_at: Some(used_at), ..token }));
    }
}

/// Puts a stored token back; `None` for one of a namespace that is not there.
pub(crate) fn restore(
    table: &mut Arc<NamespaceTable>,
    ledger: &mut Ledger,
    (id, name): (NamespaceId, TokenName),
    token: NamespaceToken,
) -> Option<()> {
    let namespace = Arc::make_mut(table).get_mut(id)?;
    ledger.sums.add(checksum::token(id, &name, &token));
    namespace.tokens.insert(name, token);
    Some(())
}

fn replace(
    table: &mut NamespaceTable,
    ledger: &mut Ledger,
    id: NamespaceId,
    name: &TokenName,
    token: Option<NamespaceToken>,
) {
    let Some(namespace) = table.get_mut(id) else { return };
    if let Some(before) = namespace.tokens.remove(name) {
        ledger.sums.subtract(checksum::token(id, name, &before));
    }
    if let Some(token) = token {
        ledger.sums.add(checksum::token(id, name, &token));
        namespace.tokens.insert(name.clone(), token);
    }
    ledger.changed.insert(RowKey::Token(id, name.clone()));
}
