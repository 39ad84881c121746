//! Notifications of inserts, as a listener gives them.

use std::time::Duration;

use crate::queue_name::{fold, quote};
use crate::{Error, ErrorKind};

/// Why a listener woke its caller.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Notification {
    /// Messages were sent to this queue.
    Inserted {
        /// The queue, by its folded name.
        queue: String,
    },
    /// The connection was lost and is back. Notifications may have been missed: look into every queue.
    Reconnected,
}

/// The queues that a listener listens to. For back ends.
#[derive(Debug, Clone)]
pub struct Channels {
    queues: Vec<String>,
}

impl Channels {
    /// The channels of these queues.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`], when a name cannot be that of a queue, or there is none.
    pub fn new(queues: &[&str]) -> Result<Self, Error> {
        let queues: Vec<_> =
            queues.iter().map(|queue| fold(queue).map(|name| name.into_owned())).collect::<Result<_, _>>()?;
        if queues.is_empty() {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "there is no queue to listen to; name at least one",
            ));
        }
        Ok(Self { queues })
    }

    /// The names of the channels.
    pub fn names(&self) -> impl Iterator<Item = String> {
        self.queues.iter().map(|queue| channel(queue))
    }

    /// The SQL that listens to all of them, for a simple query.
    pub fn listen_sql(&self) -> String {
        self.names().map(|name| format!("LISTEN {};", quote(&name))).collect()
    }

    /// The notification of a channel, if it is one of these.
    pub fn notification(&self, channel_name: &str) -> Option<Notification> {
        let queue = self.queues.iter().find(|queue| channel(queue) == channel_name)?;
        Some(Notification::Inserted { queue: queue.clone() })
    }
}

/// The channel that PGMQ notifies when something is inserted into a queue.
fn channel(queue: &str) -> String {
    format!("pgmq.q_{queue}.INSERT")
}

/// How long to wait before the next attempt to connect: longer each time, and not the same for all clients.
#[derive(Debug, Clone)]
pub struct Backoff {
    next: Duration,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(50);
    const LONGEST: Duration = Duration::from_secs(10);
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: Self::FIRST }
    }
}

impl Iterator for Backoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        use std::hash::{BuildHasher, RandomState};

        let wait = self.next;
        self.next = (wait * 2).min(Self::LONGEST);
        // A fresh hasher is seeded at random: up to a quarter less, so that clients do not come back all at once.
        let random = u32::try_from(RandomState::new().hash_one(()) % 256).unwrap_or_default();
        Some(wait - wait / 1024 * random)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_those_of_the_folded_names() {
        let channels = Channels::new(&["MyQ", "a\"b"]).unwrap();
        assert_eq!(channels.listen_sql(), "LISTEN \"pgmq.q_myq.INSERT\";LISTEN \"pgmq.q_a\"\"b.INSERT\";");
        let inserted = Some(Notification::Inserted { queue: "myq".to_owned() });
        assert_eq!(channels.notification("pgmq.q_myq.INSERT"), inserted);
        assert_eq!(channels.notification("pgmq.q_other.INSERT"), None);
        assert!(Channels::new(&[]).is_err());
        assert!(Channels::new(&["a'b"]).is_err());
    }

    #[test]
    fn waits_grow_up_to_a_limit() {
        let waits: Vec<_> = Backoff::default().take(20).collect();
        assert!(waits[0] <= Backoff::FIRST && waits[0] >= Backoff::FIRST / 2);
        assert!(waits[19] <= Backoff::LONGEST && waits[19] >= Backoff::LONGEST / 2);
    }
}
