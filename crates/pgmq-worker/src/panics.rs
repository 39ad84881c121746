//! Panics of handlers, as failures.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};

use futures_util::FutureExt;

use crate::failure::{Failure, Reason, panic_text};

/// Awaits a future, and returns a panic in it as a failure.
///
/// The future is dropped after a panic. State that it shared with others may be left as it was then, as it
/// may after any error; a poisoned lock is how `std` reports that.
pub(crate) async fn caught<T>(future: impl Future<Output = T>) -> Result<T, Failure> {
    AssertUnwindSafe(future).catch_unwind().await.map_err(failure)
}

/// Calls a function, and returns a panic in it as a failure. The twin of [`caught`].
pub(crate) fn caught_in<T>(call: impl FnOnce() -> T) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(call)).map_err(failure)
}

fn failure(payload: Box<dyn Any + Send>) -> Failure {
    Failure::from(format!("the handler panicked: {}", panic_text(&*payload))).because(Reason::Panic)
}
