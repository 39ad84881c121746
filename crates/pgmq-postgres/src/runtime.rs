//! Tokio's runtimes, inside which the driver cannot run its own.

use std::panic::{AssertUnwindSafe, catch_unwind};

use pgmq_core::ErrorKind;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// Returns `true` if this thread belongs to a runtime: in async code, and in `spawn_blocking`.
pub(crate) fn is_in_runtime() -> bool {
    Handle::try_current().is_ok()
}

/// Fails in async code, where the driver would panic.
///
/// # Errors
///
/// [`ErrorKind::InvalidArgument`], in async code.
pub(crate) fn check_may_block() -> Result<(), pgmq_core::Error> {
    if is_in_runtime() { check_may_block_in_runtime() } else { Ok(()) }
}

#[cold]
fn check_may_block_in_runtime() -> Result<(), pgmq_core::Error> {
    // Blocking is allowed in `spawn_blocking` and `block_in_place`. Tokio has no function that tells them
    // from async code, but blocks only where it is allowed, and panics elsewhere.
    let (sender, ready) = oneshot::channel();
    let _ = sender.send(());
    catch_unwind(AssertUnwindSafe(|| drop(ready.blocking_recv()))).map_err(|_| {
        let text = "a blocking operation was called in async code; call it in tokio::task::spawn_blocking, or use pgmq-tokio";
        pgmq_core::Error::new(ErrorKind::InvalidArgument, text)
    })
}
