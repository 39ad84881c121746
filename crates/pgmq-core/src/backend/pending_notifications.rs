//! The notifications that a listener has received and not returned yet.

use std::collections::VecDeque;

use crate::notification::Notification;

/// The notifications that a listener has received and not returned yet, in the order of their arrival.
///
/// One notification of a queue carries the same information as a hundred. Equal ones are merged, so a slow
/// consumer is notified once of each queue, and the memory of a listener has a limit.
#[derive(Debug, Default)]
pub struct PendingNotifications(VecDeque<Notification>);

impl PendingNotifications {
    /// The most notifications that a listener should receive before it returns the pending ones. Otherwise a
    /// queue that never stops notifying would keep it from returning any.
    pub const MOST_AT_ONCE: usize = 10_000;

    /// Adds a notification, unless an equal one is pending.
    pub fn push(&mut self, notification: Notification) {
        if !self.0.contains(&notification) {
            self.0.push_back(notification);
        }
    }

    /// Removes and returns the notification that has been pending for longest.
    pub fn pop(&mut self) -> Option<Notification> {
        self.0.pop_front()
    }

    /// Returns `true` if no notification is pending.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_notifications_are_merged_until_they_are_returned() {
        let inserted = |queue: &str| Notification::Inserted { queue: queue.to_owned() };
        let mut pending = PendingNotifications::default();
        assert!(pending.is_empty());
        for _ in 0..1000 {
            pending.push(inserted("busy"));
            pending.push(inserted("quiet"));
        }
        assert_eq!(pending.pop(), Some(inserted("busy")));
        pending.push(inserted("busy"));
        assert_eq!(pending.pop(), Some(inserted("quiet")));
        assert_eq!(pending.pop(), Some(inserted("busy")));
        assert_eq!(pending.pop(), None);
        assert!(pending.is_empty());
    }
}
