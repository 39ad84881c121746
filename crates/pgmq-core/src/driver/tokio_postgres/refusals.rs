//! Why a pool could not make connections.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio_postgres::Error;

use super::kind_of;
use crate::ErrorKind;

/// The last reason why a pool could not make a connection: the pools try again, and then say only that it took too long.
#[derive(Debug, Clone, Default)]
pub struct Refusals(Arc<Mutex<Option<Refusal>>>);

#[derive(Debug)]
struct Refusal {
    at: Instant,
    kind: ErrorKind,
    /// Until the first of those who wait has taken it.
    error: Option<Error>,
}

impl Refusals {
    /// Notes a reason.
    pub fn note(&self, error: Error) {
        let refusal = Refusal { at: Instant::now(), kind: kind_of(&error), error: Some(error) };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(refusal);
    }

    /// The last reason, if it is from after `started`. All who wait are told its kind, and the first of them the error.
    pub fn since(&self, started: Instant) -> Option<(ErrorKind, Option<Error>)> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let refusal = last.as_mut().filter(|refusal| refusal.at >= started)?;
        Some((refusal.kind, refusal.error.take()))
    }
}
