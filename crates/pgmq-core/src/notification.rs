//! Notifications of inserts, as a listener returns them.

/// The reason for which a listener woke its caller.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Notification {
    /// Messages were sent to this queue.
    Inserted {
        /// The queue, by its folded name.
        queue: String,
    },
    /// The listener has reconnected after a lost connection. Notifications may have been missed: read from
    /// every queue.
    Reconnected,
}
