//! What is known of a pooled connection, and how one is seen to be lost without asking the server for each operation.
//!
//! Nobody watches a connection of this driver while it is idle. Three things tell of a loss, each where the others do not:
//!
//! - libpq can be asked what has come and whether the connection was closed, which is no round trip. But that takes in the last
//!   words of a server that ends a session, and its end may follow a little later: in between, the connection looks well. So
//!   only what was idle for long is looked at, or goes out to the user.
//! - The statement itself: the server's last words are its answer, and prove that nothing was committed.
//! - Not so where Diesel prepares the statement first, since of two errors libpq then keeps the last, which says no more than
//!   that the connection is closed. So before a text runs on a connection for the first time, the server is asked.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::pg::PgConnection;
use diesel::r2d2::{PooledConnection, R2D2Connection};

use crate::Session;

/// For how long a connection is taken to be as it was.
pub(crate) const FRESH: Duration = Duration::from_secs(5);

/// How many connections of a pool were found to be lost.
#[derive(Debug, Default)]
pub(crate) struct Losses(AtomicU64);

impl Losses {
    /// Counts one, which casts doubt on all others.
    pub(crate) fn note(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether a connection can be used: looks, if it was not handed out for `fresh`, and asks the server once, if there was a
    /// loss since.
    pub(crate) fn can_use(&self, session: &mut Session, fresh: Duration) -> bool {
        let losses = self.0.load(Ordering::Relaxed);
        let known = known(session);
        let (before, at) = (known.losses, known.at.replace(Instant::now()));
        known.losses = losses;
        if before != losses {
            answers(session)
        } else if at.is_none_or(|at| at.elapsed() >= fresh) {
            is_open(session)
        } else {
            true
        }
    }
}

/// What is known of a connection.
#[derive(Debug, Default)]
struct Known {
    /// When it was last handed out.
    at: Option<Instant>,
    /// How many losses there had been by then.
    losses: u64,
    /// The texts that Diesel has prepared on it, and keeps, by their hashes.
    texts: HashSet<u64>,
}

fn known(session: &mut Session) -> &mut Known {
    let extensions = PooledConnection::extensions_mut(session);
    if extensions.get::<Known>().is_none() {
        extensions.insert(Known::default());
    }
    #[expect(clippy::expect_used, reason = "it was put there just now")]
    extensions.get_mut::<Known>().expect("it is there")
}

/// Whether a text can be run: it was run before on this connection, or else the server answers.
pub(crate) fn can_run(session: &mut Session, text: &str) -> bool {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    let is_new = known(session).texts.insert(hasher.finish());
    !is_new || answers(session)
}

/// Has the pool drop a connection that is lost. Diesel does not know of the loss in every case; asked, it learns of it, and
/// libpq says so without asking the server.
pub(crate) fn give_up(mut session: Session) {
    drop(session.ping());
}

/// Whether a connection is open, as far as the system knows. The first look may find the server's last words, and then it is
/// the second that finds the end.
fn is_open(connection: &mut PgConnection) -> bool {
    (0..2).all(|_| connection.notifications_iter().next().is_none_or(|read| read.is_ok()))
}

/// Whether the server answers.
fn answers(connection: &mut PgConnection) -> bool {
    connection.batch_execute("SELECT").is_ok()
}
