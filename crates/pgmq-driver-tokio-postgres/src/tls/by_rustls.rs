//! TLS with rustls.

use std::sync::Arc;

use pgmq_core::Error;
use pgmq_core::backend::NamedFile;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore, SignatureScheme,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::tls::options::{Check, Client, Roots, TlsOptions};
use crate::tls::unusable::unusable;

/// Creates the connector for these options.
pub(crate) fn connector(options: &TlsOptions) -> Result<MakeRustlsConnect, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?;
    let builder = match options.check() {
        Check::SignatureAndName => builder.with_root_certificates(roots(&options.roots)?),
        check => {
            let verifier: Arc<dyn ServerCertVerifier> = if check == Check::Nothing {
                Arc::new(Unverified(provider))
            } else {
                let roots = Arc::new(roots(&options.roots)?);
                let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider);
                Arc::new(AnyName(verifier.build().map_err(unusable)?))
            };
            builder.dangerous().with_custom_certificate_verifier(verifier)
        }
    };
    let config = match &options.client {
        None => builder.with_no_client_auth(),
        Some(client) => {
            let (certificates, key) = identity(client)?;
            builder.with_client_auth_cert(certificates, key).map_err(|error| {
                NamedFile::new("sslkey", &client.key).is("is not the key of sslcert").because(error)
            })?
        }
    };
    Ok(MakeRustlsConnect::new(config))
}

fn roots(roots: &Roots) -> Result<RootCertStore, Error> {
    let mut store = RootCertStore::empty();
    match roots {
        Roots::System => {
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        Roots::File(path) => {
            let file = NamedFile::new("sslrootcert", path);
            for certificate in certificates(&file)? {
                store.add(certificate).map_err(|error| {
                    file.is("contains a certificate that cannot be used as an authority").because(error)
                })?;
            }
        }
    }
    Ok(store)
}

fn identity(client: &Client) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Error> {
    let file = NamedFile::new("sslkey", &client.key);
    // The cause would show a line of the key.
    let key = PrivateKeyDer::from_pem_slice(&file.read()?)
        .map_err(|_| file.is("contains no private key in PEM format without a password"))?;
    Ok((certificates(&NamedFile::new("sslcert", &client.certificate))?, key))
}

fn certificates(file: &NamedFile<'_>) -> Result<Vec<CertificateDer<'static>>, Error> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&file.read()?).collect();
    let certificates = read.unwrap_or_default();
    if certificates.is_empty() {
        return Err(file.is("contains no certificates in PEM format"));
    }
    Ok(certificates)
}

/// Accepts a certificate for any name, if one of the roots signed it.
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        match self.0.verify_server_cert(certificate, intermediates, name, ocsp_response, now) {
            // The verifier checks the name last, so everything else is valid.
            Err(TlsError::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// Accepts any certificate, if the server has its key.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
