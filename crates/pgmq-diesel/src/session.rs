//! The state of a pooled connection, by which a lost one is detected without a round trip for each operation.
//!
//! No task watches a connection of this driver while it is idle. Losses are detected in three ways, each of
//! which covers cases that the others miss:
//!
//! - libpq reports, without a round trip, what has arrived and if the connection was closed. But such a check
//!   consumes the report with which a server ends a session, and the end of the connection may follow a
//!   little later: in between, the connection looks open. So only a connection that was idle for long, or
//!   that is handed out to the user, is checked.
//! - The statement itself: the server's last report is the answer to it, and proves that nothing was
//!   committed.
//! - A statement that Diesel prepares first gets no such proof, because of two errors libpq keeps the last,
//!   which reports only that the connection is closed. So before a text runs on a connection for the first
//!   time, the server is pinged.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::mem;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::pg::PgConnection;
use diesel::r2d2::PooledConnection;
use pgmq_core::backend::{OpenConnection, OpenConnections, PING};

use crate::pool::{DriverState, Session};

/// The time for which a connection is taken to be open after it was handed out.
pub(crate) const FRESH: Duration = Duration::from_secs(5);

/// The state of a pooled connection.
#[derive(Debug, Default)]
struct State {
    /// The time when the connection was last handed out.
    acquired_at: Option<Instant>,
    /// The number of losses in the pool by that time.
    losses: u64,
    /// The hashes of the texts whose statements Diesel has prepared on the connection and cached.
    texts: HashSet<u64>,
    /// The entry in the number of open connections. The pool drops it after the connection.
    entry: Option<OpenConnection>,
}

fn state(session: &mut Session) -> &mut State {
    let extensions = PooledConnection::extensions_mut(session);
    if extensions.get::<State>().is_none() {
        extensions.insert(State::default());
    }
    #[expect(clippy::expect_used, reason = "the lines above have inserted a missing state")]
    extensions.get_mut::<State>().expect("the state is there")
}

/// Returns `true` if a connection can be used. Pings the server if connections were lost since it was last
/// handed out, and otherwise checks the connection if that was at least `fresh` ago.
pub(crate) fn can_use(session: &mut Session, driver: &DriverState, fresh: Duration) -> bool {
    let count = driver.losses.count();
    let state = state(session);
    if state.entry.is_none() {
        state.entry = driver.open.as_ref().map(OpenConnections::count);
    }
    let count_before = mem::replace(&mut state.losses, count);
    let acquired_before = state.acquired_at.replace(Instant::now());
    if count_before != count {
        answers(session)
    } else if acquired_before.is_none_or(|at| at.elapsed() >= fresh) {
        is_open(session)
    } else {
        true
    }
}

/// Returns `true` if a text can run on a connection: if it has run there before, or otherwise if the server
/// answers a ping.
pub(crate) fn can_run(session: &mut Session, text: &str) -> bool {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    let is_new = state(session).texts.insert(hasher.finish());
    !is_new || answers(session)
}

/// Returns `true` if a connection is open as far as the operating system knows. The first check may consume
/// the server's last report, and then only the second one finds the end of the connection.
fn is_open(connection: &mut PgConnection) -> bool {
    (0..2).all(|_| connection.notifications_iter().next().is_none_or(|read| read.is_ok()))
}

/// Returns `true` if the server answers a ping.
fn answers(connection: &mut PgConnection) -> bool {
    connection.batch_execute(PING).is_ok()
}
