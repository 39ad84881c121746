//! A limit for the time of a call.

use std::pin::pin;
use std::time::{Duration, Instant};

use futures_timer::Delay;
use futures_util::future::{Either, select};

/// A time that is as good as none, and that every clock can hold.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// The result of a call; `None` if it takes longer than the limit, and is dropped.
pub(crate) async fn within<T>(limit: Duration, call: impl Future<Output = T>) -> Option<T> {
    match select(pin!(call), Delay::new(limit.min(FOREVER))).await {
        Either::Left((result, _)) => Some(result),
        Either::Right(_) => None,
    }
}

/// Waits until a point in time.
pub(crate) async fn until(at: Instant) {
    Delay::new(at.saturating_duration_since(Instant::now()).min(FOREVER)).await;
}
