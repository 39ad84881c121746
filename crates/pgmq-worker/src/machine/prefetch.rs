//! The number of messages that are read ahead of the slots, which depends on the speed of the handlers.

use crate::machine::config::Config;

/// The demand of the handlers, as far as it is known.
#[derive(Debug, Default)]
pub(super) struct Demand {
    /// The number of messages that handlers end with while a claim is in flight.
    during_claim: usize,
}

impl Demand {
    /// Records the number of messages that handlers have ended with while a claim was in flight.
    pub(super) fn observe(&mut self, ended: usize) {
        // Up at once, and down slowly: handlers that wait cost more than messages that wait.
        self.during_claim = if ended > self.during_claim { ended } else { (self.during_claim + ended) / 2 };
    }

    /// The number of messages to read ahead: enough for two claims, since the second is in flight before the
    /// first has come. Slow handlers end with next to nothing during a claim, and get the least.
    pub(super) fn prefetch(&self, config: &Config) -> usize {
        let Config { prefetch, max_prefetch, .. } = *config;
        self.during_claim.saturating_mul(2).clamp(prefetch, max_prefetch.max(prefetch))
    }
}
