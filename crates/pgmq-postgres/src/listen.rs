//! Listening for notifications.

use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

use fallible_iterator::FallibleIterator;
use pgmq_core::backend::{Backoff, Channels};
use pgmq_core::{Listening, Notification};

use crate::client::OwnedClient;
use crate::connect::{Attempt, Connector};
use crate::error::Error;
use crate::runtime::check_may_block;

/// Notifications of messages sent to queues: an iterator that blocks and never ends, or
/// [`next_timeout`](Self::next_timeout) for a wait of limited length.
///
/// A notification is a hint, not a delivery: read from the queue when one arrives, and poll the queue from
/// time to time as well. When the connection is lost, the listener reconnects with backoff and returns
/// [`Notification::Reconnected`] once, because notifications may have been missed. It returns an error if the
/// server refuses the new connection, such as for a changed password; the next call goes on trying.
///
/// Dropping the listener closes the connection.
pub struct Listener {
    connector: Connector,
    channels: Channels,
    state: State,
    backoff: Backoff,
}

enum State {
    Listening(OwnedClient),
    /// The attempt goes on between calls, so short waits add up.
    Connecting(Attempt),
    Lost,
}

impl Listener {
    pub(crate) fn connect(connector: Connector, channels: Channels) -> Result<Self, Error> {
        let client = connector.begin(channels.listen_sql(), None)?.finish()?;
        let state = State::Listening(client);
        Ok(Self { connector, channels, state, backoff: Backoff::default() })
    }

    /// The next notification, or `None` if there is none within `timeout`.
    ///
    /// # Errors
    ///
    /// The server refuses the new connection after one was lost.
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<Option<Notification>, Error> {
        check_may_block()?;
        let until = Instant::now().checked_add(timeout);
        loop {
            let left = until.map_or(Duration::MAX, |until| until.saturating_duration_since(Instant::now()));
            match &mut self.state {
                State::Listening(client) => match wait(client, &self.channels, left) {
                    Waited::Notified(notification) => return Ok(Some(notification)),
                    Waited::TimedOut => return Ok(None),
                    Waited::Lost => self.state = State::Lost,
                },
                State::Connecting(connecting) => match connecting.wait(left) {
                    Some(Ok(client)) => {
                        self.state = State::Listening(client);
                        self.backoff = Backoff::default();
                        return Ok(Some(Notification::Reconnected));
                    }
                    Some(Err(error)) => {
                        self.state = State::Lost;
                        if !error.is_transient() {
                            return Err(error);
                        }
                        thread::sleep(self.backoff.next().unwrap_or_default().min(left));
                    }
                    None => return Ok(None),
                },
                State::Lost => self.state = State::Connecting(self.begin()?),
            }
        }
    }

    fn begin(&self) -> Result<Attempt, Error> {
        self.connector.begin(self.channels.listen_sql(), None)
    }
}

/// The outcome of a wait for a notification.
enum Waited {
    Notified(Notification),
    TimedOut,
    Lost,
}

fn wait(client: &mut OwnedClient, channels: &Channels, limit: Duration) -> Waited {
    // The driver's timer has a limit, which is years away.
    let limit = limit.min(Duration::from_secs(86_400 * 365));
    let waited = {
        let mut notifications = client.notifications();
        let mut arriving = notifications.timeout_iter(limit);
        loop {
            match arriving.next() {
                Ok(Some(notification)) => match channels.notification(notification.channel()) {
                    Some(notification) => return Waited::Notified(notification),
                    None => continue,
                },
                Ok(None) => break Waited::TimedOut,
                Err(_) => break Waited::Lost,
            }
        }
    };
    if client.is_closed() { Waited::Lost } else { waited }
}

impl Iterator for Listener {
    type Item = Result<Notification, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_timeout(Duration::MAX).transpose()
    }
}

impl Listening for Listener {
    type Error = Error;

    fn next_timeout(&mut self, timeout: Duration) -> Result<Option<Notification>, Error> {
        self.next_timeout(timeout)
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("channels", &self.channels).finish_non_exhaustive()
    }
}
