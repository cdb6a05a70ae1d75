//! What is on disk, and what it makes.

use std::fs::File;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::RootCertStore;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ServerConfig, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};

use super::error::TlsError;
use super::named::Named;
use super::validity::Validity;

/// The largest file that is read. A chain has a few KB; a bundle of all public authorities 250.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// What is spoken inside, best first. A client that names neither speaks what it likes.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Where certificates and keys are, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate, and after it those that lead to one that clients know.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The certificates of those who vouch for clients. With it a client without such a certificate gets no connection.
    pub client_ca: Option<PathBuf>,
}

/// What the files held at one time.
pub(super) struct Contents {
    cert: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

/// What a handshake needs.
pub(super) struct Made {
    pub(super) config: Arc<ServerConfig>,
    pub(super) validity: Validity,
}

impl TlsFiles {
    pub(super) fn read(&self) -> Result<Contents, TlsError> {
        let read = |file: &Path| {
            read_at_most(MAX_FILE_BYTES, file).map_err(|source| TlsError::Unreadable { file: file.to_owned(), source })
        };
        let (cert, key) = (read(&self.cert)?, read(&self.key)?);
        Ok(Contents { cert, key, client_ca: self.client_ca.as_deref().map(read).transpose()? })
    }

    /// Two that are alike mean that nothing has changed.
    pub(super) fn fingerprint(read: &Result<Contents, TlsError>) -> u64 {
        let mut hasher = DefaultHasher::new();
        match read {
            Ok(Contents { cert, key, client_ca }) => (cert, key, client_ca).hash(&mut hasher),
            Err(error) => error.to_string().hash(&mut hasher),
        }
        hasher.finish()
    }

    /// What is worth a warning although it is served: it is the client who judges.
    pub(super) fn warnings(&self, validity: Validity, now: SystemTime) -> Vec<String> {
        let cert = self.cert.display();
        let days =
            |from: SystemTime, to: SystemTime| to.duration_since(from).map_or(0, |since| since.as_secs() / 86_400);
        let mut warnings = Vec::new();
        if now > validity.not_after {
            let days = days(validity.not_after, now);
            warnings.push(format!(
                "the certificate in {cert} expired {days} days ago; clients refuse it until it is renewed"
            ));
        } else if now < validity.not_before {
            let days = days(now, validity.not_before);
            warnings.push(format!(
                "the certificate in {cert} is valid in {days} days only; clients refuse it until then, or a clock is wrong"
            ));
        }
        let mode = std::fs::metadata(&self.key).map_or(0, |metadata| metadata.permissions().mode());
        if mode & 0o004 != 0 {
            let key = self.key.display();
            warnings.push(format!("the private key in {key} can be read by every user of this machine; chmod 640 it"));
        }
        warnings
    }

    /// What they make, if they are sound.
    pub(super) fn make(&self, contents: &Contents) -> Result<Made, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let certified = self.certified(contents, &provider)?;
        let validity =
            certified.cert.first().and_then(|cert| Validity::of(cert)).ok_or_else(|| TlsError::Unusable {
                file: self.cert.clone(),
                what: "certificate",
                source: "it does not say when it is valid".into(),
            })?;
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(|source| unusable(&self.cert, "certificate", source))?;
        let config = match (&self.client_ca, &contents.client_ca) {
            (Some(file), Some(bytes)) => {
                let roots = Arc::new(roots(file, bytes)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build();
                config.with_client_cert_verifier(verifier.map_err(|source| unusable(file, "certificates", source))?)
            }
            _ => config.with_no_client_auth(),
        };
        let mut config = config.with_cert_resolver(Arc::new(Named::new(certified, self.cert.clone())));
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        // A client that comes again need not prove and be proven anything anew. Tickets of before a reload are of no use.
        if let Ok(ticketer) = ring::Ticketer::new() {
            config.ticketer = ticketer;
        }
        Ok(Made { config: Arc::new(config), validity })
    }

    fn certified(&self, contents: &Contents, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
        let chain = certificates(&self.cert, &contents.cert)?;
        let key = PrivateKeyDer::from_pem_slice(&contents.key).map_err(|source| TlsError::NoPem {
            file: self.key.clone(),
            what: "unencrypted private key",
            begins: "PRIVATE KEY",
            source,
        })?;
        let key = provider.key_provider.load_private_key(key);
        let key = key.map_err(|source| unusable(&self.key, "private key", source))?;
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            Err(error) if TlsError::no_pair(&error) => {
                Err(TlsError::NoPair { cert: self.cert.clone(), key: self.key.clone() })
            }
            Err(error) if !matches!(error, rustls::Error::InconsistentKeys(_)) => {
                Err(unusable(&self.cert, "certificate", error))
            }
            _ => Ok(certified),
        }
    }
}

fn unusable(file: &Path, what: &'static str, source: impl std::error::Error + Send + Sync + 'static) -> TlsError {
    TlsError::Unusable { file: file.to_owned(), what, source: Box::new(source) }
}

fn roots(file: &Path, bytes: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file, bytes)? {
        roots.add(certificate).map_err(|source| unusable(file, "certificates", source))?;
    }
    Ok(roots)
}

fn certificates(file: &Path, bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let no_pem = |source| TlsError::NoPem { file: file.to_owned(), what: "certificate", begins: "CERTIFICATE", source };
    let found: Vec<_> = CertificateDer::pem_slice_iter(bytes).collect::<Result<_, _>>().map_err(no_pem)?;
    if found.is_empty() { Err(no_pem(rustls::pki_types::pem::Error::NoItemsFound)) } else { Ok(found) }
}

fn read_at_most(limit: u64, file: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(file)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is larger than {limit} bytes")));
    }
    Ok(bytes)
}
