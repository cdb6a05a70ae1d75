//! What an operator asks of a cluster, through the gRPC service of any of its nodes: `sessile status` and
//! `sessile cluster`. What is asked for is in `args`, how it is asked in `remote`, how the answer is shown in `show`.
//!
//! The answer goes to standard output, progress to standard error, and how it ended into the exit code.

pub(crate) mod args;
mod catch_up;
mod found;
pub(crate) mod remote;
mod rescue;
mod set_time;
pub(crate) mod show;
mod whom;

use std::process::ExitCode;

use anyhow::Context;
use sessile_cluster::Secret;
use sessile_cluster::admin::{
    AddLearnerRequest, AdminClient, AdminError, ChangeResponse, MemberAddress, PromoteRequest, RemoveRequest,
    ReplaceRequest, SetAddressRequest,
};
use tokio::runtime::Builder;

pub(crate) use args::{ClusterCommand, ReadyOf, StatusOf};

use crate::config::ListenAddress;
use crate::exit::{Failure, Status};
use crate::status::health::{Health, judge};
use args::{AddLearner, Change, Init, MoveAddresses, Promote, Remove, Replace, SetAddress, Watch};
use remote::Remote;
use show::{between, print, say, told, written};

/// `sessile status`: 0 if the cluster is healthy, else a code of its own.
pub(crate) fn status(of: &StatusOf) -> anyhow::Result<ExitCode> {
    block_on(async {
        let node = Remote::connect(&of.server).await?;
        if of.watch {
            return node.watch(|_, now| written(now, of.json, true)).await;
        }
        let status = node.first_status();
        print(&written(status, of.json, false))?;
        Ok(code_of(judge(status).0))
    })
}

/// `sessile ready`: 0 if the node that is asked could serve a read and a write now; else the sentence on its health.
pub(crate) fn ready(of: &ReadyOf) -> anyhow::Result<ExitCode> {
    block_on(async {
        let node = Remote::connect_to_one(&of.server, "the node that is asked says whether it is ready").await?;
        match node.first_status() {
            status if status.ready => say("ready"),
            status => Err(Failure::new(Status::NoQuorum, judge(status).1).into()),
        }
    })
}

/// `sessile cluster …`.
pub(crate) fn cluster(command: &ClusterCommand) -> anyhow::Result<ExitCode> {
    block_on(async {
        match command {
            ClusterCommand::NewToken => say(&Secret::random()),
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
            ClusterCommand::MoveAddresses(MoveAddresses { moves, server }) => {
                let node = Remote::connect_to_one(server, "the node that is asked looks for the others there").await?;
                let of = |(member, address): &(String, ListenAddress)| MemberAddress {
                    member: member.clone(),
                    address: address.to_string(),
                };
                told(&node.within(node.client().move_addresses(moves.iter().map(of).collect())).await?)
            }
            ClusterCommand::SetTime(asked) => set_time::set_time(asked).await,
            ClusterCommand::TransferLeader(transfer) => {
                let node = Remote::connect(&transfer.server).await?;
                let answer = node.within(node.client().transfer_leader(transfer.to.as_deref())).await?;
                let leads = if answer.changed { "leads now" } else { "leads already" };
                say(&format!("{} {leads}", answer.leader))
            }
            ClusterCommand::RotateKey(rotate) => {
                let node = match &rotate.member {
                    Some(_) => Remote::connect(&rotate.server).await?,
                    None => Remote::connect_to_one(&rotate.server, "the node that is asked changes its key").await?,
                };
                told(&node.within(node.client().rotate_key(rotate.member.as_deref())).await?)
            }
            ClusterCommand::Snapshot(snapshot) => {
                let node = match &snapshot.member {
                    Some(_) => Remote::connect(&snapshot.server).await?,
                    None => {
                        Remote::connect_to_one(&snapshot.server, "the node that is asked makes its state durable")
                            .await?
                    }
                };
                let answer = node.within(node.client().trigger_snapshot(snapshot.member.as_deref())).await?;
                say(&format!("the state is durable up to log index {}", answer.index))
            }
            ClusterCommand::Rescue(asked) => rescue::rescue(asked).await,
            ClusterCommand::History(of) => {
                let node = Remote::connect(&of.server).await?;
                let history = node.within(node.client().history()).await?;
                print(&show::history(&history, of.json))?;
                Ok(ExitCode::SUCCESS)
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
    let node = Remote::connect_to_one(&init.server, "the node that is asked becomes a cluster").await?;
    let answer = node.within(node.client().init()).await?;
    let made = if answer.changed { "is the first member of the new" } else { "is a member already of the" };
    say(&format!("{} {made} cluster {}", node.server(), answer.cluster_id))
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
        Some(before) => between(before, now).into_iter().map(|change| change + "\n").collect(),
    })
    .await
}

fn code_of(health: Health) -> ExitCode {
    match health {
        Health::Healthy => ExitCode::SUCCESS,
        Health::Degraded | Health::NotReady => Status::Failure.into(),
        Health::NoQuorum => Status::NoQuorum.into(),
    }
}

fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    Builder::new_current_thread().enable_all().build().context("there is no runtime")?.block_on(work)
}
