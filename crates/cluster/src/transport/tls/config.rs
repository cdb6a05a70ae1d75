use std::sync::Arc;

use parking_lot::RwLock;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::cipher_suite::{
    TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256,
};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::time_provider::TimeProvider;
use rustls::version::TLS13;
use rustls::{ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme};
use sessile_store::KeyHash;

use super::key::{KeyError, NodeKey, hash_of};

/// What is spoken inside.
const HTTP_2: &[u8] = b"h2";

/// How this node speaks TLS, with the key that it has now.
pub(crate) struct Tls(RwLock<Configs>);

struct Configs {
    key: KeyHash,
    called: Arc<ServerConfig>,
    calls: Arc<ClientConfig>,
}

impl Tls {
    /// With that key, as whoever calls and as whoever is called.
    pub(crate) fn new(key: &NodeKey) -> Result<Self, KeyError> {
        Ok(Self(RwLock::new(Configs::new(key)?)))
    }

    /// With another key from now on; what is connected stays so.
    pub(crate) fn has_key(&self, key: &NodeKey) -> Result<(), KeyError> {
        let configs = Configs::new(key)?;
        *self.0.write() = configs;
        Ok(())
    }

    /// By what others recognise this node.
    pub(crate) fn key(&self) -> KeyHash {
        self.0.read().key
    }

    pub(in crate::transport) fn called(&self) -> Arc<ServerConfig> {
        self.0.read().called.clone()
    }

    pub(crate) fn calls(&self) -> Arc<ClientConfig> {
        self.0.read().calls.clone()
    }

    /// How somebody calls who has no key, as an operator's program.
    pub(crate) fn without_a_key() -> Result<Arc<ClientConfig>, KeyError> {
        let verifier = Arc::new(AnyKey(provider().signature_verification_algorithms));
        let builder = ClientConfig::builder_with_details(Arc::new(provider()), Arc::new(NoClock));
        let builder = builder.with_protocol_versions(&[&TLS13]).map_err(KeyError::of)?.dangerous();
        Ok(Arc::new(finished(builder.with_custom_certificate_verifier(verifier).with_no_client_auth())))
    }
}

impl Configs {
    fn new(key: &NodeKey) -> Result<Self, KeyError> {
        let (certificate, secret) = key.certificate()?;
        let own = hash_of(&certificate).map_err(KeyError::of)?;
        let verifier = Arc::new(AnyKey(provider().signature_verification_algorithms));
        let (provider, clock) = (Arc::new(provider()), Arc::new(NoClock));
        let mut called = ServerConfig::builder_with_details(provider.clone(), clock.clone())
            .with_protocol_versions(&[&TLS13])
            .and_then(|builder| {
                let builder = builder.with_client_cert_verifier(verifier.clone());
                builder.with_single_cert(vec![certificate.clone()], secret.clone_key())
            })
            .map_err(KeyError::of)?;
        called.alpn_protocols = vec![HTTP_2.to_vec()];
        // Each connection proves its keys anew, and nothing of another one is kept.
        called.session_storage = Arc::new(NoServerSessionStorage {});
        called.send_tls13_tickets = 0;
        let calls = ClientConfig::builder_with_details(provider, clock)
            .with_protocol_versions(&[&TLS13])
            .and_then(|builder| {
                let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
                builder.with_client_auth_cert(vec![certificate], secret)
            })
            .map_err(KeyError::of)?;
        Ok(Self { key: own, called: Arc::new(called), calls: Arc::new(finished(calls)) })
    }
}

fn finished(mut calls: ClientConfig) -> ClientConfig {
    calls.alpn_protocols = vec![HTTP_2.to_vec()];
    calls.resumption = Resumption::disabled();
    calls.enable_sni = false;
    calls
}

/// AES with 128 bits first: as good as any here, and the fastest where the processor knows AES.
fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256],
        ..ring::default_provider()
    }
}

/// Every certificate counts, at any time, if whoever shows it has the secret key to it. Who that is, is judged where it is
/// known whom the connection is to be with.
#[derive(Debug)]
struct AnyKey(WebPkiSupportedAlgorithms);

impl AnyKey {
    fn verify(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0)
    }
}

/// Versions before 1.3 are not spoken.
fn too_old() -> Error {
    Error::General("TLS 1.3 is spoken, and nothing older".into())
}

impl ServerCertVerifier for AnyKey {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        hash_of(certificate).map(|_| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(too_old())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

impl ClientCertVerifier for AnyKey {
    fn client_auth_mandatory(&self) -> bool {
        // An operator's program has none. What only a member may say needs one.
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        hash_of(certificate).map(|_| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(too_old())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

/// rustls asks for the time to judge dates, of which there are none here. A node whose clock is wrong is reached all the
/// same.
#[derive(Debug)]
struct NoClock;

impl TimeProvider for NoClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(std::time::Duration::ZERO))
    }
}
