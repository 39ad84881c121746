//! What a connection string says of TLS, in libpq's words.

use std::path::PathBuf;

use tokio_postgres::config::SslMode;

use pgmq_core::backend::conninfo::{self, Pair};
use pgmq_core::{Error, ErrorKind};

/// The settings of libpq's that are read here. The driver knows the first of them only, and not all of its values.
const NAMES: [&str; 4] = ["sslmode", "sslrootcert", "sslcert", "sslkey"];

/// How to encrypt.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct TlsOptions {
    mode: Mode,
    pub(crate) roots: Roots,
    pub(crate) client: Option<Client>,
}

/// Whom a server's certificate may be signed by.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) enum Roots {
    /// Those whom the system trusts.
    #[default]
    System,
    /// Those in a file of certificates.
    File(PathBuf),
}

/// The files of what the client shows of itself.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Client {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// What a server's certificate is asked for.
#[cfg(any(feature = "rustls", feature = "native-tls", test))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
    /// Nothing: it need only be one.
    Nothing,
    /// To be signed by one of the roots.
    Signature,
    /// The same, and to be for the host's name.
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
    /// Takes them out of a connection string, and returns what is left for the driver.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`], when they are not what libpq would take, or ask for what would protect nobody.
    pub(crate) fn take(given: &str) -> Result<(String, Self), Error> {
        let (left, pairs) = conninfo::take(given, |name| NAMES.contains(&name))?;
        Ok((left, Self::read(pairs)?))
    }

    fn read(pairs: Vec<Pair>) -> Result<Self, Error> {
        // As in libpq, the last counts, and what is empty is not said.
        let last = |wanted: &str| {
            let found = pairs.iter().rev().find(|(name, _)| name == wanted);
            found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
        };
        let mode = last("sslmode").map(Mode::read).transpose()?;
        let client = match (last("sslcert"), last("sslkey")) {
            (Some(certificate), Some(key)) => {
                Some(Client { certificate: certificate.into(), key: key.into() })
            }
            (None, None) => None,
            _ => return Err(invalid("there is one of sslcert and sslkey; give both, or none")),
        };
        let (mode, roots) = match (mode, last("sslrootcert")) {
            (None, Some("system")) => (Mode::VerifyFull, Roots::System),
            // Everybody can have a certificate for some name that the system trusts.
            (Some(Mode::Prefer | Mode::VerifyCa), Some("system")) => {
                return Err(invalid("with sslrootcert=system, sslmode has to be verify-full"));
            }
            (Some(Mode::VerifyCa), None) => {
                return Err(invalid(
                    "sslmode=verify-ca takes the file of an authority of your own: give sslrootcert, or say verify-full",
                ));
            }
            (mode, None | Some("system")) => (mode.unwrap_or_default(), Roots::System),
            (mode, Some(file)) => (mode.unwrap_or_default(), Roots::File(file.into())),
        };
        Ok(Self { mode, roots, client })
    }

    /// The driver's word for when to encrypt.
    pub(crate) fn ssl_mode(&self) -> SslMode {
        match self.mode {
            Mode::Disable => SslMode::Disable,
            Mode::Prefer => SslMode::Prefer,
            Mode::Require | Mode::VerifyCa | Mode::VerifyFull => SslMode::Require,
        }
    }

    /// Whether a connection that is not encrypted would be less than what was asked for.
    pub(crate) fn asks_for_tls(&self) -> bool {
        let names_files = self.roots != Roots::System || self.client.is_some();
        self.ssl_mode() == SslMode::Require || (self.ssl_mode() == SslMode::Prefer && names_files)
    }

    /// What a server's certificate is asked for.
    #[cfg(any(feature = "rustls", feature = "native-tls", test))]
    pub(crate) fn check(&self) -> Check {
        match (self.mode, &self.roots) {
            // Whoever could show a false certificate could as well say that there is no TLS.
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
                let text = "the sslmode is none of disable, prefer, require, verify-ca and verify-full";
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
    use super::*;

    fn of(query: &str) -> Result<TlsOptions, Error> {
        let (left, options) = TlsOptions::take(&format!("postgres://h/d?{query}"))?;
        assert_eq!(left, "postgres://h/d");
        Ok(options)
    }

    #[test]
    fn a_certificate_is_asked_for_no_less_than_the_mode_says() {
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
    fn what_is_not_encrypted_is_no_answer_to_one_who_names_files() {
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
    fn what_would_protect_nobody_is_refused() {
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
