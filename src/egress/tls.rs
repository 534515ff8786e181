//! Whom we trust when we connect by TLS.

use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// Makes aws-lc-rs the cryptography of every TLS connection of this process. Further calls change nothing.
pub fn install_crypto() {
    // An error only says that it is installed already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

/// The certificates that vouch for an upstream.
#[derive(Debug, Clone)]
pub struct Roots(Arc<ClientConfig>);

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
            return Err(io::Error::new(io::ErrorKind::NotFound, "this system has no CA certificates"));
        }
        Ok(SYSTEM.get_or_init(|| Self::from_store(store)).clone())
    }

    /// The PEM certificates of `file`, and no others.
    ///
    /// # Errors
    /// If the file cannot be read or holds no certificate.
    pub fn from_file(file: &Path) -> io::Result<Self> {
        let invalid = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
        let pem = std::fs::read(file)?;
        let mut store = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            let certificate = certificate.map_err(|error| invalid(format!("not a PEM certificate: {error}")))?;
            store.add(certificate).map_err(|error| invalid(error.to_string()))?;
        }
        if store.is_empty() {
            return Err(invalid("no certificate in it".into()));
        }
        Ok(Self::from_store(store))
    }

    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.0)
    }

    fn from_store(store: RootCertStore) -> Self {
        let mut config = ClientConfig::builder().with_root_certificates(store).with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self(Arc::new(config))
    }
}
