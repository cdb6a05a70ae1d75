//! Tokens of namespaces, as a cluster keeps them.

use std::sync::Arc;

use sessile_cluster::Cluster;
use sessile_cluster::admin::{AddTokenRequest, AdminClient, AdminErrorKind};
use sessile_core::{NamespaceToken, RulesVersion, TokenName};

use crate::support::*;

fn php(right: &str, sha256: &[u8]) -> AddTokenRequest {
    AddTokenRequest {
        namespace: "sessions".to_owned(),
        name: "php".to_owned(),
        right: right.to_owned(),
        sha256: sha256.to_vec().into(),
    }
}

fn token(cluster: &Cluster) -> NamespaceToken {
    cluster.namespaces().get(SESSIONS).unwrap().tokens()[&TokenName::new("php").unwrap()].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_use_is_told_once_an_hour_however_often_a_token_is_shown() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), |config| config.admin_socket = true).await;
    let cluster = node.cluster().clone();
    write(&cluster, key(1), put(b"a value")).await;
    assert!(cluster.status().rules < RulesVersion::TOKENS, "nobody has wanted any so far");
    let mut admin = AdminClient::connect_in(dir.path(), PATIENCE).await.unwrap();
    assert!(admin.tokens("sessions").await.unwrap().tokens.is_empty());
    admin.add_token(php("both", &[7; 32])).await.unwrap();
    assert!(cluster.status().rules >= RulesVersion::TOKENS);
    let again = admin.add_token(php("both", &[7; 32])).await.unwrap();
    assert!(again.what.starts_with("token php of sessions was added"), "said twice, it is there once: {}", again.what);

    cluster.token_used(SESSIONS, &token(&cluster));
    eventually("the log tells of it", async || token(&cluster).used_at.is_some()).await;
    let told = admin.tokens("sessions").await.unwrap().tokens;
    assert_eq!(told[0].used_ms, token(&cluster).used_at.map(|used_at| used_at.as_millis()));
    assert_eq!(told[0].used_ms.unwrap() % 3_600_000, 0, "to the hour");
    // What a command says of namespaces makes another table, news or not.
    let (table, shown) = (cluster.namespaces(), token(&cluster));
    let clock = cluster.status().clock;
    eventually("time goes on for some rounds", async || {
        (0..1_000).for_each(|_| cluster.token_used(SESSIONS, &shown));
        cluster.status().clock.since(clock).as_secs() >= 3
    })
    .await;
    let is_another_hour = shown.use_at(cluster.status().clock).is_some();
    assert!(Arc::ptr_eq(&table, &cluster.namespaces()) || is_another_hour, "and of nothing that is known");
    drop((admin, cluster));
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_no_token_is_refused_whoever_asks() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), |config| config.admin_socket = true).await;
    write(node.cluster(), key(1), put(b"a value")).await;
    let mut admin = AdminClient::connect_in(dir.path(), PATIENCE).await.unwrap();
    for (request, sentence) in [
        (php("all", &[7; 32]), "a token's right is read, write or both"),
        (php("", &[7; 32]), "a token's right is read, write or both"),
        (php("read", &[7; 31]), "its SHA-256 is sent, which has 32 bytes"),
        (AddTokenRequest { name: "Php".to_owned(), ..php("read", &[7; 32]) }, "a token's name is 1 to 64 of"),
    ] {
        let refused = admin.add_token(request).await.unwrap_err();
        assert!(refused.kind == AdminErrorKind::Invalid && refused.text.contains(sentence), "{refused}");
        assert!(refused.text.contains("nothing was changed"), "{refused}");
    }
    let history = admin.history().await.unwrap().entries;
    assert!(!history.iter().any(|entry| entry.what.contains("token")), "{history:?}");
    drop(admin);
    node.stop().await.unwrap();
}
