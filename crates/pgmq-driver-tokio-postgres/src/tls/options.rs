//! The TLS settings of a connection string, with libpq's names.

use std::path::PathBuf;

use pgmq_core::backend::conninfo::ConnInfo;
use pgmq_core::{Error, ErrorKind};
use tokio_postgres::config::SslMode;

/// The encryption that a connection string asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct TlsOptions {
    mode: Mode,
    pub(crate) roots: Roots,
    pub(crate) client: Option<Client>,
}

/// The authorities that may sign a server's certificate.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) enum Roots {
    /// The authorities that the system trusts.
    #[default]
    System,
    /// The authorities in a file of certificates.
    File(PathBuf),
}

/// The files with the client's certificate and its key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Client {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// The checks on a server's certificate.
#[cfg(any(feature = "rustls", feature = "native-tls", test))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
    /// None: any certificate is accepted.
    Nothing,
    /// One of the roots must have signed the certificate.
    Signature,
    /// One of the roots must have signed the certificate, and it must be for the host's name.
    SignatureAndName,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Mode {
    Disable,
    #[default]
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

impl TlsOptions {
    /// Removes the TLS settings from the parameters of a connection.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`], if libpq would not accept the settings, or they would protect no one.
    pub(crate) fn take(info: &mut ConnInfo) -> Result<Self, Error> {
        let mode = info.take("sslmode").as_deref().map(Mode::read).transpose()?;
        let roots = info.take("sslrootcert");
        let client = match (info.take("sslcert"), info.take("sslkey")) {
            (Some(certificate), Some(key)) => {
                Some(Client { certificate: certificate.into(), key: key.into() })
            }
            (None, None) => None,
            _ => return Err(invalid("only one of sslcert and sslkey is set; set both or neither")),
        };
        let (mode, roots) = match (mode, roots.as_deref()) {
            (None, Some("system")) => (Mode::VerifyFull, Roots::System),
            // Anyone can get a certificate for some name from an authority that the system trusts.
            (Some(Mode::Prefer | Mode::VerifyCa), Some("system")) => {
                return Err(invalid("with sslrootcert=system, sslmode must be verify-full"));
            }
            (Some(Mode::VerifyCa), None) => {
                return Err(invalid(
                    "sslmode=verify-ca needs the file of a private authority; set sslrootcert, or use verify-full",
                ));
            }
            (mode, None | Some("system")) => (mode.unwrap_or_default(), Roots::System),
            (mode, Some(file)) => (mode.unwrap_or_default(), Roots::File(file.into())),
        };
        Ok(Self { mode, roots, client })
    }

    /// The mode as the driver names it.
    pub(crate) fn ssl_mode(&self) -> SslMode {
        match self.mode {
            Mode::Disable => SslMode::Disable,
            Mode::Prefer => SslMode::Prefer,
            Mode::Require | Mode::VerifyCa | Mode::VerifyFull => SslMode::Require,
        }
    }

    /// Returns `true` if the settings ask for more than an unencrypted connection.
    pub(crate) fn asks_for_tls(&self) -> bool {
        let names_files = self.roots != Roots::System || self.client.is_some();
        self.ssl_mode() == SslMode::Require || (self.ssl_mode() == SslMode::Prefer && names_files)
    }

    /// The checks on a server's certificate.
    #[cfg(any(feature = "rustls", feature = "native-tls", test))]
    pub(crate) fn check(&self) -> Check {
        match (self.mode, &self.roots) {
            // An attacker who could present a false certificate could as well claim that the server has no
            // TLS.
            (Mode::Disable | Mode::Prefer, Roots::System) => Check::Nothing,
            (Mode::Disable | Mode::Prefer | Mode::VerifyCa, _) => Check::Signature,
            (Mode::Require | Mode::VerifyFull, _) => Check::SignatureAndName,
        }
    }
}

impl Mode {
    fn read(word: &str) -> Result<Self, Error> {
        Ok(match word {
            "disable" => Self::Disable,
            "prefer" => Self::Prefer,
            "require" => Self::Require,
            "verify-ca" => Self::VerifyCa,
            "verify-full" => Self::VerifyFull,
            _ => {
                let text = "the sslmode is unknown; use disable, prefer, require, verify-ca or verify-full";
                return Err(invalid(text));
            }
        })
    }
}

fn invalid(text: &str) -> Error {
    Error::new(ErrorKind::InvalidArgument, text)
}

#[cfg(test)]
mod tests {
    use pgmq_core::backend::Settings;
    use pgmq_core::backend::conninfo::Dialect;

    use super::*;

    const DIALECT: Dialect = Dialect {
        takes: &["host", "sslcert", "sslkey", "sslmode", "sslrootcert"],
        spellings: &[],
        implied: &[],
        takes_empty: false,
    };

    fn of(query: &str) -> Result<TlsOptions, Error> {
        let settings = Settings::from_url(format!("postgres://h?{query}"));
        let mut info = ConnInfo::from_settings(&settings, &DIALECT)?;
        let options = TlsOptions::take(&mut info)?;
        assert_eq!(info.to_keywords(), "host='h'");
        Ok(options)
    }

    #[test]
    fn a_certificate_is_checked_no_less_than_the_mode_requires() {
        for (query, mode, check) in [
            ("", SslMode::Prefer, Check::Nothing),
            ("sslmode=disable", SslMode::Disable, Check::Nothing),
            ("sslrootcert=ca", SslMode::Prefer, Check::Signature),
            ("sslmode=prefer&sslrootcert=ca", SslMode::Prefer, Check::Signature),
            ("sslmode=require", SslMode::Require, Check::SignatureAndName),
            ("sslmode=require&sslrootcert=ca", SslMode::Require, Check::SignatureAndName),
            ("sslmode=verify-ca&sslrootcert=ca", SslMode::Require, Check::Signature),
            ("sslmode=verify-full", SslMode::Require, Check::SignatureAndName),
            ("sslrootcert=system", SslMode::Require, Check::SignatureAndName),
            ("sslmode=require&sslrootcert=system", SslMode::Require, Check::SignatureAndName),
            ("sslmode=disable&sslmode=verify-full", SslMode::Require, Check::SignatureAndName),
        ] {
            let options = of(query).unwrap();
            assert_eq!((options.ssl_mode(), options.check()), (mode, check), "{query}");
        }
    }

    #[test]
    fn naming_certificate_files_asks_for_tls_unless_it_is_disabled() {
        for (query, asks) in [
            ("", false),
            ("sslmode=disable&sslrootcert=ca", false),
            ("sslmode=require", true),
            ("sslrootcert=ca", true),
            ("sslcert=mine&sslkey=key", true),
        ] {
            assert_eq!(of(query).unwrap().asks_for_tls(), asks, "{query}");
        }
    }

    #[test]
    fn settings_that_are_unknown_or_would_protect_no_one_are_refused() {
        for query in [
            "sslmode=allow",
            "sslmode=VERIFY-FULL",
            "sslcert=mine",
            "sslkey=key",
            "sslmode=verify-ca",
            "sslmode=prefer&sslrootcert=system",
            "sslmode=verify-ca&sslrootcert=system",
        ] {
            assert_eq!(of(query).unwrap_err().kind(), ErrorKind::InvalidArgument, "{query}");
        }
    }
}
