//! Listening for notifications.

use std::collections::VecDeque;
use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

use diesel::PgConnection;
use pgmq_core::backend::{Backoff, Channels};
use pgmq_core::{Listening, Notification};

use crate::connect::{Connecting, greet};
use crate::error::Error;

/// Notifications of messages sent to queues: an iterator that blocks and never ends, with
/// [`next_timeout`](Self::next_timeout) for a wait of limited length.
///
/// A notification is a hint, not a delivery: read from the queue when one arrives, and poll the queue from
/// time to time as well. When the connection is lost, the listener reconnects with backoff and returns
/// [`Notification::Reconnected`] once, because notifications may have been missed. It returns an error if the
/// server refuses the new connection, such as for a changed password; the next call goes on trying.
///
/// Diesel offers no way to wait for data on a connection. A waiting listener therefore checks it again and
/// again: a millisecond after something has arrived, and less and less often, down to every 25 milliseconds,
/// while nothing arrives. No check is a round trip.
///
/// Dropping the listener closes the connection.
pub struct Listener {
    conninfo: String,
    channels: Channels,
    state: State,
    backoff: Backoff,
    /// The notifications that have arrived and were not returned yet: at most one of each queue.
    pending: VecDeque<Notification>,
}

enum State {
    /// The connection, and the pause before the next check of it.
    Listening(Box<PgConnection>, Duration),
    /// An attempt to connect. Calls wait for the same attempt, one after the other, until it has ended.
    Connecting(Connecting),
    /// No connection, and the time of the next attempt to connect.
    Lost(Instant),
}

const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(25);
/// The most notifications that a check receives before the pending ones are returned.
const MOST_PER_CHECK: usize = 10_000;

impl Listener {
    pub(crate) fn connect(conninfo: String, channels: Channels) -> Result<Self, Error> {
        let connection = greet(&conninfo, &channels.listen_sql())?;
        let state = State::Listening(Box::new(connection), SHORTEST_PAUSE);
        Ok(Self { conninfo, channels, state, backoff: Backoff::default(), pending: VecDeque::new() })
    }

    /// The next notification, or `None` if there is none within `timeout`.
    ///
    /// # Errors
    ///
    /// The server refuses the new connection after one was lost.
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<Option<Notification>, Error> {
        let deadline = Instant::now().checked_add(timeout);
        loop {
            if let Some(notification) = self.pending.pop_front() {
                return Ok(Some(notification));
            }
            let left =
                deadline.map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(Instant::now()));
            match &mut self.state {
                State::Listening(connection, pause) => {
                    match check(connection, &self.channels, &mut self.pending) {
                        Checked::Received => *pause = SHORTEST_PAUSE,
                        Checked::Lost => self.state = State::Lost(Instant::now()),
                        Checked::Nothing if left.is_zero() => return Ok(None),
                        Checked::Nothing => {
                            thread::sleep(left.min(*pause));
                            *pause = LONGEST_PAUSE.min(*pause * 2);
                        }
                    }
                }
                State::Lost(next_attempt) => {
                    let wait = next_attempt.saturating_duration_since(Instant::now());
                    thread::sleep(wait.min(left));
                    if wait > left {
                        return Ok(None);
                    }
                    let greeting = self.channels.listen_sql();
                    self.state = State::Connecting(Connecting::start(self.conninfo.clone(), greeting)?);
                }
                State::Connecting(connecting) => match connecting.wait(left) {
                    Some(Ok(connection)) => {
                        self.state = State::Listening(Box::new(connection), SHORTEST_PAUSE);
                        self.backoff = Backoff::default();
                        return Ok(Some(Notification::Reconnected));
                    }
                    Some(Err(error)) => {
                        let wait = self.backoff.next().unwrap_or_default();
                        self.state = State::Lost(Instant::now() + wait);
                        if !error.is_transient() {
                            return Err(error);
                        }
                    }
                    None => return Ok(None),
                },
            }
        }
    }
}

/// The result of a check of the connection.
enum Checked {
    Received,
    Nothing,
    Lost,
}

/// Receives the notifications that have arrived, without waiting for more.
fn check(
    connection: &mut PgConnection,
    channels: &Channels,
    pending: &mut VecDeque<Notification>,
) -> Checked {
    let mut checked = Checked::Nothing;
    for notification in connection.notifications_iter().take(MOST_PER_CHECK) {
        let Ok(notification) = notification else {
            // The pending notifications are returned first. The next check finds the loss again.
            return if pending.is_empty() { Checked::Lost } else { Checked::Received };
        };
        checked = Checked::Received;
        if let Some(notification) = channels.notification(&notification.channel)
            && !pending.contains(&notification)
        {
            pending.push_back(notification);
        }
    }
    checked
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
