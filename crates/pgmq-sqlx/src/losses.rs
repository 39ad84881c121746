//! The record of lost connections.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The idle time after which a connection is checked before it is used. Firewalls forget a quiet connection
/// after some minutes, without a word to either side, and this driver sets no keepalive. The check is a round
/// trip, which costs little after a minute of rest.
const LONG_IDLE: Duration = Duration::from_secs(60);

/// The time of the last loss of a connection. The connections that were idle then are checked before they are
/// used again, because the cause of one loss has often ended others.
///
/// Clones share the record.
#[derive(Debug, Clone, Default)]
pub(crate) struct Losses(Arc<Mutex<Option<Instant>>>);

impl Losses {
    /// Records that a connection has just been lost.
    pub(crate) fn record(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Returns `true` if a connection that was idle for this time may be lost: another one was lost
    /// meanwhile, or the time is long.
    pub(crate) fn may_concern(&self, idle_for: Duration) -> bool {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        idle_for >= LONG_IDLE || last.is_some_and(|last| last.elapsed() <= idle_for)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_may_be_lost_after_a_loss_and_after_a_long_time() {
        let losses = Losses::default();
        assert!(!losses.may_concern(LONG_IDLE / 2));
        assert!(losses.may_concern(LONG_IDLE));
        losses.record();
        assert!(losses.may_concern(LONG_IDLE / 2));
        assert!(!losses.may_concern(Duration::ZERO));
    }
}
