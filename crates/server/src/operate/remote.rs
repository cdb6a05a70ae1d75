//! Asking a node: one connection, each answer within the time that was said, and an exit code for every way to fail.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{Stream, StreamExt};
use sessile_cluster::Secret;
use sessile_cluster::admin::{AdminClient, AdminError, AdminErrorKind, StatusResponse};

use tokio::time::Instant;

use super::args::Server;
use super::found::Found;
use super::show::print;
use super::whom::Whom;
use crate::config::{ClusterConfig, ListenAddress, Storage, TokenFile};
use crate::exit::{Failure, Status};

/// How long the others that are named may take to say of which cluster they are, once one has answered: members that are well
/// answer sooner, and one that is not holds no command up for long.
const OTHERS: Duration = Duration::from_millis(500);

/// A node that is asked.
pub(crate) struct Remote {
    client: AdminClient,
    server: String,
    timeout: Duration,
    /// What it said when it was found.
    first: StatusResponse,
}

impl Remote {
    /// The first that answers of those that are named, all of which are asked at once. One that is in no cluster yet is
    /// taken only where no other answers: it could do nothing that is asked of a cluster. The error names all.
    ///
    /// Those that answer soon after it must be of its cluster: what is asked of one must not be done in another, by whichever
    /// was faster.
    pub(crate) async fn connect(server: &Server) -> Result<Self, Failure> {
        match Whom::of(server)? {
            Whom::OnThisMachine(data_dir) => Self::on_this_machine(&data_dir, server.timeout).await,
            Whom::At(servers) => Self::at(&servers, server).await,
            Whom::Usual => {
                let by_socket = Self::on_this_machine(Path::new(Storage::DEFAULT_DATA_DIR), server.timeout).await;
                let Err(failure) = by_socket else { return by_socket };
                let Ok(usual) = ClusterConfig::usual_listen() else { return Err(failure) };
                let token = token(server)?;
                Self::ask(&usual, token.as_ref(), server.timeout).await.map_err(|_| failure)
            }
        }
    }

    async fn at(servers: &[ListenAddress], server: &Server) -> Result<Self, Failure> {
        let token = token(server)?;
        let mut asked: FuturesUnordered<_> = (0..)
            .zip(servers)
            .map(async |(nth, address)| (nth, Self::ask(address, token.as_ref(), server.timeout).await))
            .collect();
        let (mut found, mut in_no_cluster, mut failures) = (None::<Self>, None, Vec::new());
        let mut until = None;
        while let Some((nth, answer)) = next(&mut asked, until).await {
            match (answer, &found) {
                (Ok(remote), _) if remote.first.cluster_id.is_empty() => in_no_cluster = in_no_cluster.or(Some(remote)),
                (Ok(remote), None) => (found, until) = (Some(remote), Some(Instant::now() + OTHERS)),
                (Ok(other), Some(first)) if other.first.cluster_id != first.first.cluster_id => {
                    return Err(two_clusters(first, &other));
                }
                (Ok(_), Some(_)) => {}
                (Err(failure), _) => failures.push((nth, failure)),
            }
        }
        failures.sort_by_key(|(nth, _): &(usize, Failure)| *nth);
        let nobody = || nobody(failures.into_iter().map(|(_, failure)| failure).collect());
        found.or(in_no_cluster).ok_or_else(nobody)
    }

    /// The only one that is named, for what is asked of that node and of no other.
    pub(super) async fn connect_to_one(server: &Server, what: &str) -> Result<Self, Failure> {
        match Whom::of(server)? {
            Whom::At(servers) if servers.len() > 1 => {
                let sentence = format!("{what}, and {} are named: name one with --server", servers.len());
                Err(Failure::new(Status::Usage, sentence))
            }
            _ => Self::connect(server).await,
        }
    }

    /// The node that has that data directory, by the socket in it.
    async fn on_this_machine(data_dir: &Path, timeout: Duration) -> Result<Self, Failure> {
        let server = format!("the node in {}", data_dir.display());
        let asked = tokio::time::timeout(timeout, async {
            let mut client = AdminClient::connect_in(data_dir, timeout).await?;
            let first = client.status().await?;
            Ok::<_, AdminError>((client, first))
        });
        match asked.await {
            Ok(Ok((client, first))) => Ok(Self { client, server, timeout, first }),
            Ok(Err(error)) if [AdminErrorKind::Unreachable, AdminErrorKind::Denied].contains(&error.kind) => {
                let sentence =
                    "name its storage.data_dir with --data-dir, or with --server the cluster.listen of a node";
                Err(Failure::new(status_of(error.kind), format!("{}; or {sentence}", error.text)))
            }
            Ok(Err(error)) => Err(failure(error)),
            Err(_) => {
                let sentence = format!(
                    "{server} has not answered within {timeout:?}: it accepts connections and says nothing, as one does \
                     that stands still: see its log, or name another with --server"
                );
                Err(Failure::new(Status::NoQuorum, sentence))
            }
        }
    }

