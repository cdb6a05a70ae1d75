use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};
use ring::digest;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::ParsedCertificate;
use sessile_store::KeyHash;

/// What stands in every certificate as its name, at which nobody looks.
pub(super) const NAME: &str = "sessile";

/// What is wrong with a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct KeyError(String);

/// A node's key pair, Ed25519.
pub(crate) struct NodeKey {
    pair: KeyPair,
}

impl KeyError {
    pub(super) fn of(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

impl NodeKey {
    /// A new one, from the operating system's random numbers.
    pub(crate) fn generate() -> Result<Self, KeyError> {
        KeyPair::generate_for(&PKCS_ED25519).map(|pair| Self { pair }).map_err(KeyError::of)
    }

    /// Reads what [`secret`](Self::secret) wrote.
    pub(crate) fn read(secret: &[u8]) -> Result<Self, KeyError> {
        let pair = KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(secret), &PKCS_ED25519);
        pair.map(|pair| Self { pair }).map_err(KeyError::of)
    }

    /// The pair in PKCS #8 (RFC 8410), to be kept and never to be shown.
    pub(crate) fn secret(&self) -> &[u8] {
        self.pair.serialized_der()
    }

    /// By what its owner is recognised.
    pub(crate) fn hash(&self) -> Result<KeyHash, KeyError> {
        hash_of(&self.certificate()?.0).map_err(KeyError::of)
    }

    /// A certificate of it, signed by itself, and the secret key as TLS wants it.
    pub(super) fn certificate(&self) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), KeyError> {
        let params = CertificateParams::new(vec![NAME.to_owned()]).map_err(KeyError::of)?;
        let certificate = params.self_signed(&self.pair).map_err(KeyError::of)?;
        let secret = PrivatePkcs8KeyDer::from(self.secret().to_vec());
        Ok((certificate.der().clone(), PrivateKeyDer::Pkcs8(secret)))
    }
}

/// By what the owner of a certificate is recognised; an error if it is none.
pub(super) fn hash_of(certificate: &CertificateDer<'_>) -> Result<KeyHash, rustls::Error> {
    let public = ParsedCertificate::try_from(certificate)?.subject_public_key_info();
    let hash = digest::digest(&digest::SHA256, &public);
    KeyHash::from_bytes(hash.as_ref()).ok_or_else(|| rustls::Error::General("SHA-256 has 32 bytes".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_read_back_is_recognised_as_the_same_by_every_certificate_of_it() {
        let key = NodeKey::generate().unwrap();
        let hash = |key: &NodeKey| hash_of(&key.certificate().unwrap().0).unwrap();
        let again = NodeKey::read(key.secret()).unwrap();
        assert_eq!(hash(&key), hash(&again));
        assert_ne!(hash(&key), hash(&NodeKey::generate().unwrap()));
        assert!(NodeKey::read(b"rubbish").is_err() && hash_of(&CertificateDer::from(vec![0x30, 0])).is_err());
    }
}
