//! `sessile restore`: a backup becomes the data of a node.

use std::process::ExitCode;

use sessile_store::{StoreOptions, restore as restore_into};

use super::args::Restore;
use super::{failure, name_of, open, show};
use crate::operate::show::print;
use crate::progress::Progress;
use crate::unix_user::this_user;

/// `sessile restore`.
pub(crate) fn restore(asked: &Restore) -> anyhow::Result<ExitCode> {
    let (input, bytes) = open(&asked.file)?;
    let mut progress = Progress::new(format!("restoring {}", name_of(&asked.file)), bytes);
    let options = StoreOptions { engine: asked.engine, ..StoreOptions::default() };
    let restored = restore_into(input, &asked.data_dir, &options, &this_user(), |read| progress.at(read));
    let restored = restored.map_err(|error| failure(&name_of(&asked.file), &error))?;
    progress.end();
    print(&if asked.json { show::restored_document(&restored) } else { show::restored(&asked.data_dir, &restored) })?;
    Ok(ExitCode::SUCCESS)
}
