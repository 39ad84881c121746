//! TLS with the system's library.

use native_tls::{Certificate, Identity, TlsConnector};
use pgmq_core::Error;
use pgmq_core::backend::NamedFile;
use postgres_native_tls::MakeTlsConnector;

use crate::tls::options::{Check, Roots, TlsOptions};
use crate::tls::unusable::unusable;

/// Creates the connector for these options.
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
            return Err(file.is("contains no certificates in PEM format"));
        }
        for certificate in certificates {
            builder.add_root_certificate(certificate);
        }
    }
    if let Some(client) = &options.client {
        let certificate = NamedFile::new("sslcert", &client.certificate).read()?;
        let key = NamedFile::new("sslkey", &client.key);
        let identity = Identity::from_pkcs8(&certificate, &key.read()?).map_err(|error| {
            key.is("is not the key of sslcert, or is not in the PEM format of PKCS #8 without a password")
                .because(error)
        })?;
        builder.identity(identity);
    }
    Ok(MakeTlsConnector::new(builder.build().map_err(unusable)?))
}
