//! Connecting with a limit.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use pgmq_core::ErrorKind;
use pgmq_driver_tokio_postgres::Tls;
use postgres::{Client, Config};

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

/// An attempt to connect, on a dedicated thread. The driver's timeouts cover only the TCP connection, and a
/// server may accept that and then stay silent, so the caller waits for the thread with a limit.
pub(crate) struct Connecting {
    client: Receiver<Result<Client, Error>>,
    started: Instant,
    limit: Duration,
}

impl Connecting {
    /// Starts to connect, and then to run `greeting` on the connection if it is not empty.
    pub(crate) fn begin(
        connect_limit: &ConnectLimit,
        limit: Duration,
        config: &Config,
        tls: &Tls,
        greeting: String,
    ) -> Result<Self, Error> {
        let permit = connect_limit.acquire()?;
        let (sender, client) = sync_channel(1);
        let (config, tls) = (config.clone(), tls.clone());
        let connect = move || {
            let mut client = config.connect(tls)?;
            if !greeting.is_empty() {
                client.batch_execute(&greeting)?;
            }
            Ok(client)
        };
        // Sending fails if the caller's limit is over and the receiver is gone.
        let run = move || {
            drop(sender.send(connect()));
            drop(permit);
        };
        thread::Builder::new()
            .name("pgmq-connect".to_owned())
            .spawn(run)
            .map_err(|error| failed("no thread could be started to connect").because(error))?;
        Ok(Self { client, started: Instant::now(), limit })
    }

    /// Waits for up to `wait`, and not beyond the limit. Returns `None` if the attempt goes on and is within
    /// its limit.
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

    /// Waits for the connection, up to the limit.
    pub(crate) fn finish(self) -> Result<Client, Error> {
        self.wait(self.limit)
            .unwrap_or_else(|| Err(failed("the server did not complete the connection in time").into()))
    }
}

fn failed(text: impl Into<String>) -> pgmq_core::Error {
    pgmq_core::Error::new(ErrorKind::Connection, text)
}
