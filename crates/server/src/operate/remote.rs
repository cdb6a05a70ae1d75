//! Asking a node: one connection, each answer within the time that was said, and an exit code for every way to fail.

use std::process::ExitCode;
use std::time::Duration;

use futures_util::StreamExt;
use sessile_cluster::admin::{AdminClient, AdminError, AdminErrorKind, StatusResponse};

use super::args::Server;
use super::show::print;
use crate::exit::{Failure, Status};

/// A node that is asked.
pub(super) struct Remote {
    client: AdminClient,
    server: String,
    timeout: Duration,
}

impl Remote {
    pub(super) async fn connect(server: &Server) -> Result<Self, Failure> {
        let (address, timeout) = (server.server.to_string(), server.timeout);
        let client = within(&address, timeout, AdminClient::connect(&address, timeout)).await?;
        Ok(Self { client, server: address, timeout })
    }

    /// A handle for one call; they share the connection.
    pub(super) fn client(&self) -> AdminClient {
        self.client.clone()
    }

    /// The answer, or why there is none, with the exit code for it.
    pub(super) async fn within<T>(&self, answer: impl Future<Output = Result<T, AdminError>>) -> Result<T, Failure> {
        within(&self.server, self.timeout, answer).await
    }

    pub(super) async fn status(&self) -> Result<StatusResponse, Failure> {
        let mut client = self.client();
        self.within(client.status()).await
    }

    /// Prints what that makes of every status, given the one before, until the node is gone: the error says so.
    pub(super) async fn watch(
        &self,
        text: impl Fn(Option<&StatusResponse>, &StatusResponse) -> String,
    ) -> anyhow::Result<ExitCode> {
        let mut client = self.client();
        let mut statuses = std::pin::pin!(self.within(client.watch()).await?);
        let mut before = None;
        while let Some(now) = statuses.next().await {
            let now = now.map_err(failure)?;
            print(&text(before.as_ref(), &now))?;
            before = Some(now);
        }
        let sentence = format!("{} tells no more, as a node that stops does; ask another one", self.server);
        Err(Failure::new(Status::Unavailable, sentence).into())
    }
}

async fn within<T>(
    server: &str,
    timeout: Duration,
    answer: impl Future<Output = Result<T, AdminError>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(timeout, answer).await {
        Ok(answer) => answer.map_err(failure),
        Err(_) => {
            let sentence = format!(
                "{server} has not answered within {timeout:?}: it may have been done or not; ask again, or allow more \
                 time with --timeout"
            );
            Err(Failure::new(Status::NoQuorum, sentence))
        }
    }
}

/// The exit code for it, with its sentence.
fn failure(error: AdminError) -> Failure {
    let status = match error.kind {
        AdminErrorKind::Unreachable => Status::Unavailable,
        AdminErrorKind::NoQuorum | AdminErrorKind::TimedOut => Status::NoQuorum,
        AdminErrorKind::Refused => Status::Refused,
        AdminErrorKind::NotFound => Status::NotFound,
        AdminErrorKind::Denied => Status::Denied,
        AdminErrorKind::Invalid => Status::Usage,
        AdminErrorKind::Other => Status::Failure,
    };
    Failure::new(status, error.text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_fail_has_its_code_and_keeps_its_sentence() {
        for (kind, code) in [
            (AdminErrorKind::Unreachable, 69),
            (AdminErrorKind::NoQuorum, 75),
            (AdminErrorKind::TimedOut, 75),
            (AdminErrorKind::Refused, 65),
            (AdminErrorKind::NotFound, 68),
            (AdminErrorKind::Denied, 77),
            (AdminErrorKind::Invalid, 64),
            (AdminErrorKind::Other, 1),
        ] {
            let failure = failure(AdminError { kind, text: "what happened".to_owned() });
            assert_eq!((failure.status().code(), failure.to_string().as_str()), (code, "what happened"), "{kind:?}");
        }
    }

    #[tokio::test]
    async fn nobody_is_waited_for_longer_than_was_said() {
        let silence = std::future::pending::<Result<(), AdminError>>();
        let failure = within("n1:7081", Duration::from_millis(1), silence).await.unwrap_err();
        assert_eq!(failure.status(), Status::NoQuorum);
        assert!(failure.to_string().starts_with("n1:7081 has not answered within 1ms: it may have been done or not"));
    }
}
