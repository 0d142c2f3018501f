//! Whom the client believes over TLS: authorities, or single certificates that whoever runs it names.

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

/// Whom to believe.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Trust {
    /// The authorities that this machine knows.
    #[default]
    System,
    /// The certificates in a PEM file and nobody else: authorities, or servers' own.
    File(PathBuf),
}

/// The configuration of a client that believes these.
pub(super) fn config(trust: &Trust) -> anyhow::Result<ClientConfig> {
    let (certificates, named) = match trust {
        Trust::System => (rustls_native_certs::load_native_certs().certs, Vec::new()),
        Trust::File(file) => {
            let certificates = read(file)?;
            (certificates.clone(), certificates)
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

/// The configuration of a client that believes nobody, for addresses without TLS.
pub(super) fn nobody() -> ClientConfig {
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

/// Believes authorities as everybody does; and a server whose very certificate was named, whatever is
/// written in it: most that people make themselves are no server's certificates by the letter. That the
/// server holds its key is checked in either case.
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
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.named.iter().any(|named| named == server) {
            return Ok(ServerCertVerified::assertion());
        }
        self.authorities.verify_server_cert(server, between, name, ocsp, now)
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
    fn a_file_that_holds_no_certificate_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        let words = |file: &Path| config(&Trust::File(file.to_owned())).unwrap_err().to_string();
        assert!(words(&file).contains("ca.pem cannot be read"), "{}", words(&file));
        std::fs::write(&file, "no certificate").unwrap();
        assert!(words(&file).contains("ca.pem holds no certificate"), "{}", words(&file));
    }
}
