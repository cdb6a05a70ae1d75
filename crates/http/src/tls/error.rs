use std::io;
use std::path::PathBuf;

use rustls::InconsistentKeys;
use rustls::pki_types::pem;

/// Why there is no TLS with these files. Each says what to do, in one sentence.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{} cannot be read ({source}); correct the path, or let this user read the file", file.display())]
    Unreadable {
        /// Which one.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not PEM, or has nothing of what it is for.
    #[error("{} holds no {what} in PEM ({source}); put one there, which begins with a line `-----BEGIN {begins}-----`", file.display())]
    NoPem {
        /// Which one.
        file: PathBuf,
        /// What it is for.
        what: &'static str,
        /// How that would begin.
        begins: &'static str,
        /// What the reader says.
        source: pem::Error,
    },
    /// What a file holds is damaged, or of a kind that is not known.
    #[error("the {what} in {} cannot be used ({source}); replace it", file.display())]
    Unusable {
        /// Which one.
        file: PathBuf,
        /// What it holds.
        what: &'static str,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Certificate and key are not a pair.
    #[error(
        "the key in {} is not that of the certificate in {}, which must be the first one in its file; put a pair there",
        key.display(),
        cert.display()
    )]
    NoPair {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
}

impl TlsError {
    pub(super) fn no_pair(error: &rustls::Error) -> bool {
        matches!(error, rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch))
    }
}
