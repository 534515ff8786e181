//! Whom we trust when we connect by TLS, and what we show of ourselves.

use std::error::Error;
use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{AlertDescription, ClientConfig, RootCertStore};

/// Makes aws-lc-rs the cryptography of every TLS connection of this process. Further calls change nothing.
pub fn install_crypto() {
    // An error only says that it is installed already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

/// The certificates that vouch for the other side, and the one that we show where it asks for one. TLS 1.2 and 1.3.
#[derive(Debug, Clone)]
pub struct Roots {
    store: Arc<RootCertStore>,
    config: Arc<ClientConfig>,
}

impl PartialEq for Roots {
    /// True if they vouch for the same servers.
    fn eq(&self, other: &Self) -> bool {
        self.store.roots == other.store.roots
    }
}

impl Roots {
    /// The system's store, read once.
    ///
    /// # Errors
    /// If the system has no certificates at all.
    pub fn system() -> io::Result<Self> {
        static SYSTEM: OnceLock<Roots> = OnceLock::new();
        if let Some(roots) = SYSTEM.get() {
            return Ok(roots.clone());
        }
        let found = rustls_native_certs::load_native_certs();
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(found.certs);
        if store.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                "this system has no CA certificates: install ca-certificates, or set SSL_CERT_FILE",
            ));
        }
        Ok(SYSTEM.get_or_init(|| Self::from_store(store)).clone())
    }

    /// The PEM certificates of `file`, and no others.
    ///
    /// # Errors
    /// If the file cannot be read or holds no certificate.
    pub fn from_file(file: &Path) -> io::Result<Self> {
        Self::from_pem(&std::fs::read(file)?)
    }

    /// These PEM certificates, and no others.
    ///
    /// # Errors
    /// If there is none among them, or one that cannot be used.
    pub fn from_pem(pem: &[u8]) -> io::Result<Self> {
        Ok(Self::from_store(add_pem(RootCertStore::empty(), pem)?))
    }

    /// The same and these PEM certificates.
    ///
    /// # Errors
    /// As for [`Roots::from_pem`].
    pub fn and_pem(&self, pem: &[u8]) -> io::Result<Self> {
        Ok(Self::from_store(add_pem(RootCertStore::clone(&self.store), pem)?))
    }

    /// The same, showing a certificate of our own to those who ask for one. `certificates` is its chain, itself first;
    /// both are PEM. Sessions are not shared with those who show another or none.
    ///
    /// # Errors
    /// If one of them is no PEM, or they do not belong together. The text has nothing of the key in it.
    pub fn showing(&self, certificates: &[u8], key: &[u8]) -> io::Result<Self> {
        let chain = CertificateDer::pem_slice_iter(certificates).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|error| invalid(format!("not a PEM certificate: {error}")))?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| invalid("not a private key in PEM".into()))?;
        let builder = ClientConfig::builder().with_root_certificates(Arc::clone(&self.store));
        let config = builder
            .with_client_auth_cert(chain, key)
            .map_err(|error| invalid(format!("certificate and key cannot be used together: {error}")))?;
        Ok(Self { store: Arc::clone(&self.store), config: Arc::new(speaking_http(config)) })
    }

    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.config)
    }

    fn from_store(store: RootCertStore) -> Self {
        let store = Arc::new(store);
        let config = ClientConfig::builder().with_root_certificates(Arc::clone(&store)).with_no_client_auth();
        Self { store, config: Arc::new(speaking_http(config)) }
    }
}

fn speaking_http(mut config: ClientConfig) -> ClientConfig {
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

fn add_pem(mut store: RootCertStore, pem: &[u8]) -> io::Result<RootCertStore> {
    let before = store.len();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| invalid(format!("not a PEM certificate: {error}")))?;
        store.add(certificate).map_err(|error| invalid(error.to_string()))?;
    }
    if store.len() == before {
        return Err(invalid("no certificate in it".into()));
    }
    Ok(store)
}

fn invalid(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// The alert by which the other side turned our certificate away, if that is what ended a connection.
///
/// In TLS 1.3 we only learn of it after the handshake, in place of an answer (RFC 8446, 4.4.2.4).
pub(super) fn turned_away(error: &hyper::Error) -> Option<AlertDescription> {
    let cause = error.source()?.downcast_ref::<io::Error>()?;
    match cause.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::AlertReceived(alert) => match alert {
            AlertDescription::AccessDenied
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRequired
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            // Its signature does not hold.
            | AlertDescription::DecryptError
            | AlertDescription::UnknownCA
            | AlertDescription::UnsupportedCertificate => Some(*alert),
            _ => None,
        },
        _ => None,
    }
}
