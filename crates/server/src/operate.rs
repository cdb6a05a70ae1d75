//! What an operator asks of a cluster, through the gRPC service of any of its nodes: `sessile status` and
//! `sessile cluster`.
//!
//! The answer goes to standard output, progress to standard error, and how it ended into the exit code.

mod catch_up;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use futures_util::StreamExt;
use sessile_cluster::admin::{
    AddLearnerRequest, AdminClient, AdminError, AdminErrorKind, ChangeResponse, PromoteRequest, RemoveRequest,
    ReplaceRequest, SetAddressRequest, StatusResponse,
};
use tokio::runtime::Builder;

use crate::cli::operate::{
    AddLearner, Change, ClusterCommand, Init, Promote, Remove, Replace, Server, SetAddress, StatusOf, Watch,
};
use crate::config::JoinTokenFile;
use crate::exit::{Failure, Status};
use crate::output;
use crate::status::health::{Health, judge};
use crate::status::{changes, json, table};

/// `sessile status`: 0 if the cluster is healthy, else a code of its own.
pub(crate) fn status(of: &StatusOf) -> anyhow::Result<ExitCode> {
    block_on(async {
        let node = Remote::connect(&of.server).await?;
        if of.watch {
            return node.watch(|_, now| written(now, of.json, true)).await;
        }
        let status = node.status().await?;
        print(&written(&status, of.json, false))?;
        Ok(code_of(judge(&status).0))
    })
}

/// `sessile cluster …`.
pub(crate) fn cluster(command: &ClusterCommand) -> anyhow::Result<ExitCode> {
    block_on(async {
        match command {
            ClusterCommand::Init(init) => init_cluster(init).await,
            ClusterCommand::AddLearner(add) => add_learner(add).await,
            ClusterCommand::Promote(Promote { member, change }) => {
                let request = PromoteRequest { member: member.clone(), if_membership: change.if_membership };
                make(change, async |node| node.promote(request).await).await
            }
            ClusterCommand::Replace(Replace { old, new, change, force }) => {
                let request = ReplaceRequest {
                    old: old.clone(),
                    new: new.clone(),
                    if_membership: change.if_membership,
                    force: *force,
                };
                make(change, async |node| node.replace(request).await).await
            }
            ClusterCommand::Remove(Remove { member, change, force }) => {
                let request =
                    RemoveRequest { member: member.clone(), if_membership: change.if_membership, force: *force };
                make(change, async |node| node.remove(request).await).await
            }
            ClusterCommand::SetAddress(SetAddress { member, address, change }) => {
                let request = SetAddressRequest {
                    member: member.clone(),
                    address: address.to_string(),
                    if_membership: change.if_membership,
                };
                make(change, async |node| node.set_address(request).await).await
            }
            ClusterCommand::TransferLeader(transfer) => {
                let node = Remote::connect(&transfer.server).await?;
                let answer = node.within(node.client().transfer_leader(transfer.to.as_deref())).await?;
                let leads = if answer.changed { "leads now" } else { "leads already" };
                say(&format!("{} {leads}", answer.leader))
            }
            ClusterCommand::Snapshot(snapshot) => {
                let node = Remote::connect(&snapshot.server).await?;
                let answer = node.within(node.client().trigger_snapshot(snapshot.member.as_deref())).await?;
                say(&format!("the state is durable up to log index {}", answer.index))
            }
            ClusterCommand::Watch(watch) => watch_cluster(watch).await,
        }
    })
}

/// Has a change made, and tells what it did.
async fn make(
    change: &Change,
    ask: impl AsyncFnOnce(&mut AdminClient) -> Result<ChangeResponse, AdminError>,
) -> anyhow::Result<ExitCode> {
    let node = Remote::connect(&change.server).await?;
    let mut client = node.client();
    told(&node.within(ask(&mut client)).await?)
}

async fn init_cluster(init: &Init) -> anyhow::Result<ExitCode> {
    let token = init.join_token_file.as_deref().map(|path| {
        let fault = |why| Failure::new(Status::Usage, format!("the join token file {} {why}", path.display()));
        JoinTokenFile::read(path).map_err(fault)
    });
    let token = token.transpose()?;
    let node = Remote::connect(&init.server).await?;
    let secret = token.as_ref().map_or("", JoinTokenFile::secret);
    let answer = node.within(node.client().init(secret)).await?;
    let made = if answer.changed { "is the first member of the new" } else { "is a member already of the" };
    say(&format!("{} {made} cluster {}", init.server.server, answer.cluster_id))
}

