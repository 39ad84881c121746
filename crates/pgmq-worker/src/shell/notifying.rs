//! The notifications of the queues: which queues notify is found out whenever the listener has connected, and
//! notifications that a crash of the server has silenced are repaired.

use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{debug, info, warn};
use pgmq_core::{ErrorKind, Notification};

use crate::chain::Chain;
use crate::machine::event::{Event, Fault, Wake};
use crate::observer::{Observing, WorkerEvent};
use crate::shell::broker::Throttles;
use crate::shell::fault::DatabaseError;
use crate::shell::lane::Lane;

/// The throttle that PGMQ gives a queue by default.
const THROTTLE: Duration = Duration::from_millis(250);
/// The first pause after a failure.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause after a failure, and the shortest between two reviews that notifications suggest.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The queues of a worker, and the time of the next review of their notifications.
pub(crate) struct Notifying {
    pub(crate) queues: Vec<Notifier>,
    observing: Observing,
    review_at: Option<Instant>,
    reviewed: Instant,
    pause: Duration,
}

/// The notifications of one queue.
pub(crate) struct Notifier {
    lane: Arc<Lane>,
    /// The throttle that the queue had when it was reviewed last, and notified.
    throttle: Option<Duration>,
}

/// The next step of a review.
pub(crate) enum Step {
    /// Repair the notifications, with this throttle.
    Repair(Duration),
    /// Enable notifications, with this throttle.
    Enable(Duration),
    /// Nothing is left to do.
    Done,
}

impl Notifying {
    pub(crate) fn new(lanes: &[Arc<Lane>], now: Instant) -> Self {
        let queues = lanes.iter().map(|lane| Notifier { lane: Arc::clone(lane), throttle: None }).collect();
        let observing = lanes.first().map(|lane| lane.parts.observing.clone()).unwrap_or_default();
        Self { queues, observing, review_at: None, reviewed: now, pause: FIRST_PAUSE }
    }

    /// The names of the queues.
    pub(crate) fn names(&self) -> Vec<String> {
        self.queues.iter().map(|queue| queue.name().to_owned()).collect()
    }

    /// The time of the next review.
    pub(crate) fn review_at(&self) -> Option<Instant> {
        self.review_at
    }

    /// Returns `true` if a review is due, which begins then.
    pub(crate) fn begins_review(&mut self, now: Instant) -> bool {
        let is_due = self.review_at.is_some_and(|at| at <= now);
        if is_due {
            self.review_at = None;
            self.reviewed = now;
        }
        is_due
    }

    /// Takes the result of a review, and plans another after a failure.
    pub(crate) fn reviewed(&mut self, result: Result<(), DatabaseError>, now: Instant) {
        match result {
            Ok(()) => self.pause = FIRST_PAUSE,
            Err(error) => {
                warn!("the worker cannot find out which queues notify, and tries again: {}", Chain(&error));
                self.again(now);
            }
        }
    }

    /// Plans another review after one without an answer.
    pub(crate) fn has_no_answer(&mut self, now: Instant) {
        warn!("the worker cannot find out which queues notify, and tries again: the server does not answer");
        self.again(now);
    }

    fn again(&mut self, now: Instant) {
        self.review_at = now.checked_add(self.pause);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }

    /// Wakes the queues that a notification concerns. Returns `true` if it is about messages, so that the
    /// listener works.
    pub(crate) fn wake(&mut self, notification: &Notification, now: Instant) -> bool {
        if let Notification::Inserted { queue: name, .. } = notification {
            // A notification has the folded name, as the lane.
            for queue in self.queues.iter().filter(|queue| queue.name() == name) {
                queue.lane.tell(Event::Woken(Wake::Notified));
                if queue.throttle.is_none() && self.review_at.is_none() {
                    // Enabled since the last review. Where the worker cannot find that out, each notification
                    // would lead to a review.
                    self.review_at = self.reviewed.checked_add(LONGEST_PAUSE).map(|at| at.max(now));
                }
            }
            return true;
        }
        for queue in &self.queues {
            queue.lane.tell(Event::Woken(Wake::Reconnected));
        }
        self.review_at = Some(now);
        self.observing.tell(WorkerEvent::ListenerConnected);
        false
    }

