//! Listening for notifications.

use std::fmt;
use std::mem;
use std::thread;
use std::time::{Duration, Instant};

use fallible_iterator::FallibleIterator;
use pgmq_core::backend::{Channels, PendingNotifications, Reconnects};
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
/// While nothing arrives, the listener checks from time to time that the server still answers, as
/// [`listener_check_interval`](crate::Builder::listener_check_interval) sets. It does so only inside its
/// methods: a listener runs no task of its own.
///
/// In async code, its methods fail with [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument).
///
/// Dropping the listener closes the connection.
pub struct Listener {
    connector: Connector,
    channels: Channels,
    check_interval: Duration,
    state: State,
    reconnects: Reconnects,
    pending: PendingNotifications,
}

/// Attempts go on between calls, so short waits add up.
enum State {
    /// The connection, and the time at which the server last sent something on it.
    Listening(OwnedClient, Instant),
    /// A check of the connection.
    Checking(Attempt),
    /// An attempt to connect.
    Connecting(Attempt),
    /// No connection, and the time of the next attempt to connect.
    Lost(Instant),
}

/// The longest wait, because the driver's timer has a limit, which is years away.
const LONGEST_WAIT: Duration = Duration::from_secs(86_400 * 365);

impl Listener {
    pub(crate) fn connect(
        connector: Connector,
        channels: Channels,
        check_interval: Duration,
    ) -> Result<Self, Error> {
        let client = connector.begin(channels.listen_sql(), None)?.finish()?;
        let now = Instant::now();
        Ok(Self {
            connector,
            channels,
            check_interval,
            state: State::Listening(client, now),
            reconnects: Reconnects::new(now),
            pending: PendingNotifications::default(),
        })
    }

    /// The next notification, or `None` if there is none within `timeout`.
    ///
    /// # Errors
    ///
    /// The server refuses the new connection after one was lost.
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<Option<Notification>, Error> {
        check_may_block()?;
        let timeout = timeout.min(LONGEST_WAIT);
        let started = Instant::now();
        loop {
            if let Some(notification) = self.pending.pop() {
                return Ok(Some(notification));
            }
            let now = Instant::now();
            let left = timeout.saturating_sub(now - started);
            match &mut self.state {
                State::Listening(client, heard_at) => {
                    let until_check = self.check_interval.saturating_sub(now - *heard_at);
                    let wait = left.min(until_check);
                    match receive(client, &self.channels, &mut self.pending, wait) {
                        Received::Something => *heard_at = Instant::now(),
                        Received::Nothing if left < until_check => return Ok(None),
                        Received::Nothing => self.check(),
                        Received::Lost => self.lost(),
                    }
                }
                State::Checking(attempt) => match attempt.wait(left) {
                    Some(Ok(client)) => self.state = State::Listening(client, Instant::now()),
                    Some(Err(_)) => self.lost(),
                    None => return Ok(None),
                },
                State::Connecting(attempt) => match attempt.wait(left) {
                    Some(Ok(client)) => {
                        let now = Instant::now();
                        self.reconnects.connected(now);
                        self.state = State::Listening(client, now);
                        return Ok(Some(Notification::Reconnected));
                    }
                    Some(Err(error)) => self.failed(error)?,
                    None => return Ok(None),
                },
                State::Lost(next_attempt) => {
                    let wait = next_attempt.saturating_duration_since(now);
                    if wait > left {
                        thread::sleep(left);
                        return Ok(None);
                    }
                    thread::sleep(wait);
                    match self.connector.begin(self.channels.listen_sql(), None) {
                        Ok(attempt) => self.state = State::Connecting(attempt),
                        Err(error) => self.failed(error)?,
                    }
                }
            }
        }
    }

    /// Starts to check the connection.
    fn check(&mut self) {
        let State::Listening(client, _) = mem::replace(&mut self.state, State::Lost(Instant::now())) else {
            return;
        };
        // Without a thread for the check, the connection is lost.
        if let Ok(attempt) = Attempt::check(client, self.connector.answer_limit()) {
            self.state = State::Checking(attempt);
        }
    }

    /// Reconnects at once if the connection has worked for a while, and after a pause otherwise.
    fn lost(&mut self) {
        let now = Instant::now();
        self.state = State::Lost(now + self.reconnects.after_loss(now));
    }

    /// Reconnects after a pause, and returns an error that would last.
    fn failed(&mut self, error: Error) -> Result<(), Error> {
        self.state = State::Lost(Instant::now() + self.reconnects.after_failure());
        if error.is_transient() { Ok(()) } else { Err(error) }
    }
}

/// The result of a wait for notifications.
enum Received {
    Something,
    Nothing,
    Lost,
}

/// Waits for a notification, and receives all others that have arrived by then.
fn receive(
    client: &mut OwnedClient,
    channels: &Channels,
    pending: &mut PendingNotifications,
    wait: Duration,
) -> Received {
    let mut next = client.notifications().timeout_iter(wait).next();
    let mut received = Received::Nothing;
    for _ in 0..PendingNotifications::MOST_AT_ONCE {
        match next {
            Ok(Some(notification)) => {
                received = Received::Something;
                if let Some(notification) = channels.notification(notification.channel()) {
                    pending.push(notification);
                }
            }
            Ok(None) => break,
            Err(_) => return Received::Lost,
        }
        next = client.notifications().iter().next();
    }
    if client.is_closed() { Received::Lost } else { received }
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
