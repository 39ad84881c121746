//! The settings of a machine.

use std::time::Duration;

/// The settings of a machine, which are checked already.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// The number of handlers that run at the same time, at least 1.
    pub(crate) concurrency: usize,
    /// The number of messages that are read ahead of the free slots, at least.
    pub(crate) prefetch: usize,
    /// The number of messages that are read ahead of the free slots, at most: for quick handlers.
    pub(crate) max_prefetch: usize,
    /// The largest number of messages that one call of a handler gets; 1 unless it takes batches.
    pub(crate) batch: usize,
    /// The time for which a batch that is not full waits for more messages.
    pub(crate) linger: Duration,
    /// The largest number of messages in one claim.
    pub(crate) max_claim: usize,
    /// The largest number of messages in one settlement.
    pub(crate) max_settle: usize,
    /// The largest number of messages that are claimed and not settled.
    pub(crate) max_in_flight: usize,
    /// The visibility timeout, at least one second.
    pub(crate) vt: Duration,
    /// The number of reads after which a message is buried without being handled.
    pub(crate) max_reads: i32,
    /// The number of reads after which a message is handled last and alone.
    pub(crate) suspect_after: i32,
    /// The time after which a handler is cancelled.
    pub(crate) timeout: Option<Duration>,
    /// The time after which a cancelled handler counts as stuck.
    pub(crate) grace: Duration,
    /// `true` if the leases of a stuck handler are extended still.
    pub(crate) keeps_stuck: bool,
    /// The throttle of the queue's notifications; `None` while there is no listener, or the queue does not
    /// notify. Changed by [`Event::Notifies`](super::event::Event::Notifies).
    pub(crate) throttle: Option<Duration>,
    /// The longest time between two looks with a listener.
    pub(crate) backstop: Duration,
    /// The longest time between two looks without a listener.
    pub(crate) poll: Duration,
}
