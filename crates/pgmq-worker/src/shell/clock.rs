//! The clock of a worker: that of the system, or one that a test turns.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};

use crate::retry::Dice;
use crate::shell::threads::Threads;

/// The clock of a worker.
#[derive(Clone, Default)]
pub(crate) enum Clock {
    /// The clock of the system.
    #[default]
    System,
    /// A clock that a test turns. With it, nothing is left to chance either.
    Turned(Arc<Turned>),
}

impl Clock {
    pub(crate) fn now(&self) -> Instant {
        match self {
            Self::System => Instant::now(),
            Self::Turned(clock) => clock.now(),
        }
    }

    /// The time of day, for the headers of dead letters.
    pub(crate) fn utc(&self) -> DateTime<Utc> {
        match self {
            Self::System => Utc::now(),
            Self::Turned(clock) => clock.utc(),
        }
    }

    /// A seed for random numbers.
    pub(crate) fn seed(&self) -> u64 {
        match self {
            Self::System => fastrand::u64(..),
            Self::Turned(_) => 0,
        }
    }

    /// The dice for the times of retries.
    pub(crate) fn dice(&self) -> Dice {
        match self {
            Self::System => Dice::new(self.seed()),
            Self::Turned(_) => Dice::even(),
        }
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::System => "System",
            Self::Turned(_) => "Turned",
        })
    }
}

/// A clock that stands still until it is turned.
///
/// It shows whole microseconds, as a server does, so that times that were sent there and back are the same.
pub(crate) struct Turned {
    /// The time at which the clock was made, on both scales.
    begun: (Instant, DateTime<Utc>),
    hands: Mutex<Hands>,
    threads: Arc<Threads>,
}

#[derive(Default)]
struct Hands {
    passed: Duration,
    /// The tasks that wait, by the time for which they do.
    sleepers: BTreeMap<(Duration, u64), Waker>,
    last: u64,
}

impl Turned {
    /// Creates a clock, which begins at the time of the system.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            begun: (Instant::now(), Utc::now().trunc_subsecs(6)),
            hands: Mutex::default(),
            threads: Arc::default(),
        })
    }

    pub(crate) fn now(&self) -> Instant {
        let passed = self.passed();
        self.begun.0.checked_add(passed).unwrap_or(self.begun.0)
    }

    pub(crate) fn utc(&self) -> DateTime<Utc> {
        let passed = TimeDelta::from_std(self.passed()).unwrap_or(TimeDelta::MAX);
        self.begun.1.checked_add_signed(passed).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    /// The threads that live by this clock.
    pub(crate) fn threads(&self) -> &Arc<Threads> {
        &self.threads
    }

    /// The time that has passed since the clock was made.
    pub(crate) fn passed(&self) -> Duration {
        self.lock().passed
    }

    /// The time at which the next task is to be woken.
    pub(crate) fn next(&self) -> Option<Duration> {
        self.lock().sleepers.keys().next().map(|(at, _)| *at)
    }

    /// Turns the clock, which never goes back, and wakes the tasks whose time has come.
    pub(crate) fn turn(&self, to: Duration) {
        let mut hands = self.lock();
        hands.passed = hands.passed.max(whole_micros(to));
        let now = hands.passed;
        let later = hands.sleepers.split_off(&(now, u64::MAX));
        let woken = std::mem::replace(&mut hands.sleepers, later);
        drop(hands);
        woken.into_values().for_each(Waker::wake);
    }

    /// Waits until the clock shows this time.
    pub(crate) fn until(self: &Arc<Self>, at: Instant) -> Sleep {
        self.sleep_until(at.saturating_duration_since(self.begun.0))
    }

    /// Waits until this time has passed since the clock was made.
    pub(crate) fn sleep_until(self: &Arc<Self>, at: Duration) -> Sleep {
        Sleep { clock: Arc::clone(self), at: whole_micros(at), key: None }
    }

    fn lock(&self) -> MutexGuard<'_, Hands> {
        self.hands.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The time, rounded up to whole microseconds.
fn whole_micros(time: Duration) -> Duration {
    let rest = time.subsec_nanos() % 1000;
    match rest {
        0 => time,
        rest => time.saturating_add(Duration::from_nanos(u64::from(1000 - rest))),
    }
}

/// A wait for a time of a clock that is turned.
#[must_use = "futures do nothing unless they are polled"]
pub(crate) struct Sleep {
    clock: Arc<Turned>,
    at: Duration,
    key: Option<u64>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let clock = Arc::clone(&self.clock);
        let mut hands = clock.lock();
        if hands.passed >= self.at {
            return Poll::Ready(());
        }
        let key = *self.key.get_or_insert_with(|| {
            hands.last += 1;
            hands.last
        });
        hands.sleepers.insert((self.at, key), context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.clock.lock().sleepers.remove(&(self.at, key));
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn a_clock_wakes_what_waits_in_the_order_of_time() {
        let clock = Turned::new();
        let begun = clock.now();
        let seconds = Duration::from_secs;
        let mut late = clock.until(begun + seconds(20));
        let mut early = clock.until(begun + seconds(10));
        assert!((&mut late).now_or_never().is_none() && (&mut early).now_or_never().is_none());
        assert_eq!(clock.next(), Some(seconds(10)));
        clock.turn(seconds(10));
        assert_eq!((clock.now(), clock.next()), (begun + seconds(10), Some(seconds(20))));
        assert!((&mut late).now_or_never().is_none() && early.now_or_never().is_some());
        drop(late);
        assert_eq!(clock.next(), None, "a dropped wait is not waited for");
        clock.turn(seconds(5));
        assert_eq!(clock.passed(), seconds(10), "the clock does not go back");
    }

    #[test]
    fn a_clock_shows_whole_microseconds() {
        let clock = Turned::new();
        assert_eq!(clock.utc(), clock.utc().trunc_subsecs(6));
        let mut sleep = clock.until(clock.now() + Duration::from_nanos(1));
        assert!((&mut sleep).now_or_never().is_none());
        assert_eq!(clock.next(), Some(Duration::from_micros(1)));
        clock.turn(Duration::from_nanos(1001));
        assert_eq!(clock.passed(), Duration::from_micros(2));
    }
}
