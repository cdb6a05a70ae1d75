//! The operator's listener.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use prometheus::Registry;
use sessile_http::{
    Drained, HttpMetrics, Limits, OperatorPages, Server, SessionsError, admin_router, bearer_only, render,
};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::client::Client;
use crate::fake::{Fake, Trouble};

/// A listener that serves until it is told to end.
struct Serving {
    shutdown: CancellationToken,
    server: JoinSet<Drained>,
}

fn pages<F>(status: F) -> OperatorPages<F> {
    OperatorPages { status, runbook: "<h2>What to do".to_owned(), style: "p { color: red }", script: "alert(1)" }
}

/// Serves that, with a client of it.
async fn serve(router: Router, metrics: &HttpMetrics) -> (Client, Serving) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let mut server = JoinSet::new();
    server.spawn(Server::new(router, Limits::default(), metrics, "admin").serve(listener, shutdown.clone()));
    (Client::connect(address).await, Serving { shutdown, server })
}

impl Serving {
    async fn end(mut self) {
        self.shutdown.cancel();
        self.server.join_next().await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn it_serves_probes_metrics_and_a_page_and_no_session() {
    let (fake, registry) = (Fake::new(), Registry::new());
    let metrics = HttpMetrics::register(&registry).unwrap();
    let page = {
        let made = Arc::new(AtomicU32::new(0));
        move || std::future::ready(format!("<p>page {}", made.fetch_add(1, Ordering::SeqCst)))
    };
    let router = admin_router(&fake, Duration::from_secs(60), move || render(&registry), pages(page));
    let (mut client, serving) = serve(router, &metrics).await;
    let page = client.request("GET", "/", "", b"").await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert_eq!((page.text(), page.header("cache-control")), ("<p>page 0", Some("no-store")));
    let policy = page.header("content-security-policy").unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(client.request("GET", "/", "", b"").await.text(), "<p>page 1", "made anew");
    let runbook = client.request("GET", "/runbook", "", b"").await;
    assert_eq!((runbook.status, runbook.text()), (200, "<h2>What to do"));
    assert_eq!(runbook.header("content-security-policy"), Some(policy.as_str()));

    assert_eq!(client.request("GET", "/readyz", "", b"").await.status, 200);
    fake.be_in(Trouble::Error(|| SessionsError::ShuttingDown));
    assert_eq!(client.request("GET", "/readyz", "", b"").await.status, 503);
    assert_eq!(client.request("GET", "/livez", "", b"").await.status, 200);
    let metrics = client.request("GET", "/metrics", "", b"").await;
    assert!(metrics.text().contains("sessile_http_connections{listener=\"admin\"} 1"), "{}", metrics.text());

    for target in ["/sessions/v1/k", "/healthz", "/openapi", "/%3Cscript%3E"] {
        let nothing = client.request("GET", target, "", b"").await;
        assert_eq!((nothing.status, nothing.text()), (404, "There is nothing here; / is the status page.\n"));
    }
    assert_eq!(client.request("POST", "/", "", b"x").await.status, 405);
    serving.end().await;
}

#[tokio::test]
async fn with_a_token_it_serves_only_those_who_show_it_and_livez_to_all() {
    let (fake, registry) = (Fake::new(), Registry::new());
    let metrics = HttpMetrics::register(&registry).unwrap();
    let page = || std::future::ready("<p>page".to_owned());
    let router = admin_router(&fake, Duration::from_secs(60), move || render(&registry), pages(page));
    let router = bearer_only(router, |token| token == "open-sesame");
    let (mut client, serving) = serve(router, &metrics).await;
    for target in ["/", "/runbook", "/metrics", "/readyz", "/nothing"] {
        for (headers, challenge) in [
            ("", "Bearer realm=\"sessile\""),
            ("Authorization: Basic b3BlbjpzZXNhbWU=\r\n", "Bearer realm=\"sessile\""),
            ("Authorization: Bearer open-sesam\r\n", "Bearer realm=\"sessile\", error=\"invalid_token\""),
            ("Authorization: Bearer \r\n", "Bearer realm=\"sessile\""),
            ("Authorization: Bearer open-sesame\r\nAuthorization: Bearer open-sesame\r\n", "Bearer realm=\"sessile\""),
        ] {
            let refused = client.request("GET", target, headers, b"").await;
            assert_eq!(
                (refused.status, refused.header("www-authenticate")),
                (401, Some(challenge)),
                "{target} {headers}"
            );
            assert!(
                !refused.text().contains("page")
                    && !refused.text().contains("What to do")
                    && !refused.text().contains("sessile_http"),
                "{}",
                refused.text()
            );
        }
        let status = if target == "/nothing" { 404 } else { 200 };
        for scheme in ["Bearer", "bearer"] {
            let shown = format!("Authorization: {scheme} open-sesame\r\n");
            assert_eq!(client.request("GET", target, &shown, b"").await.status, status, "{target}");
        }
    }
    assert_eq!(client.request("GET", "/livez", "", b"").await.status, 200);
    serving.end().await;
}
