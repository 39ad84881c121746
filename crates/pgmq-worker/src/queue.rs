//! The settings of a queue.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::machine::config::Config;
use crate::retry::{Retry, RetryPolicy};
use crate::rules::On;
use crate::settings::{Checks, Facts, SettingsError};
use crate::verdict::Policy;

/// The largest number of messages in one claim, unless a batch is larger.
const MAX_CLAIM: usize = 200;
/// The largest number of messages that are read ahead for quick handlers, unless a batch is larger.
const MAX_PREFETCH: usize = 400;
/// The largest number of messages in one settlement.
const MAX_SETTLE: usize = 1000;
/// The number of messages that are claimed and not settled, unless the handlers need more.
const MAX_IN_FLIGHT: usize = 1000;
/// The size of batches, unless it is set.
const BATCH: usize = 100;
/// A handler with a longer timeout counts as slow, and nothing is read ahead for it unless it turns out to be
/// quick.
const SLOW: Duration = Duration::from_secs(10);
/// The longest visibility timeout in seconds: a year, which the machine's clock can hold.
const MAX_SECONDS: u64 = 365 * 24 * 3600;

/// The settings of one queue of a worker.
///
/// ```
/// use std::time::Duration;
///
/// use pgmq_worker::{Queue, Retry};
///
/// let emails = Queue::new()
///     .concurrency(50)
///     .timeout(Duration::from_secs(20))
///     .retry(Retry::exponential(Duration::from_secs(1)).up_to(Duration::from_secs(600)).jitter(0.2))
///     .max_reads(8);
/// # let _ = emails;
/// ```
///
/// | setting | default |
/// |---|---|
/// | [`concurrency`](Self::concurrency) | 16; for sync handlers, two per core |
/// | [`vt`](Self::vt) | 30 s, extended every 10 s |
/// | [`max_reads`](Self::max_reads) | 10 |
/// | [`retry`](Self::retry) | 5 s, doubled up to 15 min, with a jitter of 20 percent |
/// | [`timeout`](Self::timeout) | none |
/// | [`grace`](Self::grace) | 5 s |
/// | [`prefetch`](Self::prefetch) | the concurrency, at most 200, or nothing with a timeout above 10 s; up to 400 for quick handlers |
/// | [`batch`](Self::batch) | 100, for handlers of batches |
/// | [`linger`](Self::linger) | none |
/// | [`dead_letter_queue`](Self::dead_letter_queue) | the name of the queue with `_dlq` |
/// | [`suspect_after`](Self::suspect_after) | four fifths of `max_reads`: 8 |
/// | [`ensure_notify`](Self::ensure_notify) | not: the worker enables no notifications |
/// | [`backstop`](Self::backstop) | 10 s |
/// | [`poll`](Self::poll) | 1 s |
///
/// Settings that are of no use are found when the worker starts: see [`SettingsError`].
#[derive(Clone)]
#[must_use]
pub struct Queue {
    concurrency: Option<usize>,
    vt: Duration,
    max_reads: u32,
    suspect_after: Option<u32>,
    prefetch: Option<usize>,
    timeout: Option<Duration>,
    grace: Duration,
    keep_stuck: bool,
    retry: Arc<dyn RetryPolicy>,
    exact_attempts: bool,
    batch: Option<usize>,
    linger: Duration,
    dead_letter_queue: Option<String>,
    ensure_notify: Option<Duration>,
    backstop: Duration,
    poll: Duration,
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            concurrency: None,
            vt: Duration::from_secs(30),
            max_reads: 10,
            suspect_after: None,
            prefetch: None,
            timeout: None,
            grace: Duration::from_secs(5),
            keep_stuck: false,
            retry: Arc::new(Retry::default()),
            exact_attempts: false,
            batch: None,
            linger: Duration::ZERO,
            dead_letter_queue: None,
            ensure_notify: None,
            backstop: Duration::from_secs(10),
            poll: Duration::from_secs(1),
        }
    }
}

impl Queue {
    /// Creates the default settings.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the number of handlers that run at the same time, at least 1.
    pub fn concurrency(mut self, handlers: usize) -> Self {
        self.concurrency = Some(handlers);
        self
    }

    /// Sets the visibility timeout, at least one second: the time after which another worker gets a message
    /// if this one has crashed. The worker extends it every third of the time while the handler runs, so it
    /// need not be longer than a handler takes.
    pub fn vt(mut self, vt: Duration) -> Self {
        self.vt = vt;
        self
    }

