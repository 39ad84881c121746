//! The error of a connection pool.

use std::error::Error;
use std::fmt;

/// The error of a back end's connection pool, of which only the text and the causes are part of the API.
///
/// The type of the pool's own error is not, so that a back end can move to another pool, or to the next major
/// version of its pool, without breaking the code of its users.
pub struct PoolError(Box<dyn Error + Send + Sync>);

impl PoolError {
    /// Wraps the error of a pool. For back ends.
    #[doc(hidden)]
    pub fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(error.into())
    }
}

impl fmt::Display for PoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for PoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for PoolError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_and_the_causes_are_those_of_the_pool() {
        let cause = std::io::Error::other("refused");
        let error =
            PoolError::new(crate::Error::new(crate::ErrorKind::Timeout, "none is free").because(cause));
        assert_eq!(error.to_string(), "none is free");
        assert_eq!(error.source().map(ToString::to_string).as_deref(), Some("refused"));
    }
}
