//! The tokens of namespaces, as operators see and change them. A token itself never comes here: whoever makes one sends its
//! hash.

use sessile_core::{NamespaceCommand, NamespaceToken, RulesVersion, TokenHash, TokenName, TokenRight};
use tonic::Status;

use super::managed::ManagedMember;
use super::namespaces::{change, find, id_of, invalid, make_first, no_rules, prove};
use crate::membership::Author;
use crate::wire::{
    AddTokenRequest, ListTokensRequest, ListTokensResponse, NamespaceResponse, RemoveTokenRequest, TokenStatus,
};

/// The tokens of a namespace, by name.
pub(super) async fn list(member: &ManagedMember, request: &ListTokensRequest) -> Result<ListTokensResponse, Status> {
    prove(member).await?;
    let id = id_of(member, &request.namespace)?;
    let table = member.group.state.namespaces();
    let tokens = table.get(id).into_iter().flat_map(|namespace| namespace.tokens());
    Ok(ListTokensResponse { tokens: tokens.map(|(name, token)| status_of(name, token)).collect() })
}

/// Gives a namespace one more. Only where this node leads, as what follows.
pub(super) async fn add(
    member: &ManagedMember,
    author: &Author,
    request: AddTokenRequest,
) -> Result<NamespaceResponse, Status> {
    let name = TokenName::new(&request.name).map_err(|error| invalid(&error))?;
    let right = TokenRight::named(&request.right).ok_or_else(|| invalid(&"a token's right is read, write or both"))?;
    let hash = TokenHash::from_bytes(&request.sha256);
    let hash = hash.ok_or_else(|| invalid(&"of a token its SHA-256 is sent, which has 32 bytes"))?;
    know_tokens(member).await?;
    let table = member.group.state.namespaces();
    let (namespace, before) = find(&table, &request.namespace)?;
    let of = format!("{name} of {}", request.namespace);
    let closes = match before.tokens().is_empty() {
        true => "; it is the first, so whoever shows none is refused from now on",
        false => "",
    };
    let what = format!("add the token {of} with the right {}", right.name());
    let done = format!("token {of} was added with the right {}{closes}", right.name());
    let command = NamespaceCommand::AddToken { namespace, name, right, hash };
    change(member, author, &what, command, |_| done).await
}

/// Takes one from a namespace.
pub(super) async fn remove(
    member: &ManagedMember,
    author: &Author,
    request: RemoveTokenRequest,
) -> Result<NamespaceResponse, Status> {
    let name = TokenName::new(&request.name).map_err(|error| invalid(&error))?;
    know_tokens(member).await?;
    let table = member.group.state.namespaces();
    let (namespace, before) = find(&table, &request.namespace)?;
    let of = format!("{name} of {}", request.namespace);
    let opens = match before.tokens().len() == 1 && before.tokens().contains_key(&name) {
        true => "; it was the last, so the namespace is open to everybody now",
        false => "",
    };
    let done = format!("token {of} was removed{opens}");
    let command = NamespaceCommand::RemoveToken { namespace, name };
    change(member, author, &format!("remove the token {of}"), command, |_| done).await
}

/// Goes on where the rules in force know tokens. A node that is a cluster by itself raises them for that.
async fn know_tokens(member: &ManagedMember) -> Result<(), Status> {
    make_first(member).await;
    member.own_namespaces.raise_rules(RulesVersion::TOKENS, &member.group, &member.writes).await;
    if member.group.state.rules() < RulesVersion::TOKENS { Err(no_rules(member, RulesVersion::TOKENS)) } else { Ok(()) }
}

fn status_of(name: &TokenName, token: &NamespaceToken) -> TokenStatus {
    TokenStatus {
        name: name.as_str().to_owned(),
        right: token.right.name().to_owned(),
        added_ms: token.added_at.as_millis(),
        used_ms: token.used_at.map(|used_at| used_at.as_millis()),
    }
}
