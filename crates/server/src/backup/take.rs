//! `sessile backup`: all sessions of a cluster, through any of its nodes, into a file.

use std::process::ExitCode;

use futures_util::StreamExt as _;
use sessile_cluster::admin::{AdminError, AdminErrorKind};
use sessile_store::{BackupSummary, BackupWriter};

use super::args::Backup;
use super::destination::Destination;
use super::{STANDARD, failure, name_of, show};
use crate::exit::{Failure, Status};
use crate::operate::remote::Remote;
use crate::operate::show::print;
use crate::progress::Progress;

pub(super) async fn run(asked: &Backup) -> anyhow::Result<ExitCode> {
    let to_stdout = asked.file == std::path::Path::new(STANDARD);
    if to_stdout && asked.json {
        let sentence = "--json and the backup cannot both have standard output; name a file";
        return Err(Failure::new(Status::Usage, sentence).into());
    }
    let node = Remote::connect(&asked.server).await?;
    let destination = Destination::new(&asked.file)?;
    let summary = write(&node, asked, destination).await?;
    if asked.json {
        print(&show::document(&summary))?;
    } else if !to_stdout {
        print(&show::sentence(&name_of(&asked.file), &summary))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn write(node: &Remote, asked: &Backup, destination: Destination) -> Result<BackupSummary, Failure> {
    let name = name_of(&asked.file);
    let mut client = node.client();
    let mut parts = node.within(client.backup(asked.even_behind)).await?;
    let cut_short = || {
        let text =
            format!("{name}: the node has ended it before it was whole, as one does that stops; ask another one");
        AdminError { kind: AdminErrorKind::Unreachable, text }
    };
    let head = node.told(parts.next().await.unwrap_or_else(|| Err(cut_short())))?;
    let mut writer = BackupWriter::new(destination, head).map_err(|error| failure(&name, &error))?;
    let mut progress = Progress::new(format!("backing up to {name}"), Some(writer.head().live_bytes));
    while let Some(part) = parts.next().await {
        writer.chunk(node.told(part)?).map_err(|error| failure(&name, &error))?;
        progress.at(writer.bytes());
    }
    if !writer.has_all() {
        return node.told(Err(cut_short()));
    }
    let (destination, summary) = writer.finish().map_err(|error| failure(&name, &error))?;
    destination.settle().map_err(|error| Failure::new(Status::CannotCreate, format!("{name}: {error}")))?;
    progress.end();
    Ok(summary)
}
