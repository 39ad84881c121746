//! A client of the driver that can be dropped anywhere.

use std::ops::{Deref, DerefMut};
use std::thread;
use std::time::Duration;

use pgmq_core::backend::OpenConnection;
use postgres::Client;

use crate::runtime::is_in_runtime;

/// A client of the driver that can be dropped anywhere.
///
/// To close a connection, the driver notifies the server, and waits until the server has answered every
/// request. So a connection that does not answer is closed on a separate thread. So is every connection that
/// is dropped inside a Tokio runtime, where the driver would panic.
pub(crate) struct OwnedClient {
    /// Boxed, because each operation moves the connection out of the pool and back. `None` only in `drop`.
    client: Option<Box<Client>>,
    is_discarded: bool,
    /// The entry in the number of open connections, if the connection is counted.
    entry: Option<OpenConnection>,
}

impl OwnedClient {
    pub(crate) fn new(client: Client, entry: Option<OpenConnection>) -> Self {
        Self { client: Some(Box::new(client)), is_discarded: false, entry }
    }

    /// Marks the connection as one that must not be used again, and may never answer.
    pub(crate) fn discard(&mut self) {
        self.is_discarded = true;
    }

    /// Returns `true` if the connection must not be used again.
    pub(crate) fn is_broken(&self) -> bool {
        self.is_discarded || self.is_closed()
    }

    /// Asks the server for an answer, and discards the connection if none comes within `limit`.
    pub(crate) fn check(&mut self, limit: Duration) -> Result<(), postgres::Error> {
        let checked = self.is_valid(limit);
        if checked.is_err() {
            self.discard();
        }
        checked
    }
}

impl Deref for OwnedClient {
    type Target = Client;

    #[expect(clippy::expect_used, reason = "only `drop` takes the client")]
    fn deref(&self) -> &Client {
        self.client.as_deref().expect("the client is there until it is dropped")
    }
}

impl DerefMut for OwnedClient {
    #[expect(clippy::expect_used, reason = "only `drop` takes the client")]
    fn deref_mut(&mut self) -> &mut Client {
        self.client.as_deref_mut().expect("the client is there until it is dropped")
    }
}

impl Drop for OwnedClient {
    fn drop(&mut self) {
        let Some(client) = self.client.take() else { return };
        let may_wait = self.is_discarded && !client.is_closed();
        let entry = self.entry.take();
        let close = move || {
            drop(client);
            drop(entry);
        };
        if may_wait || is_in_runtime() {
            // If no thread can be started, the client is dropped with the closure, on this thread.
            drop(thread::Builder::new().name("pgmq-close".to_owned()).spawn(close));
        } else {
            close();
        }
    }
}
