use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::client::verify_server_name;
use rustls::pki_types::ServerName;
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// The one certificate, for whatever name a client asks. It is the client who judges; that one asked for another name is
/// said once, because then either the certificate or the client's configuration is not what somebody meant.
#[derive(Debug)]
pub(super) struct Named {
    certified: Arc<CertifiedKey>,
    file: PathBuf,
    is_said: AtomicBool,
}

impl Named {
    pub(super) fn new(certified: CertifiedKey, file: PathBuf) -> Self {
        Self { certified: Arc::new(certified), file, is_said: AtomicBool::new(false) }
    }

    fn is_for(&self, name: &str) -> bool {
        let certificate = self.certified.cert.first().and_then(|cert| ParsedCertificate::try_from(cert).ok());
        let name = ServerName::try_from(name).ok();
        certificate.zip(name).is_none_or(|(certificate, name)| verify_server_name(&certificate, &name).is_ok())
    }
}

impl ResolvesServerCert for Named {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if let Some(name) = hello.server_name()
            && !self.is_said.load(Ordering::Relaxed)
            && !self.is_for(name)
            && !self.is_said.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(
                name,
                file = %self.file.display(),
                "a client asks for a name that the certificate is not for, and probably refuses it; said once for each \
                 certificate"
            );
        }
        Some(Arc::clone(&self.certified))
    }
}
