//! What is public to the letter: every error body, `/healthz`, `/openapi`. `SESSILE_REGENERATE_GOLDEN=1` writes the files anew.

use std::path::Path;

use sessile_core::Limit;
use sessile_http::{ApiConfig, BaseUri, Limits, SessionsError};

use crate::client::Answer;
use crate::fake::{Failure, Trouble};
use crate::world::{World, config};

pub(crate) fn assert_golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("SESSILE_REGENERATE_GOLDEN").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, golden, "{name} is not what it was");
}

pub(crate) fn assert_problem(answer: &Answer, status: u16, name: &str) {
    assert_eq!(answer.status, status, "{name}");
    assert_eq!(answer.header("content-type"), Some("application/json"), "{name}");
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{name}");
    assert_eq!(answer.header("cache-control"), Some("no-store, no-transform"), "{name}");
    assert_golden(&format!("{name}.json"), answer.text());
}

#[tokio::test]
async fn every_error_has_its_body() {
    let short = std::time::Duration::from_millis(50);
    let world = World::with(ApiConfig { body_timeout: short, ..config() }, Limits::default()).await;
    let target = "/sessions/v1/enwiki%3AMWSession%3A%22%C3%A4%22";
    assert_problem(&world.request("GET", target, "", b"").await, 404, "not_found");
    assert_problem(&world.request("POST", target, "", b"").await, 400, "bad_request");
    assert_problem(&world.request("LINK", target, "", b"").await, 405, "method_not_allowed");
    assert_problem(&world.request("POST", target, "If-Match: *\r\n", b"v").await, 412, "precondition_failed");
    let large = "Content-Length: 1048577\r\nExpect: 100-continue\r\n";
    assert_problem(&world.request("POST", target, large, b"").await, 413, "payload_too_large");
    assert_problem(&world.request("POST", target, "Content-Length: 2\r\n", b"").await, 408, "request_timeout");
    let long = format!("/sessions/v1/{}", "k".repeat(1025));
    assert_problem(&world.request("GET", &long, "", b"").await, 414, "uri_too_long");
    let troubles: [(Failure, u16, &str); 11] = [
        (|| SessionsError::NoQuorum, 503, "no_quorum"),
        (|| SessionsError::TimeWaits, 503, "time_waits"),
        (|| SessionsError::OutcomeUnknown, 503, "outcome_unknown"),
        (|| SessionsError::Overloaded, 503, "overloaded"),
        (|| SessionsError::ShuttingDown, 503, "shutting_down"),
        (|| SessionsError::StorageFull, 507, "insufficient_storage"),
        (|| SessionsError::StorageExhausted, 507, "storage_exhausted"),
        (|| SessionsError::Limit(Limit::Keys), 507, "namespace_keys"),
        (|| SessionsError::Limit(Limit::Bytes), 507, "namespace_bytes"),
        (|| SessionsError::Limit(Limit::Lifetime), 503, "limits_changed"),
        (|| SessionsError::Internal("a defect".into()), 500, "server_error"),
    ];
    for (error, status, name) in troubles {
        world.fake.be_in(Trouble::Error(error));
        assert_problem(&world.request("PUT", target, "", b"v").await, status, name);
    }
}

#[tokio::test]
async fn healthz_tells_which_program_it_is() {
    let world = World::new().await;
    let answer = world.request("GET", "/healthz?verbose=1", "", b"").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    assert_golden("healthz.json", answer.text());
}

#[tokio::test]
async fn openapi_is_served_with_the_base_uri_filled_in() {
    let world = World::new().await;
    let answer = world.request("GET", "/openapi", "", b"").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/x-yaml")));
    assert_golden("openapi.yaml", answer.text());

    let config = ApiConfig { base_uri: BaseUri::new("/v1/").unwrap(), ..config() };
    let world = World::with(config.clone(), Limits::default()).await;
    let elsewhere = world.request("GET", "/openapi", "", b"").await;
    assert_eq!(elsewhere.text(), answer.text().replace("/sessions/v1/", "/v1/"));

    let config = ApiConfig { openapi: Some("paths: {'@BASE_URI@{key}': {}}\n".to_owned()), ..config };
    let world = World::with(config, Limits::default()).await;
    assert_eq!(world.request("GET", "/openapi", "", b"").await.text(), "paths: {'/v1/{key}': {}}\n");
}

