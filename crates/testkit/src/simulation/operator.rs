//! An operator, who sometimes asks for things at a bad moment.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sessile_cluster::admin::{
    AddTokenRequest, AdminClient, AdminError, AdminErrorKind, RemoveRequest, ReplaceRequest, TruncateNamespaceRequest,
};
use sessile_cluster::{OperatorToken, Reach, Right, Secret};

use super::namespaces::TOKEN;
use super::net::Simulated;

use super::world::World;

/// By what every node knows it.
pub(super) fn operator() -> OperatorToken {
    let secret = Secret::new("a token of the simulation's operator");
    OperatorToken { name: "simulation".into(), right: Right::Admin, secret }
}

const PATIENCE: Duration = Duration::from_secs(5);

/// What is asked of a node.
#[derive(Debug, Clone)]
pub(super) enum Wish {
    /// Another voter is to lead.
    TransferLeader,
    /// The state is to be durable, and the log behind it to go.
    Snapshot,
    /// That member is to leave for good.
    Remove(String),
    /// The first of these members is to give its place to the second.
    Replace(String, String),
}

/// Asks, and waits for no more than the answer: a refusal is one.
pub(super) async fn asks(world: Arc<World>, node: String, wish: Wish) {
    let address = world.host(&node).address();
    let asked = tokio::time::timeout(PATIENCE, ask(&address, &wish)).await;
    let said = match asked {
        Ok(Ok(())) => "done".to_owned(),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "no answer".to_owned(),
    };
    world.operators.fetch_sub(1, Ordering::Relaxed);
    world.traces(&format!("an operator asked {node} for {wish:?}: {said}"));
}

/// Ends all sessions of a namespace, or of one group of it.
pub(super) async fn truncates(
    world: &World,
    node: &str,
    namespace: &str,
    group: Option<&str>,
) -> Result<(), AdminError> {
    let mut client = connect(&world.host(node).address()).await?;
    let (name, group) = (namespace.to_owned(), group.unwrap_or_default().to_owned());
    client.truncate_namespace(TruncateNamespaceRequest { name, group }).await.map(drop)
}

/// Has a namespace want the token that clients show.
pub(super) async fn wants_a_token(world: &World, node: &str, namespace: &str) -> Result<(), AdminError> {
    let mut client = connect(&world.host(node).address()).await?;
    let sha256 = sessile_http::token_hash(TOKEN).as_bytes().to_vec();
    let request = AddTokenRequest {
        namespace: namespace.to_owned(),
        name: "clients".to_owned(),
        right: "both".to_owned(),
        sha256: sha256.into(),
    };
    match client.add_token(request).await {
        // It was asked for before, and nobody had told so.
        Err(error) if error.kind == AdminErrorKind::Refused && error.text.contains("clients") => Ok(()),
        added => added.map(drop),
    }
}

async fn connect(address: &str) -> Result<AdminClient, AdminError> {
    let reach = Reach::Through(Arc::new(Simulated { doubles: None }));
    AdminClient::connect_through(&reach, address, Some(&operator().secret), PATIENCE).await
}

async fn ask(address: &str, wish: &Wish) -> Result<(), AdminError> {
    let mut client = connect(address).await?;
    match wish {
        Wish::TransferLeader => client.transfer_leader(None).await.map(drop),
        Wish::Snapshot => client.trigger_snapshot(None).await.map(drop),
        Wish::Replace(old, new) => {
            let request = ReplaceRequest { old: old.clone(), new: new.clone(), ..ReplaceRequest::default() };
            client.replace(request).await.map(drop)
        }
        Wish::Remove(member) => {
            let request = RemoveRequest { member: member.clone(), ..RemoveRequest::default() };
            client.remove(request).await.map(drop)
        }
    }
}
