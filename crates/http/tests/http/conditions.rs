//! Compare-and-set, add, and take.

use crate::world::World;

/// A condition, for a session that is there and for one that is not.
#[tokio::test]
async fn writes_happen_only_if_their_condition_holds() {
    let tags16 = ["\"7fffffff\""; 16].join(", ");
    let tags17 = ["\"7fffffff\""; 17].join(", ");
    // `$` is the tag of the session that is there.
    for (condition, there, absent) in [
        ("", 201, 201),
        ("If-Match: $\r\n", 201, 412),
        ("If-Match: \"7fffffff\"\r\n", 412, 412),
        ("If-Match: \"7fffffff\", $\r\n", 201, 412),
        ("If-Match: \"7fffffff\"\r\nIf-Match: $\r\n", 201, 412),
        ("If-Match: *\r\n", 201, 412),
        ("If-Match: W/$\r\n", 412, 412),
        ("If-Match: \"no version of ours\"\r\n", 400, 400),
        ("If-Match: \"no-version-of-ours\"\r\n", 412, 412),
        ("If-None-Match: *\r\n", 412, 201),
        ("If-None-Match: $\r\n", 412, 201),
        ("If-None-Match: W/$\r\n", 412, 201),
        ("If-None-Match: \"7fffffff\"\r\n", 201, 201),
        ("If-None-Match: \"no-version-of-ours\"\r\n", 201, 201),
        ("If-Match: $\r\nIf-None-Match: *\r\n", 400, 400),
        ("If-Match: unquoted\r\n", 400, 400),
        ("If-Match: \"half\r\n", 400, 400),
        ("If-Match: *, *\r\n", 400, 400),
        ("If-Match:\r\n", 400, 400),
        ("If-None-Match: ,\r\n", 400, 400),
        (&format!("If-Match: {tags16}\r\n"), 412, 412),
        (&format!("If-Match: {tags17}\r\n"), 400, 400),
        (&format!("If-None-Match: {tags16}\r\n"), 201, 201),
        (&format!("If-None-Match: {tags17}\r\n"), 400, 400),
    ] {
        for method in ["POST", "PUT", "DELETE"] {
            let world = World::new().await;
            let done = |status| if method == "DELETE" && status == 201 { 204 } else { status };
            let body = if method == "DELETE" { &b""[..] } else { b"new" };
            let tag = world.post("there", "", b"old").await.header("etag").unwrap().to_owned();
            let headers = condition.replace('$', &tag);
            for (key, expected) in [("there", there), ("absent", absent)] {
                let answer = world.request(method, &format!("/sessions/v1/{key}"), &headers, body).await;
                assert_eq!(answer.status, done(expected), "{method} {key} {condition}");
                if expected == 412 {
                    assert_eq!(answer.kind(), "precondition_failed");
                }
                let read = world.get(key).await;
                let changed = if key == "there" { read.body != b"old" } else { read.status == 200 };
                let happens = expected == 201 && !(method == "DELETE" && key == "absent");
                assert_eq!(changed, happens, "{method} {key} {condition}");
            }
        }
    }
}

#[tokio::test]
async fn each_write_has_a_tag_of_its_own_and_it_is_strong() {
    let world = World::new().await;
    let first = world.post("k", "", b"same").await.header("etag").unwrap().to_owned();
    let second = world.post("k", "", b"same").await.header("etag").unwrap().to_owned();
    assert_ne!(first, second);
    assert!(second.starts_with('"') && second.ends_with('"'), "{second}");
    assert!(second.trim_matches('"').bytes().all(|byte| byte.is_ascii_hexdigit()), "{second}");
    assert_eq!(world.get("k").await.header("etag"), Some(second.as_str()));
    assert_eq!(world.post("k", &format!("If-Match: {first}\r\n"), b"lost").await.status, 412);
    assert_eq!(world.get("k").await.body, b"same");
}

#[tokio::test]
async fn reads_are_conditional_too() {
    let world = World::new().await;
    let tag = world.post("k", "", b"value").await.header("etag").unwrap().to_owned();
    for (condition, there) in [
        ("If-None-Match: $\r\n", 304),
        ("If-None-Match: W/$\r\n", 304),
        ("If-None-Match: *\r\n", 304),
        ("If-None-Match: \"7fffffff\", $\r\n", 304),
        ("If-None-Match: \"7fffffff\"\r\n", 200),
        ("If-Match: $\r\n", 200),
        ("If-Match: *\r\n", 200),
        ("If-Match: W/$\r\n", 412),
        ("If-Match: \"7fffffff\"\r\n", 412),
        ("If-Match: $\r\nIf-None-Match: $\r\n", 304),
        ("If-Match: \"7fffffff\"\r\nIf-None-Match: $\r\n", 412),
        ("If-Match: nonsense\r\n", 400),
    ] {
        for method in ["GET", "HEAD"] {
            let mut client = world.client().await;
            let headers = condition.replace('$', &tag);
            let answer = client.request(method, "/sessions/v1/k", &headers, b"").await;
            assert_eq!(answer.status, there, "{method} {condition}");
            if there == 304 {
                assert_eq!((answer.header("etag"), answer.body.len()), (Some(tag.as_str()), 0));
                assert_eq!(answer.header("cache-control"), Some("no-store, no-transform"));
            }
            let absent = client.request(method, "/sessions/v1/absent", &headers, b"").await;
            assert_eq!(absent.status, if there == 400 { 400 } else { 404 }, "{method} {condition}");
        }
    }
}

#[tokio::test]
async fn a_value_is_taken_exactly_once() {
    let world = World::new().await;
    let prefer = "Prefer: return=representation\r\n";
    let tag = world.post("k", "TTL: 50\r\n", b"value").await.header("etag").unwrap().to_owned();
    let taken = world.delete("k", prefer).await;
    assert_eq!((taken.status, taken.body.as_slice()), (200, &b"value"[..]));
    assert_eq!(taken.header("preference-applied"), Some("return=representation"));
    assert_eq!(taken.header("content-type"), Some("application/octet-stream"));
    assert_eq!(taken.header("cache-control"), Some("no-store, no-transform"));
    assert_eq!((taken.header("etag"), taken.header("ttl")), (Some(tag.as_str()), Some("50")));
    let again = world.delete("k", prefer).await;
    assert_eq!((again.status, again.header("preference-applied")), (204, None));
    assert_eq!(world.get("k").await.status, 404);

    world.post("k", "", b"value").await;
    assert_eq!(world.delete("k", "Prefer: return=minimal\r\n").await.status, 204);
}