/// As Wikimedia's service-checker does: it fills `params` into the path, sends `headers` and `body`, and wants the exact
/// status and a prefix of each header and of the body.
#[tokio::test]
async fn the_examples_in_openapi_hold() {
    let world = World::new().await;
    let spec = world.request("GET", "/openapi", "", b"").await;
    let spec: serde_yaml_ng::Value = serde_yaml_ng::from_str(spec.text()).unwrap();
    let path = "/sessions/v1/{key}";
    let operations = &spec["paths"][path];
    for method in ["post", "get"] {
        assert_eq!(operations[method]["x-monitor"], true, "{method}");
        let examples = operations[method]["x-amples"].as_sequence().unwrap();
        assert!(!examples.is_empty());
        for example in examples {
            assert!(example["title"].is_string());
            let key = example["request"]["params"]["key"].as_str().unwrap();
            assert_eq!(key, "KASK:K:INTEGRATION_TEST_KEY");
            let target = path.replace("{key}", &key.replace(':', "%3A"));
            let headers = &example["request"]["headers"];
            let headers = headers.as_mapping().into_iter().flatten();
            let headers: String = headers
                .map(|(name, value)| format!("{}: {}\r\n", name.as_str().unwrap(), value.as_str().unwrap()))
                .collect();
            let body = example["request"]["body"].as_str().unwrap_or("");
            let answer = world.request(&method.to_uppercase(), &target, &headers, body.as_bytes()).await;
            assert_eq!(u64::from(answer.status), example["response"]["status"].as_u64().unwrap(), "{method}");
            for (name, value) in example["response"]["headers"].as_mapping().into_iter().flatten() {
                let header = answer.header(&name.as_str().unwrap().to_lowercase()).unwrap();
                assert!(header.starts_with(value.as_str().unwrap()), "{method}: {header}");
            }
            if let Some(start) = example["response"]["body"].as_str() {
                assert_eq!(start, "KASK:V:INTEGRATION_TEST_VALUE");
                assert!(answer.text().starts_with(start), "{method}");
            }
        }
    }
    // The checker calls every GET that does not say otherwise, and takes what `servers` has for a prefix.
    assert_eq!(spec["servers"][0]["url"], "/");
    for (path, operations) in spec["paths"].as_mapping().unwrap() {
        let monitored = operations["get"]["x-monitor"].as_bool();
        assert!(monitored == Some(false) || operations["get"]["x-amples"].is_sequence(), "{path:?}");
    }
}

#[tokio::test]
async fn openapi_names_every_status_that_is_answered() {
    let world = World::new().await;
    let spec = world.request("GET", "/openapi", "", b"").await;
    let spec: serde_yaml_ng::Value = serde_yaml_ng::from_str(spec.text()).unwrap();
    let common = ["400", "401", "403", "404", "405", "412", "414", "500", "503"];
    let written = ["201", "408", "413", "422", "507"];
    for (method, own) in [
        ("get", &["200", "304"][..]),
        ("head", &["200", "304"]),
        ("post", &written),
        ("put", &written),
        ("patch", &["204", "408", "422", "507"]),
        ("delete", &["200", "204", "422", "507"]),
    ] {
        let responses = spec["paths"]["/sessions/v1/{key}"][method]["responses"].as_mapping().unwrap();
        let mut named: Vec<_> = responses.keys().map(|status| status.as_str().unwrap()).collect();
        let mut expected: Vec<_> = common.iter().chain(own).copied().collect();
        named.sort_unstable();
        expected.sort_unstable();
        assert_eq!(named, expected, "{method}");
    }
}
