//! Threads.

use std::{io, thread};

/// Runs a function on a thread of its own. The thread is never joined: it may hang in a handler or in a call
/// of the database, for which a stop does not wait.
pub(crate) fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(name.to_owned()).spawn(run).map(drop)
}
