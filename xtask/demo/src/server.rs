//! The Postgres of the demo, which is removed when the demo ends, however it ends.

use std::process::exit;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::{Context, Result};
use pgmq_test_server::{Database, Server};

/// A server with a database per back end.
///
/// Ctrl-C drops the databases and stops the server before the process exits.
/// A process that is killed leaves nothing behind either: see [`pgmq_test_server`].
pub(crate) struct DemoServer {
    held: Arc<Mutex<Held>>,
}

#[derive(Default)]
struct Held {
    // Before the server, which runs for as long as it has databases.
    databases: Vec<Database>,
    server: Option<Server>,
    is_interrupted: bool,
}

impl DemoServer {
    /// Finds or starts a server.
    pub(crate) fn obtain() -> Result<Self> {
        let demo = Self { held: Arc::default() };
        let held = Arc::clone(&demo.held);
        ctrlc::set_handler(move || interrupt(&held)).context("cannot wait for Ctrl-C")?;
        let server = Server::obtain()?;
        // Ctrl-C waits until the template exists, and then drops it.
        demo.lock().server.insert(server).template()?;
        Ok(demo)
    }

    /// Creates a database with PGMQ in it, and returns its URL.
    pub(crate) fn create_database(&self) -> Result<String> {
        let mut held = self.lock();
        let database = held.server.as_ref().context("there is no server yet")?.create_database()?;
        let url = database.url().to_owned();
        held.databases.push(database);
        Ok(url)
    }

    /// Locks the server and its databases. After Ctrl-C this never returns: the process is about to exit.
    fn lock(&self) -> MutexGuard<'_, Held> {
        loop {
            let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            if !held.is_interrupted {
                return held;
            }
            drop(held);
            thread::park();
        }
    }
}

impl Drop for DemoServer {
    fn drop(&mut self) {
        let mut held = self.lock();
        held.databases.clear();
        held.server = None;
    }
}

fn interrupt(held: &Mutex<Held>) {
    let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
    held.is_interrupted = true;
    held.databases.clear();
    if let Some(server) = held.server.take()
        && let Err(error) = server.drop_leftovers()
    {
        eprintln!("{error:?}");
    }
    eprintln!("\ninterrupted");
    exit(130);
}
