//! Limits for the time of calls and waits.

use std::pin::pin;
use std::time::{Duration, Instant};

use futures_timer::Delay;
use futures_util::future::{Either, select};

use crate::shell::clock::Clock;

/// A time that is as good as none, and that every clock can hold.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// The result of a call; `None` if it takes longer than the limit, and is dropped.
pub(crate) async fn within<T>(clock: &Clock, limit: Duration, call: impl Future<Output = T>) -> Option<T> {
    Timer::new(clock).within(limit, call).await
}

/// A timer for one wait after the other.
///
/// To set a timer wakes the thread of all timers, which costs more than the rest of a quick call. This one is
/// set to an earlier time only: if a wait is to end later than the time to which it is set, it is set again
/// when that has come, and most waits are over before.
pub(crate) struct Timer {
    clock: Clock,
    set: Option<Set>,
}

/// A timer that is set.
struct Set {
    delay: Delay,
    fires: Instant,
}

impl Timer {
    pub(crate) fn new(clock: &Clock) -> Self {
        Self { clock: clock.clone(), set: None }
    }

    /// Waits until a point in time.
    pub(crate) async fn until(&mut self, at: Instant) {
        if let Clock::Turned(clock) = &self.clock {
            return clock.until(at).await;
        }
        loop {
            let left = at.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            if self.set.as_ref().is_none_or(|set| set.fires > at) {
                self.set = Some(Set { delay: Delay::new(left), fires: at });
            }
            if let Some(set) = &mut self.set {
                (&mut set.delay).await;
                self.set = None;
            }
        }
    }

    /// The result of a call; `None` if it takes longer than the limit, and is dropped.
    pub(crate) async fn within<T>(&mut self, limit: Duration, call: impl Future<Output = T>) -> Option<T> {
        let now = self.clock.now();
        let deadline = now.checked_add(limit.min(FOREVER)).unwrap_or(now);
        match select(pin!(call), pin!(self.until(deadline))).await {
            Either::Left((result, _)) => Some(result),
            Either::Right(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test]
    async fn a_call_ends_with_its_result_or_at_its_limit() {
        let mut timer = Timer::new(&Clock::System);
        assert_eq!(timer.within(Duration::MAX, ready(5)).await, Some(5));
        let begun = Instant::now();
        let limit = Duration::from_millis(20);
        assert_eq!(timer.within(limit, pending::<()>()).await, None);
        assert!(begun.elapsed() >= limit);
    }

    #[tokio::test]
    async fn a_timer_that_is_set_to_an_earlier_time_serves_a_later_one() {
        let mut timer = Timer::new(&Clock::System);
        let begun = Instant::now();
        let (early, late) = (begun + Duration::from_millis(10), begun + Duration::from_millis(30));
        assert!(matches!(select(pin!(timer.until(early)), ready(())).await, Either::Right(_)));
        timer.until(late).await;
        assert!(Instant::now() >= late);
        timer.until(early).await;
    }
}
