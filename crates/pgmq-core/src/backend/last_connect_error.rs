//! The last error of a pool's attempts to connect.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::error_kind::ErrorKind;

/// The last error of a pool's attempts to connect. A pool tries again by itself, and then reports only a
/// timeout.
///
/// Clones share the record.
pub struct LastConnectError<E>(Arc<Mutex<Option<Recorded<E>>>>);

struct Recorded<E> {
    at: Instant,
    kind: ErrorKind,
    /// `None` once a waiter has taken it.
    error: Option<E>,
}

impl<E> LastConnectError<E> {
    /// Records an error.
    pub fn record(&self, kind: ErrorKind, error: E) {
        let recorded = Recorded { at: Instant::now(), kind, error: Some(error) };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(recorded);
    }

    /// The last error, if it was recorded after `started`. Every waiter gets its kind, and the first one the
    /// error itself.
    pub fn take_since(&self, started: Instant) -> Option<(ErrorKind, Option<E>)> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let recorded = last.as_mut().filter(|recorded| recorded.at >= started)?;
        Some((recorded.kind, recorded.error.take()))
    }
}

impl<E> Default for LastConnectError<E> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<E> Clone for LastConnectError<E> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<E> fmt::Debug for LastConnectError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LastConnectError").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_waiter_gets_the_kind_and_the_first_one_the_error() {
        let started = Instant::now();
        let last = LastConnectError::default();
        assert!(last.take_since(started).is_none());
        last.clone().record(ErrorKind::PermissionDenied, "wrong password");
        assert_eq!(last.take_since(started), Some((ErrorKind::PermissionDenied, Some("wrong password"))));
        assert_eq!(last.take_since(started), Some((ErrorKind::PermissionDenied, None)));
        assert!(last.take_since(Instant::now()).is_none(), "the error is older than that wait");
    }
}
