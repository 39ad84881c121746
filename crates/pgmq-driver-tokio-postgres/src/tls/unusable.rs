//! The error of a TLS library that cannot be set up.

use pgmq_core::{Error, ErrorKind};

/// The error of a TLS library that cannot be set up.
pub(crate) fn unusable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(ErrorKind::InvalidArgument, "the TLS library cannot be set up").because(error)
}
