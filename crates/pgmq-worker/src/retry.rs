//! The times of retries.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::failure::{Class, Classify, Failure};

/// Decides what becomes of a message that its handler has failed on, if the failure does not say so itself.
///
/// It is a pure function of the failure and the dice. [`Retry`] is the usual one.
///
/// ```
/// use std::time::Duration;
///
/// use pgmq_worker::{Dice, Failed, RetryPolicy, Decision};
///
/// /// Tries again at once, twice.
/// struct Twice;
///
/// impl RetryPolicy for Twice {
///     fn decide(&self, failed: &Failed<'_>, _: &mut Dice) -> Decision {
///         if failed.attempt > 2 { Decision::DeadLetter } else { Decision::After(Duration::ZERO) }
///     }
/// }
/// # let _ = Twice;
/// ```
pub trait RetryPolicy: Send + Sync {
    /// Decides on a failure.
    fn decide(&self, failed: &Failed<'_>, dice: &mut Dice) -> Decision;
}

/// A message that its handler has failed on.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Failed<'a> {
    /// The number of times that the message has been read, this one included.
    pub reads: i32,
    /// The number of the attempt, counted from 1.
    pub attempt: u32,
    /// The failure.
    pub why: &'a Failure,
}

impl<'a> Failed<'a> {
    /// Creates the facts about a failure.
    pub fn new(reads: i32, attempt: u32, why: &'a Failure) -> Self {
        Self { reads, attempt, why }
    }
}

/// The decision of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decision {
    /// Try again after this time.
    After(Duration),
    /// Move the message to the dead-letter queue.
    DeadLetter,
}

/// The source of random numbers for policies. Its seed decides on all of them.
#[derive(Debug, Clone)]
pub struct Dice(Option<fastrand::Rng>);

impl Dice {
    /// Creates dice with a seed.
    pub fn new(seed: u64) -> Self {
        Self(Some(fastrand::Rng::with_seed(seed)))
    }

    /// Creates dice that always roll one half, for tests: no time has a random part.
    pub(crate) fn even() -> Self {
        Self(None)
    }

    /// A number from 0 to 1, without 1 itself.
    pub fn roll(&mut self) -> f64 {
        self.0.as_mut().map_or(0.5, fastrand::Rng::f64)
    }
}

/// The usual policy: times that grow, with a limit and a random part.
///
/// The default is `exponential(5 s)` with the factor 2, up to 15 minutes, with a jitter of 20 percent.
///
/// | attempt | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 |
/// |---|---|---|---|---|---|---|---|---|---|
/// | seconds until the next | 5 | 10 | 20 | 40 | 80 | 160 | 320 | 640 | 900 |
///
/// With the default of 10 reads, a message is moved to the dead-letter queue 36 minutes after its first
/// failure.
///
/// ```
/// use std::time::Duration;
///
/// use pgmq_worker::Retry;
///
/// let seconds: Vec<_> = Retry::default().times().take(9).map(|time| time.as_secs()).collect();
/// assert_eq!(seconds, [5, 10, 20, 40, 80, 160, 320, 640, 900]);
/// assert_eq!(seconds.iter().sum::<u64>() / 60, 36);
///
/// let quick = Retry::exponential(Duration::from_secs(1)).factor(3.0).up_to(Duration::from_secs(20));
/// let seconds: Vec<_> = quick.times().take(5).map(|time| time.as_secs()).collect();
/// assert_eq!(seconds, [1, 3, 9, 20, 20]);
///
/// let steady = Retry::fixed(Duration::from_secs(30));
/// assert!(steady.times().take(100).all(|time| time == Duration::from_secs(30)));
///
/// assert_eq!(Retry::none().times().next(), None);
/// ```
#[derive(Clone)]
#[must_use]
pub struct Retry {
    /// The time after the first failure; `None` if there are no retries.
    first: Option<Duration>,
    factor: f64,
    limit: Duration,
    jitter: f64,
    classifiers: Vec<Classifier>,
}

