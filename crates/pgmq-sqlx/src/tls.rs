//! The files that a URL names for TLS. The driver supports them less fully than libpq does.

use std::path::Path;

use pgmq_core::backend::NamedFile;
use pgmq_core::backend::conninfo::{Pair, take};
use pgmq_core::{Error, ErrorKind};
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use crate::url::pairs;

/// The driver's names for each setting. The first is libpq's.
const ROOTS: [&str; 3] = ["sslrootcert", "ssl-root-cert", "ssl-ca"];
const CERTIFICATE: [&str; 2] = ["sslcert", "ssl-cert"];
const KEY: [&str; 2] = ["sslkey", "ssl-key"];
const MODE: [&str; 2] = ["sslmode", "ssl-mode"];

/// The files that a URL names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    roots: Option<String>,
    /// The client's certificate, and its key.
    client: Option<(String, String)>,
}

impl TlsFiles {
    /// Takes the files out of a URL, and returns the rest of the URL.
    pub(crate) fn take(url: &str) -> Result<(String, Self), Error> {
        let is_one = |name: &str| ROOTS.contains(&name) || CERTIFICATE.contains(&name) || KEY.contains(&name);
        if !pairs(url).any(|(name, _)| is_one(name)) {
            return Ok((url.to_owned(), Self::default()));
        }
        let (rest, named) = take(url, is_one)?;
        let client = match (last(&named, &CERTIFICATE), last(&named, &KEY)) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => return Err(invalid("there is one of sslcert and sslkey; give both, or none")),
        };
        Ok((rest, Self { roots: last(&named, &ROOTS), client }))
    }

    /// Adds the files to the driver's options, which come from the rest of that URL.
    pub(crate) fn apply(&self, mut options: PgConnectOptions, url: &str) -> Result<PgConnectOptions, Error> {
        use PgSslMode as Mode;

        if let Some((certificate, key)) = &self.client {
            read("sslcert", certificate)?;
            read("sslkey", key)?;
            options = options.ssl_client_cert(certificate).ssl_client_key(key);
        }
        let sets_mode = pairs(url).any(|(name, _)| MODE.contains(&name));
        Ok(match (self.roots.as_deref(), options.get_ssl_mode()) {
            (None, _) | (Some("system"), Mode::VerifyFull) => options,
            (Some("system"), _) if !sets_mode => options.ssl_mode(Mode::VerifyFull),
            // Anyone can get a certificate that the system trusts, for some name.
            (Some("system"), _) => {
                return Err(invalid("with sslrootcert=system, sslmode has to be verify-full"));
            }
            (Some(file), mode) => {
                read("sslrootcert", file)?;
                let options = options.ssl_root_cert(file);
                // The driver uses the file only in the modes that begin with `verify`.
                if let Mode::Require = mode { options.ssl_mode(Mode::VerifyCa) } else { options }
            }
        })
    }
}

/// The value of the last setting that has one of these names; `None` if it is empty.
fn last(named: &[Pair], names: &[&str]) -> Option<String> {
    let found = named.iter().rev().find(|(name, _)| names.contains(&name.as_str()));
    found.map(|(_, value)| value.clone()).filter(|value| !value.is_empty())
}

/// Checks that a file can be read. The driver would report a missing file as a failed connection, which is
/// transient.
fn read(setting: &'static str, path: &str) -> Result<(), Error> {
    NamedFile::new(setting, Path::new(path)).read().map(drop)
}

fn invalid(text: &str) -> Error {
    Error::new(ErrorKind::InvalidArgument, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(query: &str) -> Result<PgSslMode, Error> {
        let (url, files) = TlsFiles::take(&format!("postgres://h/d?{query}"))?;
        Ok(files.apply(url.parse().expect("the rest is a URL"), &url)?.get_ssl_mode())
    }

    #[test]
    fn files_are_taken_out_of_a_url_and_the_last_of_each_counts() {
        let taken = |url| TlsFiles::take(url).unwrap();
        assert_eq!(taken("postgres://h/d?a=b"), ("postgres://h/d?a=b".to_owned(), TlsFiles::default()));
        let (rest, files) =
            taken("postgres://h/d?ssl-ca=one&sslcert=c&a=b&sslkey=%2Fmy%20key&sslrootcert=two");
        assert_eq!(rest, "postgres://h/d?a=b");
        assert_eq!(files.roots.as_deref(), Some("two"));
        assert_eq!(files.client, Some(("c".to_owned(), "/my key".to_owned())));
        assert_eq!(TlsFiles::take("postgres://h?sslcert=c").unwrap_err().kind(), ErrorKind::InvalidArgument);
    }

    #[test]
    fn a_setting_of_trusted_roots_has_certificates_checked() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let by_file = mode(&format!("sslmode=require&sslrootcert={file}")).unwrap();
        assert!(matches!(by_file, PgSslMode::VerifyCa), "{by_file:?}");
        let by_system = mode("sslrootcert=system").unwrap();
        assert!(matches!(by_system, PgSslMode::VerifyFull), "{by_system:?}");
        for query in ["sslmode=require&sslrootcert=system", "sslrootcert=/there/is/none"] {
            assert_eq!(mode(query).unwrap_err().kind(), ErrorKind::InvalidArgument, "{query}");
        }
    }
}
