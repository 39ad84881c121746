//! Listening for notifications.

use std::collections::VecDeque;
use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

use diesel::PgConnection;
use pgmq_core::{Backoff, Channels, Notification, QueueError};

use crate::Error;
use crate::config::{Connecting, greet};

/// Notifications of messages sent to queues: an iterator that blocks and never ends, or
/// [`next_timeout`](Self::next_timeout) for a wait of limited length.
///
/// A notification is a hint, not a delivery: read from the queue when one comes, and look into it from time to time all the
/// same. When the connection is lost it is made anew, with back-off, and [`Notification::Reconnected`] is returned once,
/// because notifications may have been missed. An error is returned when the server refuses the new connection, such as for
/// a changed password; the next call goes on trying.
///
/// Diesel gives no way to wait for a connection. So it is looked at again and again while somebody waits: after a millisecond
/// where something has just come, and more and more seldom up to every 25 milliseconds where nothing comes. No look asks the
/// server.
///
/// Dropping it closes the connection.
pub struct Listener {
    conninfo: String,
    channels: Channels,
    state: State,
    backoff: Backoff,
    /// What has come and was not returned yet: at most one of each queue.
    pending: VecDeque<Notification>,
}

enum State {
    /// With the pause before the next look.
    Listening(Box<PgConnection>, Duration),
    /// Waits of any length add up, until the attempt has ended.
    Connecting(Connecting),
    /// With the time to try again.
    Lost(Instant),
}

const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(25);
/// How many notifications are taken in before what came is returned.
const AT_ONCE: usize = 10_000;

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
    /// When the server refuses a new connection after one was lost.
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<Option<Notification>, Error> {
        let until = Instant::now().checked_add(timeout);
        loop {
            if let Some(notification) = self.pending.pop_front() {
                return Ok(Some(notification));
            }
            let left = until.map_or(Duration::MAX, |until| until.saturating_duration_since(Instant::now()));
            match &mut self.state {
                State::Listening(connection, pause) => {
                    match take_in(connection, &self.channels, &mut self.pending) {
                        Looked::Came => *pause = SHORTEST_PAUSE,
                        Looked::Lost => self.state = State::Lost(Instant::now()),
                        Looked::InVain if left.is_zero() => return Ok(None),
                        Looked::InVain => {
                            thread::sleep(left.min(*pause));
                            *pause = LONGEST_PAUSE.min(*pause * 2);
                        }
                    }
                }
                State::Lost(again) => {
                    let wait = again.saturating_duration_since(Instant::now());
                    thread::sleep(wait.min(left));
                    if wait > left {
                        return Ok(None);
                    }
                    let greeting = self.channels.listen_sql();
                    self.state = State::Connecting(Connecting::begin(self.conninfo.clone(), greeting)?);
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

/// What a look at the connection has shown.
enum Looked {
    Came,
    InVain,
    Lost,
}

/// Takes in what has come, without waiting for anything.
fn take_in(
    connection: &mut PgConnection,
    channels: &Channels,
    pending: &mut VecDeque<Notification>,
) -> Looked {
    let mut looked = Looked::InVain;
    for notification in connection.notifications_iter().take(AT_ONCE) {
        let Ok(notification) = notification else {
            // What came before is returned first; a lost connection stays lost.
            return if pending.is_empty() { Looked::Lost } else { Looked::Came };
        };
        looked = Looked::Came;
        if let Some(notification) = channels.notification(&notification.channel)
            && !pending.contains(&notification)
        {
            pending.push_back(notification);
        }
    }
    looked
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
