//! Certificates of a test's own, and clients that trust them.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use sessile_http::{Limits, Tls, TlsFiles};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::client::PATIENCE;
use crate::world::{World, config};

/// Whom certificates are for.
pub(crate) const NAME: &str = "sessions.example";

/// The last day of November 2026.
pub(crate) fn clock() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(20_787 * 86_400)
}

/// A certificate and its key.
pub(crate) struct Pair {
    pub(crate) cert: String,
    pub(crate) der: CertificateDer<'static>,
    pub(crate) key: KeyPair,
}

pub(crate) fn params(name: &str) -> CertificateParams {
    CertificateParams::new([name.to_owned()]).unwrap()
}

pub(crate) fn pair_of(params: &CertificateParams) -> Pair {
    let key = KeyPair::generate().unwrap();
    let cert = params.self_signed(&key).unwrap();
    Pair { cert: cert.pem(), der: cert.der().clone(), key }
}

pub(crate) fn pair() -> Pair {
    pair_of(&params(NAME))
}

/// A directory with a certificate and a key in it.
pub(crate) struct Place {
    dir: TempDir,
}

impl Place {
    pub(crate) fn with(pair: &Pair) -> Self {
        let place = Self { dir: tempfile::tempdir().unwrap() };
        place.write(&pair.cert, &pair.key.serialize_pem());
        place
    }

    pub(crate) fn write(&self, cert: &str, key: &str) {
        for (file, text) in [("cert.pem", cert), ("key.pem", key)] {
            // As tools that renew certificates do.
            fs::write(self.path("new"), text).unwrap();
            fs::rename(self.path("new"), self.path(file)).unwrap();
        }
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    pub(crate) fn files(&self) -> TlsFiles {
        TlsFiles { cert: self.path("cert.pem"), key: self.path("key.pem"), client_ca: None }
    }

    pub(crate) fn load(&self) -> Tls {
        Tls::load(self.files(), clock, None).unwrap()
    }
}

pub(crate) async fn world(tls: &Tls, limits: Limits) -> World {
    World::over(config(), limits, Some(tls.clone())).await
}

pub(crate) fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(ring::default_provider())
}

pub(crate) fn client_config(
    trusted: &CertificateDer<'static>,
    version: &'static SupportedProtocolVersion,
    identity: Option<&Pair>,
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[version]).unwrap();
    let builder = builder.with_root_certificates(roots);
    match identity {
        None => builder.with_no_client_auth(),
        Some(pair) => {
            let key = PrivateKeyDer::Pkcs8(pair.key.serialize_der().into());
            builder.with_client_auth_cert(vec![pair.der.clone()], key).unwrap()
        }
    }
}

pub(crate) async fn connect(
    address: SocketAddr,
    config: ClientConfig,
    name: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let handshake = TlsConnector::from(Arc::new(config)).connect(name, stream);
    tokio::time::timeout(PATIENCE, handshake).await.expect("the server is silent")
}

/// The status line of an answer over HTTP/1.1; an error if the server refuses.
pub(crate) async fn get(stream: &mut TlsStream<TcpStream>) -> std::io::Result<String> {
    stream.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await?;
    let mut answer = vec![0; 15];
    tokio::time::timeout(PATIENCE, stream.read_exact(&mut answer)).await.expect("the server is silent")?;
    Ok(String::from_utf8(answer).unwrap())
}
