//! The policy by which a listener reconnects.

use std::time::{Duration, Instant};

use crate::backend::backoff::Backoff;
use crate::events;

/// Decides how long a listener waits before it connects again. Holds no connection and reads no clock.
///
/// A connection that has worked for a while is replaced at once. One that is lost soon after it was made
/// counts as a failed attempt: a server that accepts connections and closes them would otherwise be connected
/// to without a pause.
#[derive(Debug, Clone)]
pub struct Reconnects {
    backoff: Backoff,
    connected_at: Instant,
}

impl Reconnects {
    /// The lifetime of a connection after which its loss is not a failure of the attempt to make it.
    const STABLE: Duration = Duration::from_secs(10);

    /// The policy of a listener that has connected at `now`.
    pub fn new(now: Instant) -> Self {
        Self { backoff: Backoff::default(), connected_at: now }
    }

    /// Records that an attempt has succeeded.
    pub fn connected(&mut self, now: Instant) {
        self.connected_at = now;
        events::listener_is_back();
    }

    /// The pause before the first attempt, after the connection was lost.
    pub fn after_loss(&mut self, now: Instant) -> Duration {
        let pause = match now.saturating_duration_since(self.connected_at) < Self::STABLE {
            true => self.next_pause(),
            false => {
                self.backoff = Backoff::default();
                Duration::ZERO
            }
        };
        events::listener_is_lost(pause);
        pause
    }

    /// The pause before the next attempt, after one has failed.
    pub fn after_failure(&mut self) -> Duration {
        let pause = self.next_pause();
        events::listener_is_refused(pause);
        pause
    }

    fn next_pause(&mut self) -> Duration {
        // The backoff never ends.
        self.backoff.next().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_until_a_connection_was_stable() {
        let mut now = Instant::now();
        let mut reconnects = Reconnects::new(now);
        let mut last = Duration::ZERO;
        for _ in 0..5 {
            now += Duration::from_secs(1);
            let pause = reconnects.after_loss(now);
            assert!(pause > last, "{pause:?} follows {last:?}");
            last = pause;
            reconnects.connected(now);
        }
        assert!(reconnects.after_failure() > last);
        reconnects.connected(now);
        now += Reconnects::STABLE;
        assert_eq!(reconnects.after_loss(now), Duration::ZERO);
        assert!(reconnects.after_failure() < last);
    }
}