    /// Sets the number of reads after which a message is moved to the dead-letter queue, at least 1.
    ///
    /// Crashes, lost leases and releases count as reads too, which is why the default is as high as 10.
    pub fn max_reads(mut self, reads: u32) -> Self {
        self.max_reads = reads;
        self
    }

    /// Sets the number of reads after which a message is handled last, and while no other one is, so that a
    /// message that kills the process takes no others with it.
    ///
    /// Retries count as reads, so a low number slows a queue down in which many messages fail.
    pub fn suspect_after(mut self, reads: u32) -> Self {
        self.suspect_after = Some(reads);
        self
    }

    /// Sets the number of messages that are read ahead, for handlers that will be free soon.
    ///
    /// Without it, the worker reads ahead twice as many messages as the handlers end with during a read.
    pub fn prefetch(mut self, messages: usize) -> Self {
        self.prefetch = Some(messages);
        self
    }

    /// Sets the time after which a handler is cancelled, and its message is retried.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sets the time that a cancelled handler has to end. After it, the handler counts as stuck.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Extends the leases of stuck handlers as well. By default they run out, and other workers get the
    /// messages.
    pub fn keep_stuck(mut self) -> Self {
        self.keep_stuck = true;
        self
    }

    /// Sets the times of retries.
    pub fn retry(mut self, policy: impl RetryPolicy + 'static) -> Self {
        self.retry = Arc::new(policy);
        self
    }

    /// Sends a snoozed message again, so that its snoozes do not count as reads. By default that is done for
    /// snoozes longer than the visibility timeout, and for messages that have no reads left. Needs PGMQ 1.5.
    pub fn exact_attempts(mut self) -> Self {
        self.exact_attempts = true;
        self
    }

    /// Sets the largest number of messages that a handler of batches gets, at least 1.
    pub fn batch(mut self, messages: usize) -> Self {
        self.batch = Some(messages);
        self
    }

    /// Sets the time for which a batch that is not full waits for more messages.
    pub fn linger(mut self, linger: Duration) -> Self {
        self.linger = linger;
        self
    }

    /// Sets the name of the dead-letter queue.
    pub fn dead_letter_queue(mut self, name: impl Into<String>) -> Self {
        self.dead_letter_queue = Some(name.into());
        self
    }

    /// Enables the [notifications](pgmq_core::Queue::enable_notify_with) of the queue with this throttle, if
    /// they are not enabled when the worker starts. A queue that notifies keeps its throttle.
    ///
    /// Enabling changes the triggers of the queue's table, and waits for the transactions that use it. The
    /// role of the worker must own the table. Needs PGMQ 1.8.
    pub fn ensure_notify(mut self, throttle: Duration) -> Self {
        self.ensure_notify = Some(throttle);
        self
    }

    /// Sets the longest time between two looks for messages where the server notifies of them.
    pub fn backstop(mut self, time: Duration) -> Self {
        self.backstop = time;
        self
    }

    /// Sets the longest time between two looks for messages where the server does not notify of them.
    pub fn poll(mut self, time: Duration) -> Self {
        self.poll = time;
        self
    }

    pub(crate) fn visibility_timeout(&self) -> Duration {
        self.vt
    }

    pub(crate) fn ensured_throttle(&self) -> Option<Duration> {
        self.ensure_notify
    }

    pub(crate) fn grace_of_handlers(&self) -> Duration {
        self.grace
    }

    /// The name of the dead-letter queue of the queue `name`.
    pub(crate) fn dead_letter_queue_of(&self, name: &str) -> String {
        self.dead_letter_queue.clone().unwrap_or_else(|| format!("{name}_dlq"))
    }

    /// The policy for the failures of a handler, whose rules come first.
    pub(crate) fn policy<'a>(&'a self, rules: Option<&'a On>) -> Policy<'a> {
        let retry = rules.and_then(|rules| rules.retry.as_ref()).unwrap_or(&self.retry);
        let max_reads = rules.and_then(|rules| rules.max_reads).unwrap_or(self.max_reads);
        Policy { retry: &**retry, max_reads, vt: self.vt, exact_attempts: self.exact_attempts }
    }

