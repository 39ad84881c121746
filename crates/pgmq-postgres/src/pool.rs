//! The pool, its sessions, and the state that the clones of a queue share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fallible_iterator::FallibleIterator;
use pgmq_core::backend;

use crate::connection::sealed::{Bind, Clients};
use crate::error::Error;
use crate::manager::{IS_DISCARDED, ManageClients, Manager, PooledClient};
use crate::run::ConnRef;

/// A pool of connections of this driver.
pub type Pool<M = Manager> = r2d2::Pool<M>;

/// A connection that was acquired from the pool. Dropping it releases it.
pub type Session<M = Manager> = r2d2::PooledConnection<M>;

/// The state that the clones of a queue share.
pub(crate) type Shared = backend::Shared<Error, Losses>;

/// The number of connections that were found to be lost.
#[derive(Debug, Default)]
pub(crate) struct Losses(AtomicU64);

/// The time at which a connection was last known to be usable, and the number of losses by then.
struct UsableAt {
    losses: u64,
    time: Instant,
}

/// Idle time after which a connection is checked before use. The check costs up to 1 ms, the tick of the
/// driver's timer; in a busy pool, no connection is idle long enough to be checked.
const FRESH: Duration = Duration::from_millis(100);

impl Losses {
    /// Counts a loss, which casts doubt on all other connections.
    pub(crate) fn record(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns `true` if a connection is usable.
    ///
    /// The driver does not watch idle connections. After a loss, each connection that was last checked before
    /// the loss therefore has to answer one request, within `limit`. A connection that was idle for a while
    /// is checked without a round trip.
    pub(crate) fn is_usable<M: ManageClients>(&self, session: &mut Session<M>, limit: Duration) -> bool {
        let losses = self.0.load(Ordering::Relaxed);
        let usable_at = r2d2::PooledConnection::extensions(session).get::<UsableAt>();
        let (known, is_fresh) =
            usable_at.map_or((0, false), |usable_at| (usable_at.losses, usable_at.time.elapsed() < FRESH));
        let client = session.client();
        let is_usable = !client.is_closed()
            && if known != losses {
                client.is_valid(limit).is_ok()
            } else {
                is_fresh || client.notifications().timeout_iter(Duration::ZERO).next().is_ok()
            };
        if is_usable {
            let usable_at = UsableAt { losses, time: Instant::now() };
            let extensions = r2d2::PooledConnection::extensions_mut(session);
            match extensions.get_mut() {
                Some(known) => *known = usable_at,
                None => drop(extensions.insert(usable_at)),
            }
        }
        is_usable
    }
}

/// Releases a connection that must not be used again, although it may look open. The pool of a [`Manager`]
/// discards it; a pool with another manager may or may not notice by itself.
pub(crate) fn discard<M: ManageClients>(session: Session<M>) {
    IS_DISCARDED.set(true);
    // The pool asks the manager before `drop` returns, on this thread.
    drop(session);
    IS_DISCARDED.set(false);
}

/// Closes the connections that the pool removes. To close a connection, the driver notifies the server and
/// waits until the server has answered every request, so a connection that does not answer is closed on a
/// separate thread.
#[derive(Debug)]
pub(crate) struct CloseOnThread;

impl r2d2::CustomizeConnection<PooledClient, Error> for CloseOnThread {
    fn on_release(&self, client: PooledClient) {
        if !client.is_closed() && IS_DISCARDED.get() {
            // If no thread can be started, the client is dropped with the closure, and this thread waits.
            let close = thread::Builder::new().name("pgmq-close".to_owned()).spawn(move || drop(client));
            drop(close);
        }
    }
}

#[expect(private_interfaces, reason = "the trait cannot be named outside this crate")]
impl<M: ManageClients> Bind for Session<M> {
    fn conn(&mut self) -> ConnRef<'_> {
        (**self).conn()
    }
}
