//! Threads.

use std::{io, thread};

use crate::shell::clock::Clock;

/// Runs a function on a thread of its own. The thread is never joined: it may hang in a handler or in a call
/// of the database, for which a stop does not wait.
pub(crate) fn spawn(clock: &Clock, name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let thread = thread::Builder::new().name(name.to_owned());
    match clock {
        Clock::System => thread.spawn(run),
        Clock::Turned(clock) => {
            let counted = clock.threads().begin();
            thread.spawn(move || {
                counted.enter();
                run();
            })
        }
    }
    .map(drop)
}
