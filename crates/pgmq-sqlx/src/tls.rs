//! The files that a URL names for TLS. The driver supports them less fully than libpq does.

use std::path::Path;

use pgmq_core::backend::NamedFile;
use pgmq_core::backend::conninfo::ConnInfo;
use pgmq_core::{Error, ErrorKind};
use sqlx::postgres::{PgConnectOptions, PgSslMode};

/// The files that a URL names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    roots: Option<String>,
    /// The client's certificate, and its key.
    client: Option<(String, String)>,
}

impl TlsFiles {
    /// Takes the files out of the parameters.
    pub(crate) fn take(info: &mut ConnInfo) -> Result<Self, Error> {
        let client = match (info.take("sslcert"), info.take("sslkey")) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => return Err(invalid("only one of sslcert and sslkey is set; set both or neither")),
        };
        Ok(Self { roots: info.take("sslrootcert"), client })
    }

    /// Adds the files to the driver's options, which come from the other parameters.
    pub(crate) fn apply(
        &self,
        mut options: PgConnectOptions,
        sets_mode: bool,
    ) -> Result<PgConnectOptions, Error> {
        use PgSslMode as Mode;

        if let Some((certificate, key)) = &self.client {
            read("sslcert", certificate)?;
            read("sslkey", key)?;
            options = options.ssl_client_cert(certificate).ssl_client_key(key);
        }
        Ok(match (self.roots.as_deref(), options.get_ssl_mode()) {
            (None, _) | (Some("system"), Mode::VerifyFull) => options,
            (Some("system"), _) if !sets_mode => options.ssl_mode(Mode::VerifyFull),
            // Anyone can get a certificate that the system trusts, for some name.
            (Some("system"), _) => {
                return Err(invalid("with sslrootcert=system, sslmode must be verify-full"));
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
    use pgmq_core::backend::Settings;

    use super::*;
    use crate::url::{DIALECT, driver_options};

    fn info(query: &str) -> Result<ConnInfo, Error> {
        ConnInfo::from_settings(&Settings::from_url(format!("postgres://h/d?{query}")), &DIALECT)
    }

    fn mode(query: &str) -> Result<PgSslMode, Error> {
        let mut info = info(query)?;
        let (files, sets_mode) = (TlsFiles::take(&mut info)?, info.get("sslmode").is_some());
        Ok(files.apply(driver_options(info)?, sets_mode)?.get_ssl_mode())
    }

    #[test]
    fn files_are_taken_out_of_a_url_and_the_last_of_each_counts() {
        let query = "ssl-ca=one&sslcert=c&sslmode=require&sslkey=%2Fmy%20key&sslrootcert=two";
        let mut info = info(query).unwrap();
        let files = TlsFiles::take(&mut info).unwrap();
        assert_eq!(info.to_uri(), "postgres:///?host=h&dbname=d&sslmode=require");
        assert_eq!(files.roots.as_deref(), Some("two"));
        assert_eq!(files.client, Some(("c".to_owned(), "/my key".to_owned())));
        assert_eq!(mode("sslcert=c").unwrap_err().kind(), ErrorKind::InvalidArgument);
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
