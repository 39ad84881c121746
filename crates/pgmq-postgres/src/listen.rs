//! Listening for notifications.

use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

use fallible_iterator::FallibleIterator;
use pgmq_core::{Backoff, Channels, Notification, QueueError};
use pgmq_driver_tokio_postgres::Tls;
use postgres::{Client, Config};

use crate::Error;
use crate::manager::{Attempts, Connecting};

/// Notifications of messages sent to queues: an iterator that blocks and never ends, or
/// [`next_timeout`](Self::next_timeout) for a wait of limited length.
///
/// A notification is a hint, not a delivery: read from the queue when one comes, and look into it from time to time all the
/// same. When the connection is lost it is made anew, with back-off, and [`Notification::Reconnected`] is returned once,
/// because notifications may have been missed. An error is returned when the server refuses the new connection, such as for
/// a changed password; the next call goes on trying.
///
/// Dropping it closes the connection.
pub struct Listener {
    config: Config,
    tls: Tls,
    channels: Channels,
    limit: Duration,
    state: State,
    backoff: Backoff,
    attempts: Attempts,
}

enum State {
    Listening(Box<Client>),
    /// Waits of any length add up, until the attempt has ended.
    Connecting(Connecting),
    Lost,
}

impl Listener {
    pub(crate) fn connect(
        config: Config,
        tls: Tls,
        channels: Channels,
        limit: Duration,
    ) -> Result<Self, Error> {
        let mut listener = Self {
            config,
            tls,
            channels,
            limit,
            state: State::Lost,
            backoff: Backoff::default(),
            attempts: Attempts::default(),
        };
        listener.state = State::Listening(Box::new(listener.begin()?.finish()?));
        Ok(listener)
    }

    /// The next notification, or `None` if there is none within `timeout`.
    ///
    /// # Errors
    ///
    /// When the server refuses a new connection after one was lost.
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<Option<Notification>, Error> {
        let until = Instant::now().checked_add(timeout);
        loop {
            let left = until.map_or(Duration::MAX, |until| until.saturating_duration_since(Instant::now()));
            match &mut self.state {
                State::Listening(client) => match wait(client, &self.channels, left) {
                    Waited::Notified(notification) => return Ok(Some(notification)),
                    Waited::InVain => return Ok(None),
                    Waited::Lost => self.state = State::Lost,
                },
                State::Connecting(connecting) => match connecting.wait(left) {
                    Some(Ok(client)) => {
                        self.state = State::Listening(Box::new(client));
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

    fn begin(&self) -> Result<Connecting, Error> {
        Connecting::begin(&self.attempts, self.limit, &self.config, &self.tls, self.channels.listen_sql())
    }
}

/// How a wait for a notification ended.
enum Waited {
    Notified(Notification),
    InVain,
    Lost,
}

fn wait(client: &mut Client, channels: &Channels, limit: Duration) -> Waited {
    // The driver's timer has a limit of its own, which is years away.
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
                Ok(None) => break Waited::InVain,
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

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("channels", &self.channels).finish_non_exhaustive()
    }
}
