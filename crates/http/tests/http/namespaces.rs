//! Many namespaces in one process, each under a path of its own.

use sessile_core::{BaseUri, Limit, NamespaceName, NamespaceSettings, NamespaceTable, Ttl, TtlPolicy};
use sessile_http::SessionsError;

use crate::fake::Trouble;
use crate::world::World;

fn settings(name: &str, base_uri: &str, default_ttl: u64, max_ttl: u64) -> NamespaceSettings {
    let ttl = |seconds| Ttl::from_secs(seconds).unwrap();
    let unlimited = NamespaceSettings::unlimited(NamespaceName::new(name).unwrap(), BaseUri::new(base_uri).unwrap());
    NamespaceSettings { ttl: TtlPolicy::new(ttl(default_ttl), ttl(max_ttl)).unwrap(), ..unlimited }
}

fn two() -> NamespaceTable {
    let echo = NamespaceSettings { max_value: 3, ..settings("echo", "/echoseen/v1", 31_536_000, 31_536_000) };
    NamespaceTable::of([settings("sessions", "/sessions/v1", 86_400, 172_800), echo])
}

#[tokio::test]
async fn each_base_uri_is_a_namespace_of_its_own_with_its_own_lifetimes_and_values() {
    let world = World::new().await;
    world.fake.have(two());
    for (target, headers, value, status, ttl) in [
        ("/sessions/v1/k", "", &b"of the first"[..], 201, Some("86400")),
        ("/sessions/v1/k", "TTL: 999999\r\n", b"of the first", 201, Some("172800")),
        ("/echoseen/v1/k", "", b"own", 201, Some("31536000")),
        ("/echoseen/v1/k", "TTL: 60\r\n", b"own", 201, Some("60")),
        ("/echoseen/v1/k", "", b"long", 413, None),
        ("/third/v1/k", "", b"x", 404, None),
        ("/echoseen/v1/a/k", "", b"x", 404, None),
    ] {
        let answer = world.request("PUT", target, headers, value).await;
        assert_eq!((answer.status, answer.header("ttl")), (status, ttl), "{target} {headers}");
    }
    for (target, value) in
        [("/sessions/v1/k", "of the first"), ("/echoseen/v1/k", "own"), ("/echoseen%2Fv1%2Fk", "own")]
    {
        assert_eq!(world.request("GET", target, "", b"").await.text(), value);
    }
    assert_eq!(world.request("DELETE", "/echoseen/v1/k", "", b"").await.status, 204);
    assert_eq!(world.request("GET", "/sessions/v1/k", "", b"").await.status, 200);
}

#[tokio::test]
async fn the_next_request_goes_by_what_the_namespaces_are_then() {
    let world = World::new().await;
    assert_eq!(world.request("PUT", "/sessions/v1/k", "", b"v").await.status, 201, "by the configuration at first");
    assert_eq!(world.request("GET", "/echoseen/v1/k", "", b"").await.status, 404);
    world.fake.have(two());
    assert_eq!(world.request("PUT", "/echoseen/v1/k", "", b"v").await.status, 201);
    world.fake.have(NamespaceTable::of([settings("sessions", "/elsewhere", 60, 60)]));
    for (target, status) in [("/echoseen/v1/k", 404), ("/sessions/v1/k", 404), ("/elsewhere/k", 200)] {
        assert_eq!(world.request("GET", target, "", b"").await.status, status, "{target}");
    }
}

#[tokio::test]
async fn a_node_that_does_not_know_of_a_namespace_yet_never_says_that_its_sessions_are_gone() {
    let world = World::new().await;
    assert_eq!(world.request("GET", "/echoseen/v1/k", "", b"").await.status, 404, "nobody has such a namespace");
    world.fake.be_in(Trouble::Error(|| SessionsError::NoQuorum));
    let answer = world.request("GET", "/echoseen/v1/k", "", b"").await;
    assert_eq!((answer.status, &*answer.kind()), (503, "no_quorum"), "it cannot know");
    world.fake.be_in(None);
    world.fake.will_hear_of(two());
    assert_eq!(world.request("PUT", "/echoseen/v1/k", "", b"v").await.status, 201, "it asks first");
    assert_eq!(world.request("GET", "/echoseen/v1/k", "", b"").await.text(), "v");
}

#[tokio::test]
async fn a_write_over_a_quota_is_told_so_and_counted_by_namespace_and_limit() {
    let world = World::new().await;
    world.fake.have(two());
    world.fake.be_in(Trouble::Error(|| SessionsError::Limit(Limit::Keys)));
    let refused = world.request("PUT", "/echoseen/v1/k", "", b"v").await;
    assert_eq!(refused.status, 507);
    assert!(refused.text().contains("as many keys as it may have"), "{}", refused.text());
    let metrics = sessile_http::render(&world.registry);
    let counted = "sessile_namespace_refusals_total{limit=\"keys\",namespace=\"echo\"} 1";
    assert!(metrics.contains(counted), "{metrics}");
    world.fake.be_in(Trouble::Error(|| SessionsError::NoNamespace));
    assert_eq!(world.request("PUT", "/echoseen/v1/k", "", b"v").await.status, 404, "it was dropped meanwhile");
}
