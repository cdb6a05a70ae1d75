//! Sessions that live on: by a request, and by being read.

use std::time::Duration;

use sessile_core::{BaseUri, NamespaceName, NamespaceSettings, NamespaceTable, Renewal, Ttl, TtlPolicy};

use sessile_http::{ApiConfig, Limits};

use crate::world::{World, config};

const TARGET: &str = "/sessions/v1/k";

fn settings(renewal: Renewal) -> NamespaceTable {
    let ttl = |seconds| Ttl::from_secs(seconds).unwrap();
    let unlimited = NamespaceSettings::unlimited(NamespaceName::sessions(), BaseUri::default());
    NamespaceTable::of([NamespaceSettings { ttl: TtlPolicy::new(ttl(600), ttl(1_000)).unwrap(), renewal, ..unlimited }])
}

#[tokio::test]
async fn a_renewal_gives_a_new_lifetime_and_changes_nothing_else() {
    // `$` is the tag of the session that is there.
    for (headers, body, there, absent, ttl) in [
        ("TTL: 300\r\n", &b""[..], 204, 404, Some("300")),
        ("", b"", 204, 404, Some("600")),
        ("TTL: 9999\r\n", b"", 204, 404, Some("1000")),
        ("TTL: 300\r\nContent-Length: 0\r\n", b"", 204, 404, Some("300")),
        ("TTL: 300\r\nIf-Match: $\r\n", b"", 204, 412, Some("300")),
        ("TTL: 300\r\nIf-Match: *\r\n", b"", 204, 412, Some("300")),
        ("TTL: 300\r\nIf-Match: \"7fffffff\"\r\n", b"", 412, 412, None),
        ("TTL: 0\r\n", b"", 400, 400, None),
        ("TTL: soon\r\n", b"", 400, 400, None),
        ("TTL: 300\r\n", b"a value", 400, 400, None),
    ] {
        let world = World::new().await;
        world.fake.have(settings(Renewal::Never));
        let stored = world.post("k", "TTL: 100\r\n", b"v").await;
        let tag = stored.header("etag").unwrap();
        let headers = headers.replace('$', tag);
        let renewed = world.request("PATCH", TARGET, &headers, body).await;
        assert_eq!((renewed.status, renewed.header("ttl")), (there, ttl), "{headers}");
        let done = there == 204;
        assert_eq!(renewed.header("etag"), done.then_some(tag), "{headers}");
        assert_eq!(done, renewed.body.is_empty(), "{headers}");
        let read = world.get("k").await;
        assert_eq!((read.text(), read.header("etag")), ("v", Some(tag)), "as it was");
        assert_eq!(read.header("ttl"), if done { ttl } else { Some("100") }, "{headers}");
        assert_eq!(renewed.text().contains("takes no body"), !body.is_empty(), "{headers}");
        let missing = world.request("PATCH", "/sessions/v1/absent", &headers, body).await;
        assert_eq!(missing.status, absent, "{headers}");
        assert_eq!(world.fake.stored(), 1, "a renewal makes nothing");
    }
}

#[tokio::test]
async fn a_read_renews_what_is_in_the_last_half_of_its_lifetime_where_the_namespace_says_so() {
    for (renewal, renewals) in [(Renewal::Half, 2), (Renewal::Never, 0)] {
        let world = World::new().await;
        world.fake.have(settings(renewal));
        world.post("k", "TTL: 100\r\n", b"v").await;
        for (pause, told) in [(49, "51"), (1, "50")] {
            world.fake.pass_time(Duration::from_secs(pause));
            let read = world.get("k").await;
            assert_eq!((read.status, read.header("ttl")), (200, Some(told)), "what it found");
        }
        let read = world.request("HEAD", TARGET, "", b"").await;
        let left = if renewal == Renewal::Half { "100" } else { "50" };
        assert_eq!(read.header("ttl"), Some(left), "its own lifetime again, not the namespace's");
        world.fake.pass_time(Duration::from_secs(49));
        assert_eq!(world.get("k").await.status, 200);
        world.fake.pass_time(Duration::from_secs(1));
        let status = if renewal == Renewal::Half { 200 } else { 404 };
        assert_eq!(world.request("HEAD", TARGET, "", b"").await.status, status);
        assert_eq!(world.fake.renewals(), renewals, "one for each half");
    }
}

#[tokio::test]
async fn many_reads_at_once_ask_for_one_renewal() {
    let world = World::new().await;
    world.fake.have(settings(Renewal::Half));
    world.post("k", "TTL: 100\r\n", b"v").await;
    world.fake.pass_time(Duration::from_secs(60));
    world.arrivals(1).await;
    world.fake.shut_gate();
    let mut clients = Vec::new();
    for _ in 0..5 {
        let mut client = world.client().await;
        client.send(format!("GET {TARGET} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
        clients.push(client);
    }
    world.arrivals(5).await;
    world.fake.open_gate();
    for mut client in clients {
        assert_eq!(client.answer().await.text(), "v");
    }
    assert_eq!(world.get("k").await.header("ttl"), Some("100"));
    assert_eq!(world.fake.renewals(), 1);
}

#[tokio::test]
async fn a_renewal_whose_body_does_not_come_is_late_and_not_malformed() {
    let config = ApiConfig { body_timeout: Duration::from_millis(50), ..config() };
    let world = World::with(config, Limits::default()).await;
    let mut client = world.client().await;
    client.send(format!("PATCH {TARGET} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n")).await;
    let answer = client.answer().await;
    assert_eq!((answer.status, &*answer.kind()), (408, "request_timeout"));
    assert!(client.is_closed().await, "the rest of the body is no request");
}
