//! The number of connections that a pool has open.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The number of connections that a pool has open or is opening, for back ends that block. A pool that closes
/// its connections on other threads reports their end to no one else. Clones share the number.
#[derive(Debug, Clone, Default)]
pub struct OpenConnections(Arc<Counted>);

#[derive(Debug, Default)]
struct Counted {
    open: Mutex<usize>,
    closed: Condvar,
}

/// The entry of one connection in [`OpenConnections`], until it is dropped.
#[derive(Debug)]
pub struct OpenConnection(Arc<Counted>);

impl OpenConnections {
    /// Counts a connection. The entry has to be dropped after the connection.
    pub fn count(&self) -> OpenConnection {
        *self.0.lock() += 1;
        OpenConnection(Arc::clone(&self.0))
    }

    /// Waits until no connection is open, for up to `limit`. Returns `true` if none is.
    pub fn wait_until_closed(&self, limit: Duration) -> bool {
        let waited = self.0.closed.wait_timeout_while(self.0.lock(), limit, |open| *open > 0);
        let (open, _) = waited.unwrap_or_else(PoisonError::into_inner);
        *open == 0
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        *self.0.lock() -= 1;
        self.0.closed.notify_all();
    }
}

impl Counted {
    /// Ignores poisoning: the number is never left half-updated.
    fn lock(&self) -> MutexGuard<'_, usize> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn the_wait_ends_with_the_last_connection_or_the_limit() {
        let open = OpenConnections::default();
        assert!(open.wait_until_closed(Duration::ZERO));
        let (first, second) = (open.count(), open.clone().count());
        drop(first);
        assert!(!open.wait_until_closed(Duration::from_millis(1)));
        let closing = thread::spawn(move || drop(second));
        assert!(open.wait_until_closed(Duration::from_secs(60)));
        closing.join().unwrap();
    }
}
