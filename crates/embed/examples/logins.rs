//! An application whose copies share their logins: who logs in at one is logged in at all, also when that one is gone.
//!
//! ```text
//! export SESSILE_JOIN_TOKEN=$(sessile cluster new-token)
//! ALL=127.0.0.1:7001,127.0.0.1:7002,127.0.0.1:7003
//! cargo run -p sessile-embed --example logins --features tower-sessions -- n1 127.0.0.1:3001 127.0.0.1:7001 $ALL /tmp/n1
//! ```
//! and the same for n2 and n3, each in a terminal of its own. Then
//!
//! ```text
//! curl -c jar -d name=Ada http://127.0.0.1:3001/login
//! curl -b jar http://127.0.0.1:3002/
//! ```

use std::error::Error;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Form, Router};
use serde::Deserialize;
use sessile_embed::{Config, Member, Node, TowerStore};
use tower_sessions::cookie::time::Duration;
use tower_sessions::{Expiry, Session, SessionManagerLayer};

/// Where a session keeps who it is of.
const USER: &str = "user";
const DAY: Duration = Duration::days(1);

#[derive(Deserialize)]
struct Login {
    name: String,
}

/// A real application asks for a password here.
async fn login(session: Session, Form(login): Form<Login>) -> Result<String, StatusCode> {
    // Another id from here on: who knew the one of before is not logged in by it.
    session.cycle_id().await.map_err(unavailable)?;
    session.insert(USER, &login.name).await.map_err(unavailable)?;
    Ok(format!("Hello, {}.\n", login.name))
}

async fn logout(session: Session) -> Result<&'static str, StatusCode> {
    session.flush().await.map_err(unavailable)?;
    Ok("Bye.\n")
}

async fn home(State(copy): State<String>, session: Session) -> Result<String, StatusCode> {
    let user: Option<String> = session.get(USER).await.map_err(unavailable)?;
    let user = user.unwrap_or_else(|| "nobody".to_owned());
    Ok(format!("{copy} knows you as {user}.\n"))
}

/// The store could not be asked, and says so instead of guessing.
#[expect(clippy::needless_pass_by_value, reason = "as `map_err` gives it")]
fn unavailable(error: tower_sessions::session::Error) -> StatusCode {
    tracing::warn!("no answer from the sessions: {error}");
    StatusCode::SERVICE_UNAVAILABLE
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, http, peers, all, data_dir] = &arguments[..] else {
        return Err("usage: logins NAME HTTP_ADDRESS ADDRESS ADDRESS,ADDRESS,… DATA_DIR".into());
    };
    let token = std::env::var("SESSILE_JOIN_TOKEN").map_err(|_| "SESSILE_JOIN_TOKEN is not set")?;

    let member = Member::new(name, peers, &token).first_members(all.split(','));
    let node = Node::from_config(Config::new(data_dir).with_member(member)).await?;
    node.ready().await?;

    let layer = SessionManagerLayer::new(TowerStore::new(node.sessions()))
        // A browser sends the cookie over HTTPS only, unless that is switched off: this one speaks HTTP.
        .with_secure(false)
        .with_expiry(Expiry::OnInactivity(DAY));
    let app = Router::new()
        .route("/", get(home))
        .route("/login", post(login))
        .route("/logout", post(logout))
        .layer(layer)
        .with_state(name.clone());
    let listener = tokio::net::TcpListener::bind(http).await?;
    tracing::info!("{name} serves http://{}/", listener.local_addr()?);
    tokio::select! {
        ended = axum::serve(listener, app) => ended?,
        why = node.failed() => tracing::error!("{why}"),
        signal = tokio::signal::ctrl_c() => signal?,
    }
    Ok(node.shutdown().await?)
}
