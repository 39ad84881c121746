//! The installation of PGMQ on a server.

use std::fmt;

use crate::error::Error;
use crate::error_kind::ErrorKind;
use crate::server_version::ServerVersion;
use crate::version::Version;

/// The source and the version of a PGMQ installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Installation {
    /// The way in which PGMQ was installed.
    pub source: InstallationSource,
    /// The version, where it is recorded: always for an extension, and for plain SQL from the official
    /// installer.
    pub version: Option<Version>,
    /// The newest version whose functions were found. Patch releases that changed no signature look the same.
    pub at_least: Version,
}

/// The way in which PGMQ was installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum InstallationSource {
    /// As an extension, by `CREATE EXTENSION pgmq`.
    Extension,
    /// As a plain SQL script.
    Sql,
}

impl fmt::Display for Installation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.version {
            Some(version) => write!(f, "PGMQ {version}")?,
            None => write!(f, "PGMQ {} or newer", self.at_least)?,
        }
        f.write_str(match self.source {
            InstallationSource::Extension => ", installed as an extension",
            InstallationSource::Sql => ", installed as plain SQL",
        })
    }
}

/// The oldest supported version, which every installation has at least.
const OLDEST: Version = Version::new(1, 4, 4);

/// The result of a look at the server. For back ends; users see an [`Installation`].
#[derive(Debug, Clone)]
pub struct ServerLook {
    pub(crate) extension_version: Option<String>,
    pub(crate) is_installed: bool,
    pub(crate) is_recorded: bool,
    pub(crate) is_available: bool,
    pub(crate) at_least: Option<i32>,
}

/// A version in the official installer's record.
pub struct RecordedVersion(pub(crate) String);

/// The next step before a queue can work on a server.
#[derive(Debug)]
pub(crate) enum Init {
    /// Nothing, since PGMQ is installed.
    Done,
    /// Run [`create_extension`](crate::statement::create_extension).
    CreateExtension,
}

impl ServerLook {
    /// Returns the next step, and records the version.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotInstalled`], if PGMQ is missing and the server does not offer it.
    pub(crate) fn init(&self, server: &ServerVersion) -> Result<Init, Error> {
        if self.is_installed {
            server.at_least(self.at_least());
            Ok(Init::Done)
        } else if self.is_available {
            Ok(Init::CreateExtension)
        } else {
            Err(Error::new(
                ErrorKind::NotInstalled,
                "PGMQ is not installed in this database, and the server does not offer it as an extension; install the \
                 extension's package on the server, or run PGMQ's SQL script in this database",
            ))
        }
    }

    /// Returns `true` if the official installer's record has the version.
    pub(crate) fn is_recorded(&self) -> bool {
        self.is_installed && self.extension_version.is_none() && self.is_recorded
    }

    /// Returns the installation, given the official installer's record.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotInstalled`], if PGMQ is missing.
    pub(crate) fn installation(&self, recorded: &[RecordedVersion]) -> Result<Installation, Error> {
        if !self.is_installed {
            let text =
                "PGMQ is not installed in this database; run CREATE EXTENSION pgmq, or PGMQ's SQL script";
            return Err(Error::new(ErrorKind::NotInstalled, text));
        }
        let at_least = self.at_least();
        let (source, version) = match &self.extension_version {
            Some(version) => (InstallationSource::Extension, version.parse().ok()),
            None => {
                let recorded = recorded.iter().filter_map(|version| version.0.parse().ok());
                (InstallationSource::Sql, recorded.max())
            }
        };
        Ok(Installation { source, version, at_least })
    }

    fn at_least(&self) -> Version {
        let number = self.at_least.and_then(|number| u16::try_from(number).ok());
        number.map_or(OLDEST, |number| Version::new(number / 10_000, number / 100 % 100, number % 100))
    }
}

/// The error for a role that may not create the extension.
pub(crate) fn not_creatable(refusal: impl std::error::Error + Send + Sync + 'static) -> Error {
    let text = "PGMQ is not installed in this database, and this role may not create it; run CREATE EXTENSION pgmq as a \
                role with the privilege to do so";
    Error::new(ErrorKind::NotInstalled, text).because(refusal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(
        extension: Option<&str>,
        is_installed: bool,
        is_available: bool,
        at_least: Option<i32>,
    ) -> ServerLook {
        let extension_version = extension.map(str::to_owned);
        ServerLook { extension_version, is_installed, is_recorded: true, is_available, at_least }
    }

    #[test]
    fn an_extension_has_a_version_and_a_script_may_have_a_record() {
        let extension = look(Some("1.5.1"), true, true, Some(10_500)).installation(&[]).unwrap();
        assert_eq!(extension.to_string(), "PGMQ 1.5.1, installed as an extension");
        let recorded = ["1.9.0", "1.13.0", "1.10.0"].map(|version| RecordedVersion(version.to_owned()));
        let script = look(None, true, false, Some(11_300)).installation(&recorded).unwrap();
        assert_eq!(script.version, Some(Version::new(1, 13, 0)));
        let bare = look(None, true, false, None).installation(&[]).unwrap();
        assert_eq!(bare.to_string(), "PGMQ 1.4.4 or newer, installed as plain SQL");
    }

    #[test]
    fn a_server_without_pgmq_gets_the_extension_or_an_error_with_advice() {
        let server = ServerVersion::default();
        assert!(matches!(look(None, false, true, None).init(&server), Ok(Init::CreateExtension)));
        assert_eq!(look(None, false, false, None).init(&server).unwrap_err().kind(), ErrorKind::NotInstalled);
        assert!(matches!(look(None, true, false, Some(11_101)).init(&server), Ok(Init::Done)));
        assert_eq!(server.supports(Version::new(1, 11, 1)), Some(true));
    }
}
