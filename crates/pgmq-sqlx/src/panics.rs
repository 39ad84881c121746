//! Panics of the driver.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Poll;

use futures_util::FutureExt;

/// Runs a future of the driver, and turns its panic into an error.
///
/// The driver panics on some malformed messages. A panic would end the task that waits for the server, and a
/// worker whose task ends is missed late. After a panic, the connection has to be discarded.
pub(crate) async fn catch<T>(work: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|panic| Err(panicked(&*panic)))
}

/// Polls a stream of the driver, and turns its panic into an error.
pub(crate) fn catch_poll<T>(
    poll: impl FnOnce() -> Poll<Option<sqlx::Result<T>>>,
) -> Poll<Option<sqlx::Result<T>>> {
    catch_unwind(AssertUnwindSafe(poll)).unwrap_or_else(|panic| Poll::Ready(Some(Err(panicked(&*panic)))))
}

fn panicked(panic: &(dyn Any + Send)) -> sqlx::Error {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text");
    sqlx::Error::Protocol(format!("the driver panicked, probably on a malformed message: {text}"))
}
