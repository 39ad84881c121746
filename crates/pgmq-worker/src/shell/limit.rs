//! A limit for the time of a call.

use std::pin::pin;
use std::time::{Duration, Instant};

use futures_timer::Delay;
use futures_util::future::{Either, select};

/// The result of a call; `None` if it takes longer than the limit, and is dropped.
pub(crate) async fn within<T>(limit: Duration, call: impl Future<Output = T>) -> Option<T> {
    match select(pin!(call), Delay::new(limit)).await {
        Either::Left((result, _)) => Some(result),
        Either::Right(_) => None,
    }
}

/// Waits until a point in time.
pub(crate) async fn until(at: Instant) {
    Delay::new(at.saturating_duration_since(Instant::now())).await;
}
