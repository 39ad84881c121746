//! The channels that a listener listens on.

use crate::error::Error;
use crate::error_kind::ErrorKind;
use crate::notification::Notification;
use crate::queue_name::{fold, quote};

/// The queues of a listener, each of which has a channel.
#[derive(Debug, Clone)]
pub struct Channels {
    queues: Vec<String>,
}

impl Channels {
    /// The channels of these queues.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`], if a name is not a queue name, or the list is empty.
    pub fn new<S: AsRef<str>>(queues: &[S]) -> Result<Self, Error> {
        let folded = |queue: &S| fold(queue.as_ref()).map(|name| name.into_owned());
        let queues: Vec<_> = queues.iter().map(folded).collect::<Result<_, _>>()?;
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

    /// The SQL that listens on all channels, for a simple query.
    pub fn listen_sql(&self) -> String {
        self.names().map(|name| format!("LISTEN {};", quote(&name))).collect()
    }

    /// The notification of a channel, if it belongs to one of the queues.
    pub fn notification(&self, channel_name: &str) -> Option<Notification> {
        let queue = self.queues.iter().find(|queue| channel(queue) == channel_name)?;
        Some(Notification::inserted(queue.clone()))
    }
}

/// The channel that PGMQ notifies when a message is inserted into a queue.
fn channel(queue: &str) -> String {
    format!("pgmq.q_{queue}.INSERT")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_have_the_folded_names_of_queues() {
        let channels = Channels::new(&["MyQ", "a\"b"]).unwrap();
        assert_eq!(channels.listen_sql(), "LISTEN \"pgmq.q_myq.INSERT\";LISTEN \"pgmq.q_a\"\"b.INSERT\";");
        let inserted = Some(Notification::inserted("myq"));
        assert_eq!(channels.notification("pgmq.q_myq.INSERT"), inserted);
        assert_eq!(channels.notification("pgmq.q_other.INSERT"), None);
        assert!(Channels::new(&["a".to_owned(), "b".to_owned()]).is_ok());
        assert!(Channels::new::<&str>(&[]).is_err());
        assert!(Channels::new(&["a'b"]).is_err());
    }
}
