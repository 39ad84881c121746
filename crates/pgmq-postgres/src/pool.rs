//! The pool, its sessions, and the state that the clones of a queue share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fallible_iterator::FallibleIterator;
use pgmq_core::backend::{self, END_SESSION, OpenConnections};
use postgres::Client;

use crate::connection::sealed::{Bind, Clients};
use crate::error::Error;
use crate::manager::{ManageClients, Manager};
use crate::run::ConnRef;

/// A pool of connections of this driver.
pub type Pool<M = Manager> = r2d2::Pool<M>;

/// A connection that was acquired from the pool. Dropping it releases it.
pub type Session<M = Manager> = r2d2::PooledConnection<M>;

/// The state that the clones of a queue share.
pub(crate) type Shared = backend::Shared<Error, DriverState>;

/// The part of the shared state that only this driver needs.
#[derive(Debug, Default)]
pub(crate) struct DriverState {
    /// The losses of the pool's connections.
    pub(crate) losses: Losses,
    /// The number of connections of the queue's own pool.
    pub(crate) open: OpenConnections,
}

/// The time of the last loss of a pool's connection.
#[derive(Debug)]
pub(crate) struct Losses {
    start: Instant,
    /// In nanoseconds since the start; 0 if nothing was lost.
    last: AtomicU64,
}

/// The time at which a connection was last known to be usable, for connections that do not record it.
struct UsableAt(Instant);

/// Idle time after which a connection is checked before use. The check costs up to 1 ms, the tick of the
/// driver's timer; in a busy pool, no connection is idle long enough to be checked.
const FRESH: Duration = Duration::from_millis(100);

/// The longest wait for a pooled connection at a time. The pool wakes no waiter when it discards a lost
/// connection, but each wait begins by opening a connection if the pool has room for one.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_millis(500);

impl Default for Losses {
    fn default() -> Self {
        Self { start: Instant::now(), last: AtomicU64::new(0) }
    }
}

impl Losses {
    /// Records a loss, which casts doubt on all other connections.
    pub(crate) fn record(&self) {
        let last = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.last.fetch_max(last, Ordering::Relaxed);
    }

    /// Returns `true` if a connection was lost at or after a time.
    fn happened_since(&self, time: Instant) -> bool {
        let last = self.last.load(Ordering::Relaxed);
        last > 0 && time <= self.start + Duration::from_nanos(last)
    }

    /// Checks that a connection is usable.
    ///
    /// The driver does not watch idle connections. After a loss, each connection that was last known to be
    /// usable before the loss therefore has to answer one request, within `limit`. A connection that was idle
    /// for a while is checked without a round trip, and one that was just made is not checked.
    pub(crate) fn check<M: ManageClients>(
        &self,
        session: &mut Session<M>,
        limit: impl FnOnce() -> Duration,
    ) -> Result<(), postgres::Error> {
        let now = Instant::now();
        // A connection that does not record the time has to answer if anything was ever lost.
        let usable_at = usable_at(session);
        let has_to_answer = self.happened_since(usable_at.unwrap_or(self.start));
        let client = session.client();
        if client.is_closed() || has_to_answer {
            client.is_valid(limit())?;
        } else if usable_at.is_none_or(|at| now.saturating_duration_since(at) >= FRESH) {
            client.notifications().timeout_iter(Duration::ZERO).next()?;
        }
        set_usable_at(session, now);
        Ok(())
    }
}

fn usable_at<M: ManageClients>(session: &mut Session<M>) -> Option<Instant> {
    if let Some(at) = session.usable_at() {
        return Some(*at);
    }
    r2d2::PooledConnection::extensions(session).get().map(|UsableAt(at)| *at)
}

fn set_usable_at<M: ManageClients>(session: &mut Session<M>, now: Instant) {
    if let Some(at) = session.usable_at() {
        *at = now;
        return;
    }
    let extensions = r2d2::PooledConnection::extensions_mut(session);
    match extensions.get_mut() {
        Some(UsableAt(at)) => *at = now,
        None => drop(extensions.insert(UsableAt(now))),
    }
}

/// Releases a connection that must not be used again, although it may look open. The pool of a [`Manager`]
/// discards it. Another manager notices only that a connection is closed, so the server ends the session, if
/// it answers within `limit`.
pub(crate) fn discard<M: ManageClients>(mut session: Session<M>, limit: Duration) {
    if !session.discard() {
        end_session(session.client(), limit);
    }
}

/// Has the server end the session of a client.
fn end_session(client: &mut Client, limit: Duration) {
    // The driver has no limit for a statement, so the server first has to show that it answers.
    if client.is_valid(limit).is_ok() {
        let _ = client.batch_execute(END_SESSION);
        // The server closes the connection after its report, and the driver notices that here.
        let _ = client.is_valid(limit);
    }
}

#[expect(private_interfaces, reason = "the trait cannot be named outside this crate")]
impl<M: ManageClients> Bind for Session<M> {
    fn conn(&mut self) -> ConnRef<'_> {
        (**self).conn()
    }
}
