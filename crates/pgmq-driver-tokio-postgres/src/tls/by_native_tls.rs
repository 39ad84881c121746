//! TLS by the system's own library.

use native_tls::{Certificate, Identity, TlsConnector};
use postgres_native_tls::MakeTlsConnector;

use super::options::{Check, Roots, TlsOptions};
use super::unusable;
use pgmq_core::Error;
use pgmq_core::backend::NamedFile;

/// What makes connections as the options say.
pub(crate) fn connector(options: &TlsOptions) -> Result<MakeTlsConnector, Error> {
    let mut builder = TlsConnector::builder();
    let check = options.check();
    builder.danger_accept_invalid_certs(check == Check::Nothing);
    builder.danger_accept_invalid_hostnames(check != Check::SignatureAndName);
    if let Roots::File(path) = &options.roots {
        builder.disable_built_in_roots(true);
        let file = NamedFile::new("sslrootcert", path);
        let certificates = Certificate::stack_from_pem(&file.read()?).unwrap_or_default();
        if certificates.is_empty() {
            return Err(file.is("has no certificates in it, in the form PEM"));
        }
        for certificate in certificates {
            builder.add_root_certificate(certificate);
        }
    }
    if let Some(client) = &options.client {
        let certificate = NamedFile::new("sslcert", &client.certificate).read()?;
        let key = NamedFile::new("sslkey", &client.key);
        let identity = Identity::from_pkcs8(&certificate, &key.read()?).map_err(|error| {
            key.is("is not the key of sslcert, in the form PEM of PKCS #8 and without a password")
                .because(error)
        })?;
        builder.identity(identity);
    }
    Ok(MakeTlsConnector::new(builder.build().map_err(unusable)?))
}
