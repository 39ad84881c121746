//! Connecting, and checking a connection, with a limit.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use pgmq_core::ErrorKind;
use pgmq_core::backend::OpenConnection;
use pgmq_driver_tokio_postgres::{Tls, resolved_limit_blocking};
use postgres::Config;

use crate::client::OwnedClient;
use crate::error::Error;

/// Limits the number of attempts to connect that run at the same time. An attempt waits for as long as the
/// server accepts the connection and stays silent. Clones share the limit.
#[derive(Clone, Default)]
pub(crate) struct ConnectLimit(Arc<AtomicUsize>);

impl ConnectLimit {
    const MOST: usize = 8;

    fn acquire(&self) -> Result<ConnectPermit, Error> {
        let permit = ConnectPermit(Arc::clone(&self.0));
        if self.0.fetch_add(1, Ordering::Relaxed) < Self::MOST {
            return Ok(permit);
        }
        let text =
            format!("{} attempts to connect still wait for the server to answer; retry later", Self::MOST);
        Err(failed(text).into())
    }
}

/// The permit for an attempt to connect, until it is dropped.
struct ConnectPermit(Arc<AtomicUsize>);

impl Drop for ConnectPermit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The configuration of connections. Clones share the limit for the number of attempts.
#[derive(Clone)]
pub(crate) struct Connector {
    config: Config,
    tls: Tls,
    /// The limit in time for an attempt to connect as a whole.
    limit: Duration,
    connect_limit: ConnectLimit,
}

impl Connector {
    pub(crate) fn new(config: Config, tls: Tls, limit: Duration) -> Self {
        Self { config, tls, limit, connect_limit: ConnectLimit::default() }
    }

    /// The limit in time for the answer to a check of a connection: the connect timeout.
    pub(crate) fn answer_limit(&self) -> Duration {
        self.config.get_connect_timeout().copied().unwrap_or(self.limit)
    }

    /// Starts to connect, and then to run `greeting` on the connection if it is not empty.
    pub(crate) fn begin(&self, greeting: String, entry: Option<OpenConnection>) -> Result<Attempt, Error> {
        let permit = self.connect_limit.acquire()?;
        let (config, tls, limit) = (self.config.clone(), self.tls.clone(), self.limit);
        Attempt::begin("pgmq-connect", self.limit, move |resolved| {
            let _permit = permit;
            let per_address = config.get_connect_timeout().copied().unwrap_or_default();
            let (hosts, addresses) = (config.get_hosts(), config.get_hostaddrs());
            resolved.get_or_init(|| resolved_limit_blocking(hosts, addresses, per_address, limit));
            let mut client = OwnedClient::new(config.connect(tls)?, entry);
            if !greeting.is_empty() {
                client.batch_execute(&greeting)?;
            }
            Ok(client)
        })
    }
}

/// An attempt to connect or to check a connection, on a dedicated thread. The driver's timeouts cover only
/// the TCP connection, and a server may accept that and then stay silent, so the caller waits for the thread
/// with a limit.
pub(crate) struct Attempt {
    client: Receiver<Result<OwnedClient, Error>>,
    started: Instant,
    /// The limit until the names of the hosts are resolved.
    limit: Duration,
    /// The limit with the time for each address of the hosts, once their names are resolved.
    resolved: Arc<OnceLock<Duration>>,
}

impl Attempt {
    /// Starts to check that the server answers on a connection.
    pub(crate) fn check(mut client: OwnedClient, limit: Duration) -> Result<Self, Error> {
        Self::begin("pgmq-check", limit, move |_| {
            client.check(limit)?;
            Ok(client)
        })
    }

    fn begin(
        name: &str,
        limit: Duration,
        work: impl FnOnce(&OnceLock<Duration>) -> Result<OwnedClient, Error> + Send + 'static,
    ) -> Result<Self, Error> {
        let (sender, client) = sync_channel(1);
        let resolved = Arc::new(OnceLock::new());
        let resolving = Arc::clone(&resolved);
        // Sending fails if the caller's limit is over and the receiver is gone.
        let run = move || drop(sender.send(work(&resolving)));
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(run)
            .map_err(|error| failed("no thread could be started to connect").because(error))?;
        Ok(Self { client, started: Instant::now(), limit, resolved })
    }

    /// Waits for up to `wait`, and not beyond the limit. Returns `None` if the attempt goes on and is within
    /// its limit.
    pub(crate) fn wait(&self, wait: Duration) -> Option<Result<OwnedClient, Error>> {
        let waiting = Instant::now();
        loop {
            let wait = wait.saturating_sub(waiting.elapsed());
            match self.client.recv_timeout(wait.min(self.left())) {
                Ok(connected) => return Some(connected),
                Err(RecvTimeoutError::Timeout) if self.left().is_zero() => {
                    let text =
                        format!("the server did not complete the connection within {:?}", self.limit());
                    return Some(Err(failed(text).into()));
                }
                Err(RecvTimeoutError::Timeout) if wait.is_zero() => return None,
                // The limit has grown while the names were resolved.
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Some(Err(failed("the thread that connected has panicked").into()));
                }
            }
        }
    }

    /// Waits for the connection, up to the limit.
    pub(crate) fn finish(self) -> Result<OwnedClient, Error> {
        self.wait(Duration::MAX)
            .unwrap_or_else(|| Err(failed("the server did not complete the connection in time").into()))
    }

    fn limit(&self) -> Duration {
        self.resolved.get().copied().unwrap_or(self.limit)
    }

    fn left(&self) -> Duration {
        self.limit().saturating_sub(self.started.elapsed())
    }
}

fn failed(text: impl Into<String>) -> pgmq_core::Error {
    pgmq_core::Error::new(ErrorKind::Connection, text)
}
