//! The state of a machine, for health checks and gauges.

use std::time::Instant;

use crate::machine::phase::Phase;

/// The state of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// The phase.
    pub(crate) phase: Phase,
    /// The number of messages that wait for a slot.
    pub(crate) ready: usize,
    /// The number of messages whose handlers run.
    pub(crate) running: usize,
    /// The number of messages whose handlers are stuck, among those that run.
    pub(crate) stuck: usize,
    /// The number of messages that wait to be settled.
    pub(crate) done: usize,
    /// The number of messages whose settlement is in flight.
    pub(crate) settling: usize,
    /// The end of the lease that ends first; `None` if there is none.
    pub(crate) lease_end: Option<Instant>,
    /// The time of the last claim that worked.
    pub(crate) last_claim: Option<Instant>,
    /// The number of claims that have failed since.
    pub(crate) claim_failures: u32,
    /// `true` while the server refuses claims for a reason that stays.
    pub(crate) is_refused: bool,
}
