use std::path::PathBuf;
use std::time::Duration;

use super::block::Block;
use super::fault::ConfigError;

/// The `backup:` block: the backups that a node makes by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupSchedule {
    /// Where they are kept, an absolute path. Made if it is not there.
    pub directory: PathBuf,
    /// How often one is made.
    pub every: Duration,
    /// How many of the newest are kept.
    pub keep: usize,
}

impl BackupSchedule {
    /// The block, checked whole; `None` if it is not there.
    pub(super) fn check(block: &Block<'_>) -> Result<Option<Self>, ConfigError> {
        let every = Duration::from_secs(block.number_or_default("every")?);
        let keep = usize::try_from(block.number_or_default("keep")?).unwrap_or(usize::MAX);
        let Some(found) = block.text("directory")? else {
            return match block.place_of("every").or(block.place_of("keep")) {
                None => Ok(None),
                Some(place) => {
                    let sentence =
                        "`backup` wants a `directory`, in which the backups are kept; add it, or remove `backup`";
                    Err(ConfigError::at(place, sentence))
                }
            };
        };
        let directory = std::path::absolute(found.value).map_err(|_| block.must("directory", &found))?;
        Ok(Some(Self { directory, every, keep }))
    }
}
