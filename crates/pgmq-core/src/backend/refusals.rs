//! Why a pool could not make connections.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::ErrorKind;

/// The last reason why a pool could not make a connection: the pools try again, and then say only that it took too long.
pub struct Refusals<E>(Arc<Mutex<Option<Refusal<E>>>>);

struct Refusal<E> {
    at: Instant,
    kind: ErrorKind,
    /// Until the first of those who wait has taken it.
    error: Option<E>,
}

impl<E> Refusals<E> {
    /// Notes a reason.
    pub fn note(&self, kind: ErrorKind, error: E) {
        let refusal = Refusal { at: Instant::now(), kind, error: Some(error) };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(refusal);
    }

    /// The last reason, if it is from after `started`. All who wait are told its kind, and the first of them the error.
    pub fn since(&self, started: Instant) -> Option<(ErrorKind, Option<E>)> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let refusal = last.as_mut().filter(|refusal| refusal.at >= started)?;
        Some((refusal.kind, refusal.error.take()))
    }
}

impl<E> Default for Refusals<E> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<E> Clone for Refusals<E> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<E> fmt::Debug for Refusals<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refusals").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_who_wait_are_told_the_kind_and_one_of_them_the_error() {
        let started = Instant::now();
        let refusals = Refusals::default();
        assert!(refusals.since(started).is_none());
        refusals.clone().note(ErrorKind::PermissionDenied, "wrong password");
        assert_eq!(refusals.since(started), Some((ErrorKind::PermissionDenied, Some("wrong password"))));
        assert_eq!(refusals.since(started), Some((ErrorKind::PermissionDenied, None)));
        assert!(refusals.since(Instant::now()).is_none(), "it is older than that wait");
    }
}
