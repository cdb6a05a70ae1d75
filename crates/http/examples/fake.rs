//! The session API over sessions in memory, for tools that want something to talk to:
//! `cargo run -p sessile-http --example fake -- 127.0.0.1:8081`

#[path = "../tests/http/fake.rs"]
#[allow(dead_code, reason = "the tests do more with it")]
mod fake;

use sessile_http::{ApiConfig, HttpMetrics, Limits, Server, render, router};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8081".to_owned());
    let registry = prometheus::Registry::new();
    let metrics = HttpMetrics::register(&registry)?;
    let router = router(fake::Fake::new(), ApiConfig::default(), metrics.clone(), move || render(&registry));
    let listener = tokio::net::TcpListener::bind(address).await?;
    Server::new(router, Limits::default(), &metrics, "api").serve(listener, CancellationToken::new()).await;
    Ok(())
}
