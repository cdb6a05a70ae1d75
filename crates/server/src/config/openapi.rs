use std::fmt;
use std::path::PathBuf;

/// What `/openapi` serves.
#[derive(Clone, PartialEq, Eq)]
pub enum OpenApi {
    /// The program's own, with the base URI filled in.
    BuiltIn,
    /// The file that `openapi_spec` names, as it was when the configuration was read.
    File {
        /// Where it was read from.
        path: PathBuf,
        /// What it held.
        content: String,
    },
}

impl OpenApi {
    /// The largest file that is served. Kask's own is 5 KB; it is held in memory.
    pub const MAX_BYTES: u64 = 1024 * 1024;
}

impl fmt::Debug for OpenApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("BuiltIn"),
            Self::File { path, content } => write!(f, "File({}, {} bytes)", path.display(), content.len()),
        }
    }
}
