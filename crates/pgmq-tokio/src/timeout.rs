//! The limit for connecting.

use std::time::Duration;

use pgmq_core::ErrorKind;

use crate::error::Error;

/// Limits the time that connecting takes. The driver's timeouts cover only the TCP connection, and a server
/// may accept that and then stay silent.
pub(crate) async fn timeout<T>(limit: Duration, work: impl Future<Output = T>) -> Result<T, Error> {
    tokio::time::timeout(limit, work).await.map_err(|_| {
        let text = format!("the server did not complete the connection within {limit:?}");
        Error::Client(pgmq_core::Error::new(ErrorKind::Connection, text))
    })
}
