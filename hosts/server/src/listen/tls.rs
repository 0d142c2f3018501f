//! TLS on both ports, by rustls. The certificate can be replaced without closing connections.

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

/// The certificate in use; clones share it.
#[derive(Debug, Clone)]
pub struct Certificate(Arc<RwLock<Arc<CertifiedKey>>>);

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{setting}: {file}: {reason}")]
pub struct TlsError {
    setting: &'static str,
    file: String,
    reason: String,
}

impl TlsError {
    fn new(setting: &'static str, file: &Path, reason: impl ToString) -> Self {
        Self { setting, file: file.display().to_string(), reason: reason.to_string() }
    }
}

impl Certificate {
    /// Reads the files that the settings name.
    ///
    /// # Errors
    /// A file cannot be read or is not in PEM, or the key does not match the certificate.
    pub fn read(files: &settings::Tls) -> Result<Self, TlsError> {
        Ok(Self(Arc::new(RwLock::new(Arc::new(certified_key(files)?)))))
    }

    /// Re-reads the files; new connections use the new certificate.
    ///
    /// # Errors
    /// As for [`Certificate::read`]; the certificate is then unchanged.
    pub fn reload(&self, files: &settings::Tls) -> Result<(), TlsError> {
        let new = Arc::new(certified_key(files)?);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }

    /// Accepts TLS on connections of a listener.
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

fn certified_key(files: &settings::Tls) -> Result<CertifiedKey, TlsError> {
    let unusable = |reason: String| TlsError::new(CERTIFICATE, &files.certificate, reason);
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unusable(error.to_string()))?;
    if chain.is_empty() {
        return Err(unusable("it holds no certificate in PEM".into()));
    }
    let key =
        PrivateKeyDer::from_pem_file(&files.key).map_err(|error| TlsError::new(KEY, &files.key, error))?;
    CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|error| {
        TlsError::new(KEY, &files.key, format!("it is not the key of the certificate: {error}"))
    })
}
