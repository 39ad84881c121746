//! Files that a connection string names.

use std::fs;
use std::path::Path;

use crate::{Error, ErrorKind};

/// The file that a setting of a connection string names.
pub struct NamedFile<'a> {
    setting: &'static str,
    path: &'a Path,
}

impl<'a> NamedFile<'a> {
    /// The file that is named by this setting.
    pub fn new(setting: &'static str, path: &'a Path) -> Self {
        Self { setting, path }
    }

    /// What is in it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`], when it cannot be read.
    pub fn read(&self) -> Result<Vec<u8>, Error> {
        fs::read(self.path).map_err(|error| self.is("cannot be read").because(error))
    }

    /// The error for a file that is not what it should be. It shows nothing of what is in it, which may be a key.
    pub fn is(&self, what: &str) -> Error {
        let Self { setting, path } = self;
        Error::new(ErrorKind::InvalidArgument, format!("the file of {setting}, {}, {what}", path.display()))
    }
}