type Classifier = Arc<dyn Fn(&(dyn Error + 'static)) -> Option<Class> + Send + Sync>;

impl Default for Retry {
    fn default() -> Self {
        Self::exponential(Duration::from_secs(5)).up_to(Duration::from_secs(15 * 60)).jitter(0.2)
    }
}

impl Retry {
    /// Creates a policy whose times grow: this time after the first failure, twice that after the second, and
    /// so on, without a limit and without jitter.
    pub fn exponential(first: Duration) -> Self {
        Self { first: Some(first), factor: 2.0, limit: Duration::MAX, jitter: 0.0, classifiers: Vec::new() }
    }

    /// Creates a policy with the same time after every failure.
    pub fn fixed(time: Duration) -> Self {
        Self::exponential(time).factor(1.0)
    }

    /// Creates a policy without retries: every failure is a dead letter, unless it says otherwise itself.
    pub fn none() -> Self {
        Self { first: None, ..Self::exponential(Duration::ZERO) }
    }

    /// Sets the factor by which the times grow; the default is 2. A factor below 1, or one that is not a
    /// number, counts as 1.
    pub fn factor(mut self, factor: f64) -> Self {
        self.factor = factor.max(1.0);
        self
    }

    /// Sets the longest time, before the jitter.
    pub fn up_to(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Sets the random part of the times, from 0 to 1: with 0.2, a time is between 80 and 120 percent of what
    /// it would be, so that messages that failed together do not come back together. Other numbers count as
    /// the nearest one.
    pub fn jitter(mut self, part: f64) -> Self {
        self.jitter = if part.is_nan() { 0.0 } else { part.clamp(0.0, 1.0) };
        self
    }

    /// Asks errors of this type what they mean for the message, also where they are the source of another
    /// error. A failure that says so itself is not asked.
    ///
    /// `anyhow` hides the type of the outermost error: give it a context, or return a
    /// [`Failure`].
    pub fn classify<E: Classify>(self) -> Self {
        self.classify_by(|error| error.downcast_ref::<E>().map(E::classify))
    }

    /// Asks a function what an error means for the message. The function gets the error and its sources, from
    /// the outside to the inside, until it returns a class.
    pub fn classify_by(
        mut self,
        class: impl Fn(&(dyn Error + 'static)) -> Option<Class> + Send + Sync + 'static,
    ) -> Self {
        self.classifiers.push(Arc::new(class));
        self
    }

    /// The times after the first failure, the second, and so on, without jitter.
    pub fn times(&self) -> impl Iterator<Item = Duration> {
        (1..).map_while(|attempt| self.time(attempt))
    }

    /// The time after the failure of an attempt, without jitter.
    fn time(&self, attempt: u32) -> Option<Duration> {
        let growth = self.factor.powf(f64::from(attempt.saturating_sub(1)));
        Some(times(self.first?, growth).min(self.limit))
    }

    fn class(&self, failure: &Failure) -> Class {
        let of = |error| self.classifiers.iter().find_map(|class| class(error));
        failure.class().or_else(|| failure.chain().find_map(of)).unwrap_or(Class::Transient)
    }
}

/// A duration times a factor; the longest duration if it does not fit.
fn times(duration: Duration, factor: f64) -> Duration {
    // Zero times infinity is not a number.
    if duration.is_zero() {
        return duration;
    }
    Duration::try_from_secs_f64(duration.as_secs_f64() * factor).unwrap_or(Duration::MAX)
}

impl RetryPolicy for Retry {
    fn decide(&self, failed: &Failed<'_>, dice: &mut Dice) -> Decision {
        match self.class(failed.why) {
            Class::Permanent => Decision::DeadLetter,
            Class::After(time) => Decision::After(time),
            Class::Transient => match self.time(failed.attempt) {
                None => Decision::DeadLetter,
                Some(time) => {
                    let part = 1.0 + self.jitter * (2.0 * dice.roll() - 1.0);
                    Decision::After(times(time, part))
                }
            },
        }
    }
}

impl fmt::Debug for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry")
            .field("first", &self.first)
            .field("factor", &self.factor)
            .field("up_to", &self.limit)
            .field("jitter", &self.jitter)
            .field("classifiers", &self.classifiers.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn decide(retry: &Retry, attempt: u32, why: impl Into<Failure>) -> Decision {
        retry.decide(&Failed::new(1, attempt, &why.into()), &mut Dice::new(7))
    }

    impl Classify for io::Error {
        fn classify(&self) -> Class {
            match self.kind() {
                io::ErrorKind::NotFound => Class::Permanent,
                io::ErrorKind::WouldBlock => Class::After(seconds(77)),
                _ => Class::Transient,
            }
        }
    }

    #[test]
    fn times_grow_to_the_limit_and_never_overflow() {
        let retry = Retry::exponential(seconds(1)).up_to(seconds(100));
        assert_eq!(decide(&retry, 1, "no"), Decision::After(seconds(1)));
        assert_eq!(decide(&retry, 5, "no"), Decision::After(seconds(16)));
        assert_eq!(decide(&retry, u32::MAX, "no"), Decision::After(seconds(100)));
        let endless = Retry::exponential(seconds(1));
        assert_eq!(decide(&endless, u32::MAX, "no"), Decision::After(Duration::MAX));
        assert_eq!(decide(&Retry::fixed(Duration::ZERO), 9, "no"), Decision::After(Duration::ZERO));
    }

    #[test]
    fn the_jitter_stays_within_its_part_and_follows_the_seed() {
        let retry = Retry::fixed(seconds(100)).jitter(0.2);
        let mut times = Vec::new();
        for seed in 0..200 {
            let failure = Failure::from("no");
            let decide = || retry.decide(&Failed::new(1, 1, &failure), &mut Dice::new(seed));
            assert_eq!(decide(), decide(), "the same seed gives the same time");
            let Decision::After(time) = decide() else { panic!("there is a retry") };
            times.push(time.as_secs_f64());
        }
        assert!(times.iter().all(|time| (80.0..=120.0).contains(time)), "{times:?}");
        let (low, high) = (times.iter().any(|&time| time < 90.0), times.iter().any(|&time| time > 110.0));
        assert!(low && high, "the times spread over the whole part: {times:?}");
    }

    #[test]
    fn numbers_out_of_range_count_as_the_nearest() {
        assert_eq!(decide(&Retry::fixed(seconds(3)).factor(f64::NAN), 9, "no"), Decision::After(seconds(3)));
        assert_eq!(decide(&Retry::fixed(seconds(3)).factor(0.1), 9, "no"), Decision::After(seconds(3)));
        assert_eq!(decide(&Retry::fixed(seconds(3)).jitter(-1.0), 9, "no"), Decision::After(seconds(3)));
        assert_eq!(decide(&Retry::fixed(seconds(3)).jitter(f64::NAN), 9, "no"), Decision::After(seconds(3)));
    }

    #[test]
    fn an_error_type_classifies_itself_also_within_other_errors() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot send")]
        struct Outer(#[source] io::Error);

        let retry = Retry::fixed(seconds(1)).classify::<io::Error>();
        let missing = || io::Error::from(io::ErrorKind::NotFound);
        assert_eq!(decide(&retry, 1, missing()), Decision::DeadLetter);
        assert_eq!(decide(&retry, 1, Outer(missing())), Decision::DeadLetter);
        assert_eq!(decide(&retry, 1, anyhow::Error::from(missing()).context("c")), Decision::DeadLetter);
        let busy = io::Error::from(io::ErrorKind::WouldBlock);
        assert_eq!(decide(&retry, 1, busy), Decision::After(seconds(77)));
        assert_eq!(decide(&retry, 1, io::Error::other("x")), Decision::After(seconds(1)));
        assert_eq!(decide(&retry, 1, "x"), Decision::After(seconds(1)));
    }

    #[test]
    fn a_failure_that_says_what_it_means_is_not_classified() {
        let retry = Retry::fixed(seconds(1)).classify::<io::Error>();
        let failure = Failure::from(io::Error::from(io::ErrorKind::NotFound)).after(seconds(5));
        assert_eq!(decide(&retry, 1, failure), Decision::After(seconds(5)));
        assert_eq!(
            decide(&Retry::none(), 1, Failure::from("x").after(seconds(5))),
            Decision::After(seconds(5))
        );
        assert_eq!(decide(&Retry::none(), 1, "x"), Decision::DeadLetter);
    }
}
