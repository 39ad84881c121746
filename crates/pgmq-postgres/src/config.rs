//! Connecting.

use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use pgmq_core::driver::tokio_postgres::{Refusals, Tls, config, connect_limit, kind_of};
use pgmq_core::{ErrorKind, Settings};
use postgres::{Client, Config};
use r2d2_postgres::PostgresConnectionManager;

use crate::{Error, PGMQueue, Pool};

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
    pub fn connect(self) -> Result<PGMQueue, Error> {
        let settings = self.settings;
        let (driver_config, tls) = config(&settings)?;
        let config = Config::from(driver_config.clone());
        // The pool would try again and again, and then not say why; so the first connection is made here.
        drop(Connecting::begin(connect_limit(&driver_config), &config, &tls, String::new())?.finish()?);
        let refusals = Refusals::default();
        let pool = pool_of(&settings, PostgresConnectionManager::new(config, tls), refusals.clone());
        let init = settings.init;
        let queue = PGMQueue::own(pool, settings, refusals);
        if init {
            queue.init()?;
        }
        Ok(queue)
    }
}

fn pool_of(settings: &Settings, manager: PostgresConnectionManager<Tls>, refusals: Refusals) -> Pool {
    r2d2::Pool::builder()
        .max_size(settings.pool_size)
        .min_idle(Some(0))
        .connection_timeout(settings.acquire_timeout)
        .idle_timeout(settings.idle_timeout)
        .max_lifetime(settings.max_lifetime)
        .test_on_check_out(false)
        .error_handler(Box::new(Sink(refusals)))
        .build_unchecked(manager)
}

/// Keeps what the pool would only log.
#[derive(Debug)]
struct Sink(Refusals);

impl r2d2::HandleError<postgres::Error> for Sink {
    fn handle_error(&self, error: postgres::Error) {
        self.0.note(kind_of(&error), error);
    }
}

/// A connection in the making, by a thread of its own. The time-outs of the driver end with the TCP connection; a server may
/// take that and then say nothing, so the wait is for a thread that waits for it.
pub(crate) struct Connecting {
    client: Receiver<Result<Client, Error>>,
    started: Instant,
    limit: Duration,
}

impl Connecting {
    /// Begins to connect, and to run `greeting` on the connection if it is not empty.
    pub(crate) fn begin(
        limit: Duration,
        config: &Config,
        tls: &Tls,
        greeting: String,
    ) -> Result<Self, Error> {
        let (sender, client) = sync_channel(1);
        let (config, tls) = (config.clone(), tls.clone());
        let connect = move || {
            let mut client = config.connect(tls)?;
            if !greeting.is_empty() {
                client.batch_execute(&greeting)?;
            }
            Ok(client)
        };
        // Nobody takes it any more when the limit is over.
        let run = move || drop(sender.send(connect()));
        thread::Builder::new()
            .name("pgmq-connect".to_owned())
            .spawn(run)
            .map_err(|error| failed("no thread could be started to connect").because(error))?;
        Ok(Self { client, started: Instant::now(), limit })
    }

    /// Waits this long, or up to the limit; `None` if it needs longer and has time left.
    pub(crate) fn wait(&self, wait: Duration) -> Option<Result<Client, Error>> {
        let left = self.limit.saturating_sub(self.started.elapsed());
        match self.client.recv_timeout(wait.min(left)) {
            Ok(connected) => Some(connected),
            Err(RecvTimeoutError::Timeout) if left > wait => None,
            Err(RecvTimeoutError::Timeout) => {
                let text = format!("the server did not complete the connection within {:?}", self.limit);
                Some(Err(failed(text).into()))
            }
            Err(RecvTimeoutError::Disconnected) => {
                Some(Err(failed("the thread that connected has panicked").into()))
            }
        }
    }

    /// Waits up to the limit.
    pub(crate) fn finish(self) -> Result<Client, Error> {
        self.wait(self.limit)
            .unwrap_or_else(|| Err(failed("the server did not complete the connection in time").into()))
    }
}

fn failed(text: impl Into<String>) -> pgmq_core::Error {
    pgmq_core::Error::new(ErrorKind::Connection, text)
}
