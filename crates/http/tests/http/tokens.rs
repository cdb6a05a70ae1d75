//! Tokens of namespaces: who may do what, and what whoever may not is told.

use sessile_core::{
    BaseUri, LogTime, NamespaceId, NamespaceName, NamespaceSettings, NamespaceTable, NamespaceToken, Row, RowKey,
    State, TokenName, TokenRight,
};
use sessile_http::{SessionsError, token_hash};

use crate::documents::assert_problem;
use crate::fake::Trouble;
use crate::world::{BASE, World};

pub(crate) const READER: &str = "sess_topsecret-reader";
const WRITER: &str = "sess_topsecret-writer";
const BOTH: &str = "sess_topsecret-both";
const NOBODY: &str = "sess_topsecret-nobody";

/// `sessions` with those tokens, and `echo` without any.
fn with(tokens: &[(&str, TokenRight, &str)]) -> NamespaceTable {
    let mut state = State::default();
    for (name, right, token) in tokens {
        let token =
            NamespaceToken { right: *right, hash: token_hash(token), added_at: LogTime::from_millis(1), used_at: None };
        let key = RowKey::Token(NamespaceId::SESSIONS, TokenName::new(name).unwrap());
        state.restore(key, Row::Token(token)).unwrap();
    }
    let echo = NamespaceSettings::unlimited(NamespaceName::new("echo").unwrap(), BaseUri::new("/echoseen/v1").unwrap());
    let open = sessile_core::StoredNamespace { settings: echo, changed_at: 1, generation: 0, last_generation: 0 };
    state.restore(RowKey::Namespace(NamespaceId::new(2)), Row::Namespace(open)).unwrap();
    NamespaceTable::clone(state.namespaces())
}

/// With a token of each right.
pub(crate) fn closed() -> NamespaceTable {
    with(&[("both", TokenRight::Both, BOTH), ("r", TokenRight::Read, READER), ("w", TokenRight::Write, WRITER)])
}

