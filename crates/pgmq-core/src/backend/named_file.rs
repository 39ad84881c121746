//! Files that a connection string names.

use std::fs;
use std::path::Path;

use crate::error::Error;
use crate::error_kind::ErrorKind;

/// The file that a setting of a connection string names.
pub struct NamedFile<'a> {
    setting: &'static str,
    path: &'a Path,
}

impl<'a> NamedFile<'a> {
    /// The file at `path`, which this setting names.
    pub fn new(setting: &'static str, path: &'a Path) -> Self {
        Self { setting, path }
    }

    /// Reads the contents.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`], if the file cannot be read.
    pub fn read(&self) -> Result<Vec<u8>, Error> {
        fs::read(self.path).map_err(|error| self.is("cannot be read").because(error))
    }

    /// The error for a file with a problem, such as "cannot be read". The error shows nothing of the
    /// contents, which may be a key, nor of the path, which is text of the connection string.
    pub fn is(&self, problem: &str) -> Error {
        let text = format!("the file that {} names {problem}", self.setting);
        Error::new(ErrorKind::InvalidArgument, text)
    }
}