async fn add_learner(add: &AddLearner) -> anyhow::Result<ExitCode> {
    let node = Remote::connect(&add.change.server).await?;
    let address = add.address.to_string();
    let request = AddLearnerRequest { address: address.clone(), if_membership: add.change.if_membership };
    let answer = node.within(node.client().add_learner(request)).await?;
    let ended = told(&answer)?;
    if !add.no_wait {
        catch_up::watch(&node, &address).await?;
        say(&format!("{address} has caught up"))?;
    }
    Ok(ended)
}

async fn watch_cluster(watch: &Watch) -> anyhow::Result<ExitCode> {
    let node = Remote::connect(&watch.server).await?;
    node.watch(|before, now| match before {
        _ if watch.json => written(now, true, true),
        None => judge(now).1 + "\n",
        Some(before) => changes::between(before, now).into_iter().map(|change| change + "\n").collect(),
    })
    .await
}

/// A node that is asked.
struct Remote {
    client: AdminClient,
    server: String,
    timeout: Duration,
}

impl Remote {
    async fn connect(server: &Server) -> Result<Self, Failure> {
        let (address, timeout) = (server.server.to_string(), server.timeout);
        let client = within(&address, timeout, AdminClient::connect(&address, timeout)).await?;
        Ok(Self { client, server: address, timeout })
    }

    /// A handle for one call; they share the connection.
    fn client(&self) -> AdminClient {
        self.client.clone()
    }

    /// The answer, or why there is none, with the exit code for it.
    async fn within<T>(&self, answer: impl Future<Output = Result<T, AdminError>>) -> Result<T, Failure> {
        within(&self.server, self.timeout, answer).await
    }

    async fn status(&self) -> Result<StatusResponse, Failure> {
        let mut client = self.client();
        self.within(client.status()).await
    }

    /// Prints what that makes of every status, given the one before, until the node is gone: the error says so.
    async fn watch(
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

fn code_of(health: Health) -> ExitCode {
    match health {
        Health::Healthy => ExitCode::SUCCESS,
        Health::Degraded | Health::NotReady => Status::Failure.into(),
        Health::NoQuorum => Status::NoQuorum.into(),
    }
}

/// A status as it is printed; one of several is a line, or ends with an empty one.
fn written(status: &StatusResponse, as_json: bool, one_of_several: bool) -> String {
    match (as_json, one_of_several) {
        (true, true) => format!("{}\n", json::render(status)),
        (true, false) => format!("{:#}\n", json::render(status)),
        (false, true) => table::render(status) + "\n",
        (false, false) => table::render(status),
    }
}

/// What a change did, or that there was nothing to do, which is as good.
fn told(answer: &ChangeResponse) -> anyhow::Result<ExitCode> {
    let already = if answer.changed { "" } else { "nothing to do: " };
    say(&format!("{already}{} (membership {})", answer.what, answer.membership_index))
}

fn say(sentence: &str) -> anyhow::Result<ExitCode> {
    print(&format!("{sentence}\n"))?;
    Ok(ExitCode::SUCCESS)
}

fn print(text: &str) -> anyhow::Result<()> {
    output::to_stdout(text).context("standard output cannot be written")
}

fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    Builder::new_current_thread().enable_all().build().context("there is no runtime")?.block_on(work)
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
    fn one_of_several_documents_is_one_line() {
        let status = StatusResponse { alerts: vec!["a\nb".to_owned()], ..StatusResponse::default() };
        let line = written(&status, true, true);
        assert_eq!(line.lines().count(), 1, "{line}");
        assert!(written(&status, true, false).lines().count() > 1);
        assert!(written(&status, false, true).ends_with("alert: a?b\n\n"));
    }

    #[tokio::test]
    async fn nobody_is_waited_for_longer_than_was_said() {
        let silence = std::future::pending::<Result<(), AdminError>>();
        let failure = within("n1:7081", Duration::from_millis(1), silence).await.unwrap_err();
        assert_eq!(failure.status(), Status::NoQuorum);
        assert!(failure.to_string().starts_with("n1:7081 has not answered within 1ms: it may have been done or not"));
    }
}