async fn a_closed_world() -> World {
    let world = World::new().await;
    world.post("k", "", b"v").await;
    world.fake.have(closed());
    world
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

#[tokio::test]
async fn a_token_does_what_it_allows_and_nothing_else() {
    let world = a_closed_world().await;
    let take = "Prefer: return=representation\r\n";
    for (method, headers, body, allowed) in [
        ("GET", "", &b""[..], [true, false, true]),
        ("HEAD", "", b"", [true, false, true]),
        ("POST", "", b"v", [false, true, true]),
        ("PUT", "", b"v", [false, true, true]),
        ("PATCH", "TTL: 60\r\n", b"", [false, true, true]),
        ("DELETE", "", b"", [false, true, true]),
        ("DELETE", take, b"", [false, false, true]),
    ] {
        for (token, allowed) in [READER, WRITER, BOTH].into_iter().zip(allowed) {
            world.post("k", &bearer(BOTH), b"v").await;
            let shown = format!("{headers}{}", bearer(token));
            let answer = world.request(method, &format!("{BASE}k"), &shown, body).await;
            let passes = [200, 201, 204].contains(&answer.status);
            assert_eq!(passes, allowed, "{method} {headers} with {token}: {}", answer.status);
            assert!(allowed || answer.status == 403, "{method} with {token}: {}", answer.status);
        }
        for shown in ["", &bearer(NOBODY)] {
            let answer = world.request(method, &format!("{BASE}k"), &format!("{headers}{shown}"), body).await;
            assert_eq!(answer.status, 401, "{method} {shown}");
        }
    }
    world.eventually("http_requests_total", &["code=\"401\""], 14.0).await;
    world.eventually("http_requests_total", &["code=\"403\""], 8.0).await;
}

#[tokio::test]
async fn whoever_may_not_is_told_what_to_show_in_the_form_of_every_error() {
    let world = a_closed_world().await;
    let target = "/sessions/v1/enwiki%3AMWSession%3A%22%C3%A4%22";
    for (shown, status, name, challenge) in [
        (String::new(), 401, "unauthorized", "Bearer realm=\"sessile\""),
        (bearer(NOBODY), 401, "unknown_token", "Bearer realm=\"sessile\", error=\"invalid_token\""),
        (bearer(WRITER), 403, "forbidden", "Bearer realm=\"sessile\", error=\"insufficient_scope\""),
    ] {
        let answer = world.request("GET", target, &shown, b"").await;
        assert_problem(&answer, status, name);
        assert_eq!(answer.header("www-authenticate"), Some(challenge), "{name}");
    }
}

#[tokio::test]
async fn only_one_token_in_one_header_counts() {
    let world = a_closed_world().await;
    let first = bearer(BOTH);
    for (shown, status) in [
        (bearer(BOTH), 200),
        (bearer(&format!("  {BOTH} ")), 200),
        (format!("authorization: bearer {BOTH}\r\n"), 200),
        (format!("{first}{first}"), 401),
        (format!("{first}{}", bearer(NOBODY)), 401),
        (format!("Authorization: Basic {BOTH}\r\n"), 401),
        (format!("Authorization: {BOTH}\r\n"), 401),
        (format!("Authorization: Bearer{BOTH}\r\n"), 401),
        (format!("Authorization: Bearer {BOTH}x\r\n"), 401),
        (format!("Authorization: Bearer {}\r\n", &BOTH[1..]), 401),
        (format!("Authorization: Bearer {}\r\n", BOTH.to_uppercase()), 401),
        ("Authorization: Bearer \r\n".to_owned(), 401),
        ("Authorization: Bearer\r\n".to_owned(), 401),
        ("Authorization: \r\n".to_owned(), 401),
        ("Authorization: Bearer \u{e9}\r\n".to_owned(), 401),
        (format!("X-Authorization: Bearer {BOTH}\r\n"), 401),
        (format!("Cookie: access_token={BOTH}\r\n"), 401),
    ] {
        let answer = world.request("GET", &format!("{BASE}k"), &shown, b"").await;
        assert_eq!(answer.status, status, "{shown:?}");
    }
    let in_query = world.request("GET", &format!("{BASE}k?access_token={BOTH}"), "", b"").await;
    assert_eq!(in_query.status, 400, "a URI is logged by many");
}

#[tokio::test]
async fn nothing_is_told_of_a_key_and_no_body_is_read_before_the_token_is_known() {
    let world = a_closed_world().await;
    let long = "k".repeat(1025);
    for key in ["k", "absent", "", &long, "%ff"] {
        let answer = world.get(key).await;
        let expected = if key == "%ff" { 400 } else { 401 };
        assert_eq!(answer.status, expected, "{key:?}");
    }
    // Neither a condition that fails, nor a length beyond what is stored, nor a body that does not come.
    for headers in ["If-Match: *\r\nContent-Length: 1\r\n", "Content-Length: 9999999\r\n", "TTL: never\r\n"] {
        let mut client = world.client().await;
        client.send(format!("PUT {BASE}absent HTTP/1.1\r\nHost: x\r\n{headers}\r\n")).await;
        assert_eq!(client.answer_to("PUT").await.unwrap().status, 401, "{headers}");
    }
    assert_eq!(world.fake.stored(), 1);
}

#[tokio::test]
async fn a_namespace_without_tokens_is_open_whatever_is_shown() {
    let world = a_closed_world().await;
    for shown in ["", &bearer(NOBODY), "Authorization: Basic eDp5\r\n", &bearer(READER).repeat(2)] {
        assert_eq!(world.request("PUT", "/echoseen/v1/k", shown, b"v").await.status, 201, "{shown}");
        assert_eq!(world.request("GET", "/echoseen/v1/k", shown, b"").await.status, 200, "{shown}");
    }
    assert_eq!(world.request("GET", "/livez", "", b"").await.status, 200, "and what tells of the node is, too");
    assert!(world.fake.take_used().is_empty());
}

#[tokio::test]
async fn the_store_hears_of_a_token_that_let_somebody_in_and_of_no_other() {
    let world = a_closed_world().await;
    world.request("GET", &format!("{BASE}k"), &bearer(NOBODY), b"").await;
    world.request("GET", &format!("{BASE}k"), &bearer(WRITER), b"").await;
    assert!(world.fake.take_used().is_empty());
    world.request("GET", &format!("{BASE}k"), &bearer(READER), b"").await;
    let used = world.fake.take_used();
    let [(NamespaceId::SESSIONS, token)] = &used[..] else { panic!("{used:?}") };
    assert!(token.hash == token_hash(READER) && token.right == TokenRight::Read);
}

#[tokio::test]
async fn tokens_are_rotated_without_a_request_that_fails() {
    let world = World::new().await;
    let (old, new) = (("old", TokenRight::Both, READER), ("new", TokenRight::Both, WRITER));
    for (tokens, shown) in [(&[old][..], READER), (&[old, new], READER), (&[old, new], WRITER), (&[new], WRITER)] {
        world.fake.have(with(tokens));
        assert_eq!(world.post("k", &bearer(shown), b"v").await.status, 201);
        assert_eq!(world.request("GET", &format!("{BASE}k"), &bearer(shown), b"").await.status, 200);
    }
    assert_eq!(world.request("GET", &format!("{BASE}k"), &bearer(READER), b"").await.status, 401);
    world.fake.have(with(&[]));
    assert_eq!(world.get("k").await.status, 200, "without any, it is open again");
}

#[tokio::test]
async fn a_token_that_was_just_added_is_taken_by_a_node_that_has_not_heard_of_it_yet() {
    let (old, new) = (("old", TokenRight::Both, READER), ("new", TokenRight::Both, WRITER));
    let less = ("new", TokenRight::Read, WRITER);
    for before in [&[old][..], &[old, less]] {
        for (method, body) in [("GET", &b""[..]), ("PUT", b"v")] {
            let world = World::new().await;
            world.post("k", "", b"v").await;
            world.fake.have(with(before));
            world.fake.will_have(with(&[old, new]));
            let answer = world.request(method, &format!("{BASE}k"), &bearer(WRITER), body).await;
            assert!([200, 201].contains(&answer.status), "{method} {}", answer.status);
        }
    }
    let world = a_closed_world().await;
    world.fake.be_in(Trouble::Error(|| SessionsError::NoQuorum));
    let unknown = world.request("GET", &format!("{BASE}k"), &bearer(NOBODY), b"").await;
    assert_eq!(unknown.status, 503, "nobody can say that there is no such token");
    assert_eq!(world.get("k").await.status, 401, "whoever shows none is not looked for");
}

#[tokio::test]
async fn a_read_that_learns_that_its_token_was_removed_is_refused() {
    for next in [with(&[("w", TokenRight::Write, WRITER)]), with(&[("r", TokenRight::Write, READER)])] {
        let world = a_closed_world().await;
        world.fake.will_have(next);
        let answer = world.request("GET", &format!("{BASE}k"), &bearer(READER), b"").await;
        assert!([401, 403].contains(&answer.status), "{}", answer.status);
        assert_eq!(answer.header("etag"), None, "nor which version there is");
        world.fake.will_have(closed());
        let absent = world.request("GET", &format!("{BASE}absent"), &bearer(NOBODY), b"").await;
        assert_eq!(absent.status, 401, "that there is nothing is nobody's business either");
    }
    let world = World::new().await;
    world.fake.have(with(&[]));
    world.fake.will_have(closed());
    assert_eq!(world.get("absent").await.status, 401, "it was open when the request came");
    let world = a_closed_world().await;
    world.fake.will_have(with(&[("r", TokenRight::Read, READER)]));
    let written = world.post("k", &bearer(WRITER), b"v").await;
    assert_eq!(written.status, 201, "what has been done is not taken back");
}

#[tokio::test]
async fn nobody_is_let_in_while_it_is_not_known_yet_who_may() {
    let world = a_closed_world().await;
    world.fake.is_opening(true);
    let known = async {
        world.arrivals(2).await;
        world.fake.is_opening(false);
    };
    let (answer, ()) = tokio::join!(world.get("k"), known);
    assert_eq!(answer.status, 401, "by the configuration alone it would be open");
}
