use std::io;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::handshake::Handshake;
use super::key::NAME;
use crate::transport::stream::Wire;

/// Whether somebody answered something that is no TLS.
pub(in crate::transport) fn speaks_no_tls(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    causes.any(|cause| {
        let inner = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let inner = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>());
        matches!(inner.or(cause.downcast_ref()), Some(rustls::Error::InvalidMessage(_)))
    })
}

/// Speaks TLS over a connection that this node has made. Nothing is sent over it that the other side should not have seen
/// before it is known who that is: what comes back says which key it has.
pub(in crate::transport) async fn secured(
    config: Arc<ClientConfig>,
    wire: Box<dyn Wire>,
) -> io::Result<(Box<dyn Wire>, Handshake)> {
    let name = ServerName::try_from(NAME).map_err(io::Error::other)?;
    let stream: TlsStream<Box<dyn Wire>> = TlsConnector::from(config).connect(name, wire).await?;
    let (_, state) = stream.get_ref();
    let handshake = Handshake::of(state, |exporter, label| state.export_keying_material(exporter, label, None));
    let handshake = handshake.map_err(io::Error::other)?;
    Ok((Box::new(stream), handshake))
}
