//! What is known of PGMQ on a server.

use std::fmt;

use crate::decode::record;
use crate::statement::RecordedVersion;
use crate::{Error, ErrorKind, Learned, Version};

/// How PGMQ was installed, and which version it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Installation {
    /// How it was installed.
    pub source: InstallationSource,
    /// The version, where it is written down: always for an extension, and for plain SQL that came through the official
    /// installer.
    pub version: Option<Version>,
    /// The newest version of which something was found. Patch releases that changed no signature cannot be told apart.
    pub at_least: Version,
}

/// How PGMQ was installed.
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

/// The oldest version that is supported: what an installation has at least.
const OLDEST: Version = Version::new(1, 4, 4);

/// What a look at the server found. For back ends; users see an [`Installation`].
#[derive(Debug, Clone)]
pub struct ServerLook {
    extension_version: Option<String>,
    is_installed: bool,
    is_recorded: bool,
    is_available: bool,
    at_least: Option<i32>,
}

record!(ServerLook {
    extension_version: optional,
    is_installed: required,
    is_recorded: required,
    is_available: required,
    at_least: optional,
});

/// What is to be done about a server before a queue can work on it.
#[derive(Debug)]
pub(crate) enum Init {
    /// Nothing: PGMQ is there.
    Done,
    /// Run [`create_extension`](crate::statement::create_extension).
    CreateExtension,
}

impl ServerLook {
    /// What is to be done, given that the extension may be made.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotInstalled`], when PGMQ is neither there nor to be had.
    pub(crate) fn init(&self, learned: &Learned) -> Result<Init, Error> {
        if self.is_installed {
            learned.has(self.at_least());
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

    /// Whether the official installer keeps a record that has the version.
    pub(crate) fn is_recorded(&self) -> bool {
        self.is_installed && self.extension_version.is_none() && self.is_recorded
    }

    /// What is installed, given what the official installer recorded.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotInstalled`], when PGMQ is not there.
    pub(crate) fn installation(&self, recorded: &[RecordedVersion]) -> Result<Installation, Error> {
        if !self.is_installed {
            let text = "PGMQ is not installed in this database; run CREATE EXTENSION pgmq, or its SQL script";
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

/// The error of a client that may not make the extension, because of the server's refusal.
pub(crate) fn not_creatable(refusal: impl std::error::Error + Send + Sync + 'static) -> Error {
    let text = "PGMQ is not installed in this database, and this role could not create it; have a role that may run \
                CREATE EXTENSION pgmq";
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
    fn an_extension_says_its_version_and_a_script_may_have_a_record() {
        let extension = look(Some("1.5.1"), true, true, Some(10_500)).installation(&[]).unwrap();
        assert_eq!(extension.to_string(), "PGMQ 1.5.1, installed as an extension");
        let recorded = ["1.9.0", "1.13.0", "1.10.0"].map(|version| RecordedVersion(version.to_owned()));
        let script = look(None, true, false, Some(11_300)).installation(&recorded).unwrap();
        assert_eq!(script.version, Some(Version::new(1, 13, 0)));
        let bare = look(None, true, false, None).installation(&[]).unwrap();
        assert_eq!(bare.to_string(), "PGMQ 1.4.4 or newer, installed as plain SQL");
    }

    #[test]
    fn a_server_without_pgmq_is_given_it_or_says_what_to_do() {
        let learned = Learned::default();
        assert!(matches!(look(None, false, true, None).init(&learned), Ok(Init::CreateExtension)));
        assert_eq!(
            look(None, false, false, None).init(&learned).unwrap_err().kind(),
            ErrorKind::NotInstalled
        );
        assert!(matches!(look(None, true, false, Some(11_101)).init(&learned), Ok(Init::Done)));
        assert_eq!(learned.knows(Version::new(1, 11, 1)), Some(true));
    }
}