    async fn ask(address: &ListenAddress, token: Option<&Secret>, timeout: Duration) -> Result<Self, Failure> {
        let server = address.to_string();
        let asked = tokio::time::timeout(timeout, async {
            let mut client = AdminClient::connect(&server, token, timeout).await?;
            let first = client.status().await?;
            Ok((client, first))
        });
        let error = match asked.await {
            Ok(Ok((client, first))) => return Ok(Self { client, server, timeout, first }),
            Ok(Err(error)) => error,
            Err(_) => {
                let text = format!("{server} has not answered within {timeout:?}");
                AdminError { kind: AdminErrorKind::TimedOut, text }
            }
        };
        let found = Found::at(address, timeout).await;
        Err(match (found, found.sentence(address)) {
            (Found::Silence, Some(sentence)) => Failure::new(Status::NoQuorum, format!("{}: {sentence}", error.text)),
            (_, Some(sentence)) => Failure::new(Status::Unavailable, sentence),
            (_, None) => not_found(error),
        })
    }

    /// A handle for one call; they share the connection.
    pub(crate) fn client(&self) -> AdminClient {
        self.client.clone()
    }

    /// Where it is.
    pub(super) fn server(&self) -> &str {
        &self.server
    }

    /// What it said when it was found.
    pub(super) fn first_status(&self) -> &StatusResponse {
        &self.first
    }

    /// The answer, or why there is none, with the exit code for it.
    pub(crate) async fn within<T>(&self, answer: impl Future<Output = Result<T, AdminError>>) -> Result<T, Failure> {
        within(&self.server, self.timeout, answer).await
    }

    pub(super) async fn status(&self) -> Result<StatusResponse, Failure> {
        let mut client = self.client();
        self.within(client.status()).await
    }

    /// One answer of several, or why there are no more of them.
    pub(crate) fn told<T>(&self, answer: Result<T, AdminError>) -> Result<T, Failure> {
        answer.map_err(failure)
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
            let now = self.told(now)?;
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

/// What says who asks, if a file is named.
fn token(server: &Server) -> Result<Option<Secret>, Failure> {
    let read = |path: &PathBuf| {
        let read = TokenFile::read_strong(path).map(|file| file.token);
        read.map_err(|why| Failure::new(Status::Usage, format!("the token file {} {why}", path.display())))
    };
    server.token_file.as_ref().map(read).transpose()
}

/// The next answer, if there is one by then.
async fn next<T>(answers: &mut (impl Stream<Item = T> + Unpin), until: Option<Instant>) -> Option<T> {
    match until {
        Some(until) => tokio::time::timeout_at(until, answers.next()).await.ok().flatten(),
        None => answers.next().await,
    }
}

/// They were named for one command, and are not of one cluster.
fn two_clusters(one: &Remote, other: &Remote) -> Failure {
    let of =
        |node: &Remote| format!("{} ({}) is of cluster {}", node.server, node.first.node_name, node.first.cluster_id);
    let mut both = [of(one), of(other)];
    both.sort_unstable();
    let sentence = format!("{}, and nothing was asked: name nodes of one cluster with --server", both.join(", "));
    Failure::new(Status::Usage, sentence)
}

/// Why nobody was found, of all that were asked.
fn nobody(mut failures: Vec<Failure>) -> Failure {
    if failures.len() == 1
        && let Some(only) = failures.pop()
    {
        return only;
    }
    let status = failures.iter().map(Failure::status).find(|status| *status != Status::Unavailable);
    let sentences: Vec<String> = failures.iter().map(ToString::to_string).collect();
    let sentence = format!("none of the {} nodes that are named answers: {}", failures.len(), sentences.join("; "));
    Failure::new(status.unwrap_or(Status::Unavailable), sentence)
}

/// Why a node was not found, with what to do.
fn not_found(error: AdminError) -> Failure {
    let what = match error.kind {
        AdminErrorKind::Unreachable => "; start it, or name another with --server",
        _ => "",
    };
    failure(AdminError { text: error.text + what, ..error })
}

/// The exit code for it, with its sentence.
fn failure(error: AdminError) -> Failure {
    Failure::new(status_of(error.kind), error.text)
}

/// The exit code.
fn status_of(kind: AdminErrorKind) -> Status {
    match kind {
        AdminErrorKind::Unreachable => Status::Unavailable,
        AdminErrorKind::NoQuorum | AdminErrorKind::TimedOut => Status::NoQuorum,
        AdminErrorKind::Refused => Status::Refused,
        AdminErrorKind::NotFound => Status::NotFound,
        AdminErrorKind::Denied => Status::Denied,
        AdminErrorKind::Invalid => Status::Usage,
        AdminErrorKind::Other => Status::Failure,
    }
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

    #[test]
    fn when_nobody_answers_all_are_named_and_silence_is_not_absence() {
        let (absent, silent) =
            (|| Failure::new(Status::Unavailable, "n1 is absent"), || Failure::new(Status::NoQuorum, "n2 is silent"));
        for (failures, code, said) in [
            (vec![absent()], 69, "n1 is absent"),
            (vec![absent(), absent()], 69, "none of the 2 nodes that are named answers: n1 is absent; n1 is absent"),
            (vec![absent(), silent()], 75, "none of the 2 nodes that are named answers: n1 is absent; n2 is silent"),
        ] {
            let nobody = nobody(failures);
            assert_eq!((nobody.status().code(), nobody.to_string().as_str()), (code, said));
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
