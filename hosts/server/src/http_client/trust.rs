//! The certificates that the client trusts over TLS: authorities, or servers' own certificates that the user names.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context as _;
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{
        CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature,
    },
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
};

/// The certificates to trust.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Trust {
    /// The authorities of the system's store.
    #[default]
    System,
    /// Only the certificates in a PEM file: authorities, or servers' own.
    File(PathBuf),
    /// The authorities of the system's store, and the certificates in a PEM file.
    SystemAnd(PathBuf),
}

/// A client configuration that trusts these.
pub(super) fn config(trust: &Trust) -> anyhow::Result<ClientConfig> {
    let (certificates, named) = match trust {
        Trust::System => (rustls_native_certs::load_native_certs().certs, Vec::new()),
        Trust::File(file) => {
            let certificates = read(file)?;
            (certificates.clone(), certificates)
        }
        Trust::SystemAnd(file) => {
            let named = read(file)?;
            let system = rustls_native_certs::load_native_certs().certs;
            (system.into_iter().chain(named.clone()).collect(), named)
        }
    };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates);
    anyhow::ensure!(
        !roots.is_empty(),
        "this machine knows no authorities; name the server's, or its own certificate, with --ca FILE"
    );
    let provider = Arc::new(ring::default_provider());
    let authorities = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .context("the authorities cannot be used")?;
    let algorithms = provider.signature_verification_algorithms;
    let verifier = Verifier { authorities, named, algorithms };
    Ok(builder(provider)
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth())
}

/// A client configuration that trusts no certificate, for addresses without TLS.
pub(super) fn no_roots() -> ClientConfig {
    let provider = Arc::new(ring::default_provider());
    builder(provider).with_root_certificates(RootCertStore::empty()).with_no_client_auth()
}

fn builder(provider: Arc<CryptoProvider>) -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has what TLS 1.2 and 1.3 need")
}

fn read(file: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let certificates =
        CertificateDer::pem_file_iter(file)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .with_context(|| format!("{} cannot be read as certificates in PEM", file.display()))?;
    anyhow::ensure!(!certificates.is_empty(), "{} holds no certificate in PEM", file.display());
    Ok(certificates)
}

/// Verifies certificates as usual, and accepts a server's own certificate that was named whatever its contents, as most
/// self-signed ones are not valid server certificates. That the server has the private key is always verified.
#[derive(Debug)]
struct Verifier {
    authorities: Arc<WebPkiServerVerifier>,
    named: Vec<CertificateDer<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        server: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.named.iter().any(|named| named == server) {
            return Ok(ServerCertVerified::assertion());
        }
        self.authorities.verify_server_cert(server, intermediates, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        server: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, server, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        server: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, server, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_certificate_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        let message = |file: &Path| config(&Trust::File(file.to_owned())).unwrap_err().to_string();
        assert!(message(&file).contains("ca.pem cannot be read"), "{}", message(&file));
        std::fs::write(&file, "no certificate").unwrap();
        assert!(message(&file).contains("ca.pem holds no certificate"), "{}", message(&file));
    }
}
