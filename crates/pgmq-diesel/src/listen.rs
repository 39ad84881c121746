//! Listening for notifications.

use std::fmt;
use std::mem;
use std::thread;
use std::time::{Duration, Instant};

use diesel::PgConnection;
use pgmq_core::backend::{Channels, PendingNotifications, Reconnects};
use pgmq_core::{Listening, Notification};

use crate::connect::{Attempt, greet};
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
/// While nothing arrives, the listener checks from time to time that the server still answers, as
/// [`listener_check_interval`](crate::Builder::listener_check_interval) sets. It does so only inside its
/// methods: a listener runs no task of its own.
///
/// Dropping the listener closes the connection.
pub struct Listener {
    conninfo: String,
    channels: Channels,
    check_interval: Duration,
    /// The longest wait for the answer to a check.
    limit: Duration,
    state: State,
    reconnects: Reconnects,
    pending: PendingNotifications,
}

/// Attempts go on between calls, so short waits add up.
enum State {
    Listening(Connected),
    /// A check of the connection, and the time at which it has failed.
    Checking(Attempt, Instant),
    /// An attempt to connect. Calls wait for the same attempt, one after the other, until it has ended.
    Connecting(Attempt),
    /// No connection, and the time of the next attempt to connect.
    Lost(Instant),
}

/// A connection that is listened on.
struct Connected {
    /// Boxed, because the other states are small.
    connection: Box<PgConnection>,
    /// The time at which the server last sent something.
    heard_at: Instant,
    /// The pause before the connection is looked at again.
    pause: Duration,
}

impl Connected {
    fn new(connection: PgConnection) -> Self {
        Self { connection: Box::new(connection), heard_at: Instant::now(), pause: SHORTEST_PAUSE }
    }
}

const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(25);

impl Listener {
    pub(crate) fn connect(
        conninfo: String,
        channels: Channels,
        check_interval: Duration,
        limit: Duration,
    ) -> Result<Self, Error> {
        let state = State::Listening(Connected::new(greet(&conninfo, &channels.listen_sql())?));
        Ok(Self {
            conninfo,
            channels,
            check_interval,
            limit,
            state,
            reconnects: Reconnects::new(Instant::now()),
            pending: PendingNotifications::default(),
        })
    }

    /// The next notification, or `None` if there is none within `timeout`.
    ///
    /// # Errors
    ///
    /// The server refuses the new connection after one was lost.
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<Option<Notification>, Error> {
        let started = Instant::now();
        loop {
            if let Some(notification) = self.pending.pop() {
                return Ok(Some(notification));
            }
            let now = Instant::now();
            let left = timeout.saturating_sub(now - started);
            match &mut self.state {
                State::Listening(listening) => {
                    let until_check = self.check_interval.saturating_sub(now - listening.heard_at);
                    match receive(&mut listening.connection, &self.channels, &mut self.pending) {
                        Received::Something => {
                            (listening.heard_at, listening.pause) = (Instant::now(), SHORTEST_PAUSE);
                        }
                        Received::Lost => self.lost(),
                        Received::Nothing if until_check.is_zero() => self.check(),
                        Received::Nothing if left.is_zero() => return Ok(None),
                        Received::Nothing => {
                            thread::sleep(listening.pause.min(left).min(until_check));
                            listening.pause = LONGEST_PAUSE.min(listening.pause * 2);
                        }
                    }
                }
                State::Checking(attempt, fails_at) => {
                    let until_failed = fails_at.saturating_duration_since(now);
                    match attempt.wait(left.min(until_failed)) {
                        Some(Ok(connection)) => self.state = State::Listening(Connected::new(connection)),
                        Some(Err(_)) => self.lost(),
                        None if left < until_failed => return Ok(None),
                        None => self.lost(),
                    }
                }
                State::Connecting(attempt) => match attempt.wait(left) {
                    Some(Ok(connection)) => {
                        self.state = State::Listening(Connected::new(connection));
                        self.reconnects.connected(Instant::now());
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
                    match Attempt::connect(self.conninfo.clone(), self.channels.listen_sql()) {
                        Ok(attempt) => self.state = State::Connecting(attempt),
                        Err(error) => self.failed(error)?,
                    }
                }
            }
        }
    }

    /// Starts to check the connection.
    fn check(&mut self) {
        let now = Instant::now();
        let State::Listening(listening) = mem::replace(&mut self.state, State::Lost(now)) else { return };
        // Without a thread for the check, the connection is lost.
        if let Ok(attempt) = Attempt::check(*listening.connection) {
            self.state = State::Checking(attempt, now + self.limit);
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

/// The result of a look at the connection.
enum Received {
    Something,
    Nothing,
    Lost,
}

/// Receives the notifications that have arrived, without waiting for more.
fn receive(
    connection: &mut PgConnection,
    channels: &Channels,
    pending: &mut PendingNotifications,
) -> Received {
    let mut received = Received::Nothing;
    for notification in connection.notifications_iter().take(PendingNotifications::MOST_AT_ONCE) {
        let Ok(notification) = notification else { return Received::Lost };
        received = Received::Something;
        if let Some(notification) = channels.notification(&notification.channel) {
            pending.push(notification);
        }
    }
    received
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
