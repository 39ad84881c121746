//! Connecting.

use pgmq_core::backend::Refusals;
use pgmq_core::{QueueError, Settings};

use crate::{Error, Manager, PGMQueue, Pool};

/// Sets up a queue with a pool of its own. Made by [`PGMQueue::builder`].
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Builder {
    settings: Settings,
}

impl Builder {
    pub(crate) fn new(settings: Settings) -> Self {
        Self { settings }
    }

    pgmq_core::settings_methods!();

    /// Connects, and makes sure that PGMQ is there unless told not to.
    ///
    /// # Errors
    ///
    /// At once when the server refuses, with the server's reason, and within the time-outs when it does not answer.
    pub async fn connect(self) -> Result<PGMQueue, Error> {
        let settings = self.settings;
        let manager = Manager::of(&settings)?;
        let tls = manager.tls().clone();
        let refusals = Refusals::default();
        let pool = pool_of(&settings, manager.clone(), refusals.clone());
        // The pool would try again and again, and then not say why; so the first connection is made here.
        let client = bb8::ManageConnection::connect(&manager).await?;
        // A pool that was just made has room.
        let _ = pool.add(client);
        let init = settings.init;
        let queue = PGMQueue::own(pool, settings, refusals, tls);
        if init {
            queue.init().await?;
        }
        Ok(queue)
    }
}

fn pool_of(settings: &Settings, manager: Manager, refusals: Refusals<Error>) -> Pool {
    bb8::Pool::builder()
        .max_size(settings.pool_size)
        .connection_timeout(settings.acquire_timeout)
        .idle_timeout(settings.idle_timeout)
        .max_lifetime(settings.max_lifetime)
        .test_on_check_out(false)
        .error_sink(Box::new(Sink(refusals)))
        .build_unchecked(manager)
}

/// Keeps what the pool would only log.
#[derive(Debug)]
struct Sink(Refusals<Error>);

impl bb8::ErrorSink<Error> for Sink {
    fn sink(&self, error: Error) {
        self.0.note(error.kind(), error);
    }

    fn boxed_clone(&self) -> Box<dyn bb8::ErrorSink<Error>> {
        Box::new(Self(self.0.clone()))
    }
}
