//! What lies in a log's directory, by name.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::LogError;
use super::segment::UNFINISHED_NAME;
use super::spares::UNFINISHED_SPARE_NAME;

/// The files of a log's directory. Names the log never gives (a backup's leavings, `lost+found`) are not ours and stay.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) segments: BTreeMap<u32, PathBuf>,
    pub(super) spares: Vec<PathBuf>,
    pub(super) unfinished: Vec<PathBuf>,
    pub(super) foreign: Option<String>,
}

impl Listing {
    /// Lists `directory`. A `.seg` file whose name is no segment's number is refused: somebody renamed one.
    pub(super) fn of(directory: &Path) -> Result<Listing, LogError> {
        let mut listing = Listing::default();
        for entry in fs::read_dir(directory).map_err(LogError::io("list", directory))? {
            let path = entry.map_err(LogError::io("list", directory))?.path();
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            if name == UNFINISHED_NAME || name == UNFINISHED_SPARE_NAME {
                listing.unfinished.push(path);
            } else if let Some(stem) = name.strip_suffix(".seg") {
                let number = number(stem).ok_or_else(|| LogError::Missing {
                    file: path.clone(),
                    what: "its name is no segment's, so a segment was renamed".to_owned(),
                })?;
                listing.segments.insert(number, path);
            } else if name.strip_suffix(".spare").and_then(number).is_some() {
                listing.spares.push(path);
            } else {
                listing.foreign = Some(name);
            }
        }
        listing.spares.sort();
        Ok(listing)
    }

    /// Whether there is, or was, a log: a spare is left of a segment that existed.
    pub(super) fn holds_a_log(&self) -> bool {
        !self.segments.is_empty() || !self.spares.is_empty()
    }
}

fn number(stem: &str) -> Option<u32> {
    let digits = stem.len() == 10 && stem.bytes().all(|byte| byte.is_ascii_digit());
    stem.parse().ok().filter(|number| digits && *number > 0)
}