    /// Checks the settings, and turns them into those of the machine.
    pub(crate) fn config(&self, name: &str, facts: &Facts) -> Result<Config, SettingsError> {
        let checks = Checks { queue: name };
        self.check(&checks)?;
        let batch = match (facts.takes_batches, self.batch) {
            (true, batch) => checks.at_least_one("batch", batch.unwrap_or(BATCH))?,
            (false, None | Some(1)) => 1,
            (false, Some(_)) => {
                return checks.fail(
                    "batch is set, and the handler takes one message at a time; give a handler of batches",
                );
            }
        };
        let concurrency =
            checks.at_least_one("concurrency", self.concurrency.unwrap_or(facts.default_concurrency))?;
        let is_slow = self.timeout.is_some_and(|timeout| timeout > SLOW);
        let slots = concurrency.saturating_mul(batch);
        let max_claim = MAX_CLAIM.max(batch);
        let (prefetch, max_prefetch) = match self.prefetch {
            Some(prefetch) => (prefetch, prefetch),
            None if is_slow => (0, MAX_PREFETCH),
            None => (slots.min(max_claim), MAX_PREFETCH.max(max_claim)),
        };
        // The machine has the limit of the most patient handler. The verdict keeps to that of each handler.
        let max_reads = facts.max_reads.map_or(self.max_reads, |of_handlers| of_handlers.max(self.max_reads));
        let max_reads = checks.reads("max_reads", max_reads)?;
        let suspect_after = match self.suspect_after {
            Some(reads) => checks.reads("suspect_after", reads)?,
            None => {
                let max_reads = checks.reads("max_reads", self.max_reads)?;
                (max_reads - max_reads / 5).min(max_reads - 1).max(1)
            }
        };
        Ok(Config {
            concurrency,
            prefetch,
            max_prefetch,
            batch,
            linger: self.linger,
            max_claim,
            max_settle: MAX_SETTLE,
            max_in_flight: MAX_IN_FLIGHT.max(slots.saturating_add(prefetch)),
            vt: self.vt,
            max_reads,
            suspect_after,
            timeout: self.timeout,
            grace: self.grace,
            keeps_stuck: self.keep_stuck,
            // Until the listener is connected.
            throttle: None,
            backstop: self.backstop,
            poll: self.poll,
        })
    }

