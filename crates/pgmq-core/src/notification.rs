//! Notifications of inserts, as a listener returns them.

/// The reason for which a listener woke its caller.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Notification {
    /// Messages were sent to this queue.
    #[non_exhaustive]
    Inserted {
        /// The queue, by its folded name.
        queue: String,
    },
    /// The listener has reconnected after a lost connection. Notifications may have been missed: read from
    /// every queue.
    Reconnected,
}

impl Notification {
    /// A notification of messages in this queue, for tests.
    ///
    /// ```
    /// use pgmq_core::Notification;
    ///
    /// let notification = Notification::inserted("orders");
    /// assert!(matches!(notification, Notification::Inserted { queue, .. } if queue == "orders"));
    /// ```
    pub fn inserted(queue: impl Into<String>) -> Self {
        Self::Inserted { queue: queue.into() }
    }
}
