//! The limit for connecting.

use std::pin::pin;
use std::time::Duration;

use futures_timer::Delay;
use futures_util::future::{Either, select};
use pgmq_core::ErrorKind;

use crate::error::Error;

/// Limits the time that connecting takes. The driver has no timeout for it.
pub(crate) async fn timeout<T>(limit: Duration, work: impl Future<Output = T>) -> Result<T, Error> {
    match select(pin!(work), Delay::new(limit)).await {
        Either::Left((done, _)) => Ok(done),
        Either::Right(_) => Err(unanswered(limit)),
    }
}

/// The error for a server that does not complete a connection within the limit.
pub(crate) fn unanswered(limit: Duration) -> Error {
    let text = format!("the server did not complete the connection within {limit:?}");
    Error::Client(pgmq_core::Error::new(ErrorKind::Connection, text))
}
