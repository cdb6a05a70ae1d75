//! Requests that come twice, because a client or a proxy could not know that they had come once.

use sessile_http::SessionsError;

use crate::fake::Trouble;
use crate::world::World;

const TAKE: &str = "Prefer: return=representation\r\n";

#[tokio::test]
async fn a_request_with_the_same_key_is_told_the_same_again() {
    let world = World::new().await;
    let add = "If-None-Match: *\r\nIdempotency-Key: \"add-1\"\r\n";
    let first = world.post("k", add, b"v").await;
    let again = world.post("k", add, b"v").await;
    assert_eq!(first.status, 201);
    assert_eq!(
        (again.status, again.header("etag"), again.header("ttl")),
        (201, first.header("etag"), first.header("ttl"))
    );
    assert_eq!(world.post("k", "If-None-Match: *\r\nIdempotency-Key: add-2\r\n", b"v").await.status, 412);

    let take = format!("{TAKE}Idempotency-Key: take-1\r\n");
    for _ in 0..2 {
        let taken = world.delete("k", &take).await;
        assert_eq!((taken.status, taken.text(), taken.header("etag")), (200, "v", first.header("etag")));
    }
    assert_eq!(world.get("k").await.status, 404);
    assert_eq!(world.delete("k", TAKE).await.status, 204, "without the key it is gone");
}

#[tokio::test]
async fn a_key_of_another_request_and_one_that_is_none_are_refused_before_anything_is_done() {
    let world = World::new().await;
    assert_eq!(world.post("k", "Idempotency-Key: one\r\n", b"v").await.status, 201);
    for (key, headers, value) in [("k", "", "w"), ("other", "", "v"), ("k", "If-Match: *\r\n", "v")] {
        let answer = world.post(key, &format!("{headers}Idempotency-Key: one\r\n"), value.as_bytes()).await;
        assert_eq!((answer.status, &*answer.kind()), (422, "idempotency_key_reused"), "{key} {headers} {value}");
    }
    assert_eq!(world.get("k").await.text(), "v");
    assert_eq!(world.get("other").await.status, 404);
    let long = "k".repeat(129);
    for headers in ["", "a b", "\"open", &long].map(|key| format!("Idempotency-Key: {key}\r\n")) {
        for method in ["POST", "PATCH", "DELETE"] {
            let body = if method == "POST" { &b"v"[..] } else { b"" };
            let answer = world.request(method, "/sessions/v1/k", &headers, body).await;
            assert_eq!((answer.status, &*answer.kind()), (400, "bad_request"), "{method} {headers}");
            assert!(answer.text().contains("1 to 128 visible characters"), "{method} {headers}");
        }
    }
    let twice = "Idempotency-Key: a\r\nIdempotency-Key: a\r\n";
    assert_eq!(world.post("k", twice, b"v").await.status, 400);
}

#[tokio::test]
async fn a_store_that_cannot_remember_says_so_and_when_to_come_again() {
    let world = World::new().await;
    let errors: [(fn() -> SessionsError, _); 2] =
        [(|| SessionsError::AnswersFull, "too_many_answers"), (|| SessionsError::OlderRules, "upgrade_unfinished")];
    for (error, kind) in errors {
        world.fake.be_in(Trouble::Error(error));
        let answer = world.post("k", "Idempotency-Key: one\r\n", b"v").await;
        assert_eq!((answer.status, &*answer.kind(), answer.header("retry-after")), (503, kind, Some("1")));
    }
}

#[tokio::test]
async fn a_tag_that_a_proxy_has_weakened_fails_with_the_reason() {
    let world = World::new().await;
    let tag = world.post("k", "", b"v").await.header("etag").unwrap().to_owned();
    for method in ["PUT", "PATCH", "DELETE", "GET"] {
        let body = if method == "PUT" { &b"w"[..] } else { b"" };
        for (condition, weak) in [(format!("W/{tag}"), true), ("\"7fffffff\"".to_owned(), false)] {
            let answer = world.request(method, "/sessions/v1/k", &format!("If-Match: {condition}\r\n"), body).await;
            assert_eq!((answer.status, &*answer.kind()), (412, "precondition_failed"), "{method} {condition}");
            assert_eq!(answer.text().contains("a proxy has weakened"), weak, "{method} {condition}");
        }
    }
    assert_eq!(world.get("k").await.text(), "v");
}