    /// Lets all queues look for messages as they do without notifications, after the listener was lost.
    pub(crate) fn lost(&mut self) {
        for queue in &self.queues {
            queue.lane.tell(Event::Notifies(None));
            queue.lane.tell(Event::Woken(Wake::Kicked));
        }
        self.review_at = None;
        self.observing.tell(WorkerEvent::ListenerLost);
    }
}

impl Notifier {
    /// The name of the queue.
    pub(crate) fn name(&self) -> &str {
        self.lane.queue()
    }

    /// Begins a review, with the list of all queues that notify; `None` if the server does not tell.
    pub(crate) fn begin(&mut self, throttles: Option<&Throttles>) -> Step {
        let listed = throttles.into_iter().flatten().find(|(name, _)| name == self.name());
        match listed {
            Some(&(_, throttle)) => self.notifies(Some(throttle)),
            None => Step::Repair(self.wanted()),
        }
    }

    /// Takes the answer to [`Step::Repair`]. `is_listed` is `true` if the queue would be in the list if it
    /// notified.
    pub(crate) fn repaired(
        &mut self,
        answer: Result<bool, DatabaseError>,
        is_listed: bool,
    ) -> Result<Step, DatabaseError> {
        let name = self.name();
        match answer {
            Ok(true) => {
                info!(
                    "queue {name}: its notifications, which a crash of the server had silenced, are repaired"
                );
                let throttle = self.wanted();
                return Ok(self.notifies(Some(throttle)));
            }
            // The queue may notify as before.
            Ok(false) if !is_listed && self.throttle.is_some() => return Ok(self.notifies(self.throttle)),
            Ok(false) => {}
            Err(error) if error.kind() == ErrorKind::Unsupported => {}
            Err(error) if error.fault() == Fault::Transient => return Err(error),
            Err(error) if self.throttle.is_some() => {
                warn!(
                    "queue {name}: its notifications are silent, and the worker cannot repair them; call \
                     enable_notify: {}",
                    Chain(&error)
                );
            }
            // Most probably, notifications were never enabled.
            Err(error) => debug!("queue {name}: cannot repair notifications: {}", Chain(&error)),
        }
        Ok(match self.lane.parts.settings.ensured_throttle() {
            Some(throttle) => Step::Enable(throttle),
            None => self.notifies(None),
        })
    }

    /// Takes the answer to [`Step::Enable`].
    pub(crate) fn enabled(&mut self, answer: Result<(), DatabaseError>) -> Result<Step, DatabaseError> {
        answer?;
        let throttle = self.lane.parts.settings.ensured_throttle();
        Ok(self.notifies(throttle))
    }

    /// The throttle for notifications that lack one: the throttle before the crash, if it is known.
    fn wanted(&self) -> Duration {
        self.throttle.or(self.lane.parts.settings.ensured_throttle()).unwrap_or(THROTTLE)
    }

    fn notifies(&mut self, throttle: Option<Duration>) -> Step {
        self.throttle = throttle;
        self.lane.tell(Event::Notifies(throttle));
        Step::Done
    }
}

/// The list of the queues that notify, or `None` if the server does not tell.
pub(crate) fn list(answer: Result<Throttles, DatabaseError>) -> Result<Option<Throttles>, DatabaseError> {
    match answer {
        Ok(throttles) => Ok(Some(throttles)),
        // Before PGMQ 1.11, there is no list.
        Err(error) if error.kind() == ErrorKind::Unsupported => Ok(None),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            warn!("the worker may not list the queues that notify, and polls: {}", Chain(&error));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
