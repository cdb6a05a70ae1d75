//! Which namespaces there are, and what they may hold: `sessile namespace`, through the gRPC service of any node of a
//! cluster. What is asked for is in `args`, how the answer is shown in `show`, and what is asked first of whoever is about to
//! end sessions in `confirm`. Tokens have files of their own, `token` and `token_args`.

mod args;
mod asked;
mod confirm;
mod keys;
mod show;
mod token;
mod token_args;

use std::process::ExitCode;

use anyhow::Context;
use sessile_cluster::admin::{
    AdminClient, AdminError, CreateNamespaceRequest, DropNamespaceRequest, NamespaceResponse, NamespaceStatus,
    SetNamespaceRequest, TruncateNamespaceRequest,
};
use tokio::runtime::Builder;

pub(crate) use args::NamespaceCommand;

use crate::exit::{Failure, Status};
use crate::operate::remote::Remote;
use crate::operate::show::{print, say};
use args::{Drop, Truncate};
use asked::Asked;

/// `sessile namespace …`.
pub(crate) fn run(command: &NamespaceCommand) -> anyhow::Result<ExitCode> {
    let runtime = Builder::new_current_thread().enable_all().build().context("there is no runtime")?;
    runtime.block_on(async {
        match command {
            NamespaceCommand::List(list) => {
                let all = all(&Remote::connect(&list.server).await?).await?;
                shown(&if list.json { show::document(&all) } else { show::table(&all) })
            }
            NamespaceCommand::Show(of) => {
                let one = one(&Remote::connect(&of.server).await?, &of.name).await?;
                shown(&if of.json { show::one_document(&one) } else { show::one(&one) })
            }
            NamespaceCommand::Groups(of) => {
                let node = Remote::connect(&of.server).await?;
                let groups = node.within(node.client().groups(&of.name)).await?.groups;
                shown(&if of.json { show::groups_document(&groups) } else { show::groups(&groups) })
            }
            NamespaceCommand::Keys(of) => keys::run(of).await,
            NamespaceCommand::Create(create) => {
                let mut choices = create.limits.choices();
                choices.base_uri = Some(create.base_uri.clone());
                let request = CreateNamespaceRequest { name: create.name.clone(), choices: Some(choices) };
                make(&create.asked, async |node| node.create_namespace(request).await).await
            }
            NamespaceCommand::Set(set) => {
                let mut choices = set.limits.choices();
                choices.base_uri.clone_from(&set.base_uri);
                let request = SetNamespaceRequest { name: set.name.clone(), choices: Some(choices) };
                make(&set.asked, async |node| node.set_namespace(request).await).await
            }
            NamespaceCommand::Truncate(of) => truncate(of).await,
            NamespaceCommand::Drop(of) => drop_namespace(of).await,
            NamespaceCommand::Token { command } => token::run(command).await,
        }
    })
}

async fn truncate(Truncate { name, group, yes, asked }: &Truncate) -> anyhow::Result<ExitCode> {
    if confirm::is_asked(*yes) {
        let node = Remote::connect(&asked.server).await?;
        let (keys, bytes) = match group {
            None => counted(&one(&node, name).await?),
            Some(group) => {
                let groups = node.within(node.client().groups(name)).await?.groups;
                groups.iter().find(|of| of.name == *group).map_or((0, 0), |of| (of.keys, of.bytes))
            }
        };
        confirm::or_refuse(group.as_ref().unwrap_or(name), &format!("{keys} sessions, {bytes} bytes, would end"))?;
    }
    let group = group.clone().unwrap_or_default();
    let request = TruncateNamespaceRequest { name: name.clone(), group };
    make(asked, async |node| node.truncate_namespace(request).await).await
}

async fn drop_namespace(Drop { name, force, yes, asked }: &Drop) -> anyhow::Result<ExitCode> {
    if *force && confirm::is_asked(*yes) {
        let (keys, bytes) = counted(&one(&Remote::connect(&asked.server).await?, name).await?);
        confirm::or_refuse(name, &format!("{keys} sessions, {bytes} bytes, would end, and their namespace with them"))?;
    }
    let request = DropNamespaceRequest { name: name.clone(), force: *force };
    make(asked, async |node| node.drop_namespace(request).await).await
}

/// Has a change made, and tells what it did.
async fn make(
    Asked { server, json }: &Asked,
    ask: impl AsyncFnOnce(&mut AdminClient) -> Result<NamespaceResponse, AdminError>,
) -> anyhow::Result<ExitCode> {
    let node = Remote::connect(server).await?;
    let mut client = node.client();
    let done = node.within(ask(&mut client)).await?;
    if *json { shown(&show::done_document(&done)) } else { say(&done.what) }
}

async fn all(node: &Remote) -> Result<Vec<NamespaceStatus>, Failure> {
    Ok(node.within(node.client().namespaces()).await?.namespaces)
}

async fn one(node: &Remote, name: &str) -> Result<NamespaceStatus, Failure> {
    let all = all(node).await?;
    let names: Vec<&str> = all.iter().map(|namespace| namespace.name.as_str()).collect();
    let sentence = format!("there is no namespace {name:?}; there are: {}", names.join(", "));
    all.into_iter().find(|namespace| namespace.name == name).ok_or_else(|| Failure::new(Status::NotFound, sentence))
}

fn counted(namespace: &NamespaceStatus) -> (u64, u64) {
    (namespace.keys, namespace.bytes)
}

fn shown(text: &str) -> anyhow::Result<ExitCode> {
    print(text)?;
    Ok(ExitCode::SUCCESS)
}
