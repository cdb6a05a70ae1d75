use rustls::CommonState;
use rustls::pki_types::CertificateDer;
use sessile_store::KeyHash;

use super::key::hash_of;

/// Of RFC 9266.
const EXPORTER: &[u8] = b"EXPORTER-Channel-Binding";

/// What a handshake proved of the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Handshake {
    /// The key that it has; `None` for one that showed none, as an operator's program.
    pub(crate) key: Option<KeyHash>,
    /// What both sides of this connection know, and nobody else. What is proved with it is proved for this connection.
    pub(crate) exporter: [u8; 32],
}

impl Handshake {
    /// That of a connection without TLS, where the configuration has none: it proves nothing, and what is proved with it may
    /// be replayed.
    pub(crate) const PLAIN: Self = Self { key: None, exporter: [0; 32] };

    pub(super) fn of(
        state: &CommonState,
        export: impl FnOnce([u8; 32], &[u8]) -> Result<[u8; 32], rustls::Error>,
    ) -> Result<Self, rustls::Error> {
        let certificate: Option<&CertificateDer<'_>> = state.peer_certificates().and_then(<[_]>::first);
        Ok(Self { key: certificate.map(hash_of).transpose()?, exporter: export([0; 32], EXPORTER)? })
    }
}
