//! Connecting to a server, for the pool and for listeners.

use std::time::Duration;

use diesel_async::AsyncPgConnection;
use pgmq_driver_tokio_postgres::{Tls, connect_limit, resolved_limit};
use tokio_postgres::Config;

use crate::error::Error;
use crate::timeout::timeout;

/// The server that connections are made to, and the encryption.
#[derive(Clone)]
pub(crate) struct Endpoint {
    config: Config,
    tls: Tls,
    /// The limit for connecting as a whole.
    pub(crate) limit: Duration,
}

impl Endpoint {
    pub(crate) fn new(config: Config, tls: Tls) -> Self {
        let limit = connect_limit(&config);
        Self { config, tls, limit }
    }

    /// The limit for an answer on a connection that is there.
    pub(crate) fn answer_limit(&self) -> Duration {
        self.config.get_connect_timeout().copied().unwrap_or(self.limit)
    }

    pub(crate) async fn connect(&self) -> Result<AsyncPgConnection, Error> {
        let connecting = async {
            let (client, connection) = self.config.connect(self.tls.clone()).await?;
            Ok(AsyncPgConnection::try_from_client_and_connection(client, connection).await?)
        };
        timeout(self.limit.max(resolved_limit(&self.config).await), connecting).await?
    }
}
