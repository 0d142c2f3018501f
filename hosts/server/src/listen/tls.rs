//! TLS on both ports, by rustls. The certificate can be replaced while connections go on.

use std::{
    path::Path,
    sync::{Arc, PoisonError, RwLock},
};

use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio_rustls::TlsAcceptor;

use crate::settings;

/// The certificate in use; cheap to clone, all clones are the same.
#[derive(Debug, Clone)]
pub struct Certificate(Arc<RwLock<Arc<CertifiedKey>>>);

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{setting}: {file}: {words}")]
pub struct TlsError {
    setting: &'static str,
    file: String,
    words: String,
}

impl TlsError {
    fn new(setting: &'static str, file: &Path, words: impl ToString) -> Self {
        Self { setting, file: file.display().to_string(), words: words.to_string() }
    }
}

impl Certificate {
    /// Reads the files that the settings name.
    ///
    /// # Errors
    /// A file cannot be read or holds something else, or the key is not the certificate's.
    pub fn read(files: &settings::Tls) -> Result<Self, TlsError> {
        Ok(Self(Arc::new(RwLock::new(Arc::new(certified(files)?)))))
    }

    /// Reads the files anew; connections from now on get that certificate.
    ///
    /// # Errors
    /// As for [`Certificate::read`]; then the certificate stays what it was.
    pub fn read_again(&self, files: &settings::Tls) -> Result<(), TlsError> {
        let new = Arc::new(certified(files)?);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }

    /// What turns accepted connections into encrypted ones.
    pub(super) fn acceptor(&self) -> Result<TlsAcceptor, rustls::Error> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(self.clone()));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

const CERTIFICATE: &str = "listen.tls_certificate";
const KEY: &str = "listen.tls_key";

fn certified(files: &settings::Tls) -> Result<CertifiedKey, TlsError> {
    let wrong = |words: String| TlsError::new(CERTIFICATE, &files.certificate, words);
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| wrong(error.to_string()))?;
    if chain.is_empty() {
        return Err(wrong("it holds no certificate in PEM".into()));
    }
    let key =
        PrivateKeyDer::from_pem_file(&files.key).map_err(|error| TlsError::new(KEY, &files.key, error))?;
    CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|error| {
        TlsError::new(KEY, &files.key, format!("it is not the key of the certificate: {error}"))
    })
}
