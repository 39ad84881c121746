//! The behavior of a server and of handlers.

/// The behavior in a scenario, each as a chance in percent except where it says otherwise.
#[derive(Debug, Clone)]
pub(super) struct Weather {
    /// Statements that fail before they run.
    pub(super) refused: u32,
    /// Statements that run, and whose answer is lost.
    pub(super) lost: u32,
    /// Failures that are reported as lasting.
    pub(super) lasting: u32,
    /// Statements that take very long.
    pub(super) stalled: u32,
    /// Settlements that take very long, while everything else is answered in time.
    pub(super) slow_settlements: u32,
    /// Leaps of the clock, in tenths of a percent of steps.
    pub(super) leaps: u32,
    /// Reads by another consumer, of the steps of the surroundings.
    pub(super) others: u32,
    /// Drops of the queue, in tenths of a percent of the steps of the surroundings.
    pub(super) drops: u32,
    /// Pauses and resumptions.
    pub(super) pauses: u32,
    /// Handlers that run for long.
    pub(super) slow: u32,
    /// Handlers that never end.
    pub(super) endless: u32,
    /// Handlers that ignore their cancellation.
    pub(super) deaf: u32,
    /// Handlers that succeed.
    pub(super) good: u32,
    /// Handlers with a timeout of their own.
    pub(super) own_timeouts: u32,
    /// Lines of statements that cannot be sent at once.
    pub(super) busy: u32,
    /// `true` if the machine learns that a statement has failed because the queue is not there.
    pub(super) tells_missing: bool,
}

impl Weather {
    /// No faults, and handlers that succeed quickly.
    pub(super) fn calm() -> Self {
        Self {
            refused: 0,
            lost: 0,
            lasting: 0,
            stalled: 0,
            slow_settlements: 0,
            leaps: 0,
            others: 0,
            drops: 0,
            pauses: 0,
            slow: 0,
            endless: 0,
            deaf: 0,
            good: 100,
            own_timeouts: 0,
            busy: 0,
            tells_missing: false,
        }
    }
}