    fn check(&self, checks: &Checks<'_>) -> Result<(), SettingsError> {
        let (vt, linger) = (self.vt, self.linger);
        checks.name(checks.queue, "")?;
        let dead_letter_queue = self.dead_letter_queue_of(checks.queue);
        checks.name(&dead_letter_queue, "; give the dead-letter queue another name")?;
        if dead_letter_queue.to_lowercase() == checks.queue.to_lowercase() {
            return checks.fail("the dead-letter queue is the queue itself; give it another name");
        }
        if vt < Duration::from_secs(1) || vt.as_secs() >= MAX_SECONDS {
            return checks.fail(format!("vt is {vt:?}; give a time from 1 second to 1 year"));
        }
        if linger >= vt / 3 {
            return checks
                .fail(format!("linger is {linger:?}; give less than a third of vt, which is {vt:?}"));
        }
        checks.reads("max_reads", self.max_reads)?;
        checks.throttle(self.ensure_notify)?;
        checks.not_zero("backstop", self.backstop)?;
        checks.not_zero("poll", self.poll)?;
        self.timeout.map_or(Ok(()), |timeout| checks.not_zero("timeout", timeout).map(|_| ()))
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("concurrency", &self.concurrency)
            .field("vt", &self.vt)
            .field("max_reads", &self.max_reads)
            .field("timeout", &self.timeout)
            .field("batch", &self.batch)
            .field("dead_letter_queue", &self.dead_letter_queue)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts { default_concurrency: 16, takes_batches: false, max_reads: None }
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn error_of(queue: &Queue) -> String {
        queue.config("emails", &facts()).unwrap_err().to_string()
    }

    #[test]
    fn the_default_settings_are_those_of_the_table() {
        let config = Queue::new().config("emails", &facts()).unwrap();
        assert_eq!((config.concurrency, config.prefetch, config.batch), (16, 16, 1));
        assert_eq!((config.max_claim, config.max_settle, config.max_in_flight), (200, 1000, 1000));
        assert_eq!((config.vt, config.grace, config.timeout), (seconds(30), seconds(5), None));
        assert_eq!((config.max_reads, config.suspect_after), (10, 8));
        assert_eq!((config.backstop, config.poll, config.linger), (seconds(10), seconds(1), seconds(0)));
        assert_eq!(config.throttle, None);
        assert!(!config.keeps_stuck);
        assert_eq!(Queue::new().dead_letter_queue_of("emails"), "emails_dlq");
    }

    #[test]
    fn nothing_is_read_ahead_for_slow_handlers_and_little_for_many() {
        let prefetch = |queue: Queue| queue.config("q", &facts()).unwrap().prefetch;
        assert_eq!(prefetch(Queue::new().timeout(seconds(11))), 0);
        assert_eq!(prefetch(Queue::new().timeout(seconds(10))), 16);
        assert_eq!(prefetch(Queue::new().concurrency(5000)), 200);
        assert_eq!(prefetch(Queue::new().timeout(seconds(11)).prefetch(3)), 3);
    }

    #[test]
    fn a_handler_of_batches_has_room_for_all_of_its_messages() {
        let facts = Facts { takes_batches: true, ..facts() };
        let config = Queue::new().batch(500).concurrency(4).config("q", &facts).unwrap();
        assert_eq!((config.batch, config.max_claim, config.prefetch), (500, 500, 500));
        assert_eq!(config.max_in_flight, 2500);
        assert_eq!(Queue::new().config("q", &facts).unwrap().batch, 100);
    }

    #[test]
    fn the_last_reads_of_a_message_are_made_while_no_other_is_handled() {
        let suspect_after = |queue: Queue| queue.config("q", &facts()).unwrap().suspect_after;
        for (max_reads, expected) in [(1, 1), (2, 1), (3, 2), (5, 4), (10, 8), (25, 20), (100, 80)] {
            assert_eq!(suspect_after(Queue::new().max_reads(max_reads)), expected, "{max_reads}");
        }
        assert_eq!(suspect_after(Queue::new().max_reads(25).suspect_after(3)), 3);
    }

    #[test]
    fn the_machine_waits_for_the_most_patient_handler() {
        let facts = Facts { max_reads: Some(25), ..facts() };
        assert_eq!(Queue::new().config("q", &facts).unwrap().max_reads, 25);
        let facts = Facts { max_reads: Some(3), ..facts };
        assert_eq!(Queue::new().config("q", &facts).unwrap().max_reads, 10);
    }

    #[test]
    fn settings_of_no_use_are_refused_with_the_reason() {
        let new = Queue::new;
        let texts = [
            (new().concurrency(0), "concurrency is 0; give at least 1"),
            (new().vt(Duration::from_millis(999)), "vt is 999ms; give a time from 1 second to 1 year"),
            (new().vt(Duration::MAX), "; give a time from 1 second to 1 year"),
            (new().max_reads(0), "max_reads is 0; give at least 1"),
            (new().max_reads(u32::MAX), "max_reads is 4294967295; give at most 2147483647"),
            (new().suspect_after(0), "suspect_after is 0; give at least 1"),
            (new().batch(10), "batch is set, and the handler takes one message at a time"),
            (new().linger(seconds(10)), "linger is 10s; give less than a third of vt, which is 30s"),
            (new().poll(seconds(0)), "poll is zero; give a time"),
            (new().ensure_notify(Duration::MAX), "ensure_notify: "),
            (new().backstop(seconds(0)), "backstop is zero; give a time"),
            (new().timeout(seconds(0)), "timeout is zero; give a time"),
            (new().dead_letter_queue("Emails"), "the dead-letter queue is the queue itself"),
            (new().dead_letter_queue("a;b"), "; give the dead-letter queue another name"),
        ];
        for (queue, text) in texts {
            let error = error_of(&queue);
            assert!(error.starts_with("queue \"emails\": ") && error.contains(text), "{error}");
        }
    }

    #[test]
    fn the_name_of_a_queue_is_checked_with_that_of_its_dead_letters() {
        let error = Queue::new().config("a;b", &facts()).unwrap_err();
        assert!(error.to_string().contains("is not a queue name"), "{error}");
        let long = "a".repeat(46);
        let error = Queue::new().config(&long, &facts()).unwrap_err();
        assert!(error.to_string().contains("give the dead-letter queue another name"), "{error}");
        assert!(Queue::new().dead_letter_queue("dead").config(&long, &facts()).is_ok());
    }
}
