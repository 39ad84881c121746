//! Administrative connections to a server.

use std::{
    sync::{Mutex, PoisonError},
    thread,
};

use postgres::{Client, Config, Error, NoTls};

use crate::{address::Address, error::ServerError};

/// Connections to the maintenance database, opened on demand and kept for the next caller.
pub(crate) struct Admin {
    config: Config,
    idle: Mutex<Vec<Client>>,
}

impl Admin {
    /// Prepares for a server. The sessions show the name of the run, so that other runs see that it is alive.
    pub(crate) fn new(address: &Address, run: &str) -> Self {
        let mut config = address.config().clone();
        config.application_name(run);
        Self { config, idle: Mutex::new(Vec::new()) }
    }

    /// Runs `work` on a connection that no other caller uses meanwhile.
    pub(crate) fn run<T: Send>(
        &self,
        work: impl FnOnce(&mut Client) -> Result<T, Error> + Send,
    ) -> Result<T, Error> {
        outside_of_runtimes(|| {
            let kept = self.idle().pop();
            let mut client = match kept {
                Some(client) => client,
                None => self.config.connect(NoTls)?,
            };
            let result = work(&mut client);
            if !client.is_closed() {
                self.idle().push(client);
            }
            result
        })
    }

    /// Runs one or more statements.
    pub(crate) fn execute(&self, sql: &str) -> Result<(), Error> {
        self.run(|client| client.batch_execute(sql))
    }

    /// Closes the idle connections, as a stopping server would.
    pub(crate) fn close(&self) {
        let clients = std::mem::take(&mut *self.idle());
        outside_of_runtimes(|| drop(clients));
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Client>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.close();
    }
}

/// Runs statements on a new connection.
pub(crate) fn execute_once(config: &Config, sql: &str) -> Result<(), ServerError> {
    outside_of_runtimes(|| config.connect(NoTls)?.batch_execute(sql))
        .map_err(|error| ServerError::because("cannot execute the statements", error))
}

/// Runs `work` on a new thread and waits for it.
///
/// The blocking client panics inside an async runtime, and a test may drop its database there.
pub fn outside_of_runtimes<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| match scope.spawn(work).join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}
