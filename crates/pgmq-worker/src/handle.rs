//! The handle of a worker, which both shells have: what steers it, what it tells, and what stops it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_channel::{Receiver, Sender};
use pgmq_core::Claim;

use crate::machine::event::{Event, StopLimits, Wake};
use crate::shell::clock::Clock;
use crate::shell::lane::Lane;
use crate::watch::Watch;

/// The time that a stop may take longer than its limits.
const SLACK: Duration = Duration::from_secs(2);

/// The means to look at a worker and to steer it, from any task or thread. Clones steer the same worker.
///
/// It is the same for the async [`Worker`](crate::Worker) and for the [sync one](crate::sync::Worker).
#[derive(Clone)]
pub struct Handle {
    pub(crate) lanes: Arc<[Arc<Lane>]>,
    limits: StopLimits,
    /// Closed when a stop is asked for.
    stopping: (Sender<()>, Receiver<()>),
}

/// The state of one queue of a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// The queue.
    pub queue: String,
    /// `true` until the worker stops.
    pub is_running: bool,
    /// The number of messages that were read, and whose handlers have not begun.
    pub waiting: usize,
    /// The number of messages whose handlers run.
    pub running: usize,
    /// The number of messages whose handlers do not end although they were cancelled.
    pub stuck: usize,
    /// The number of messages whose handlers have ended, and of which the server does not know yet.
    pub unsettled: usize,
    /// The number of attempts to read that have failed since the last one that worked.
    pub failed_reads: u32,
}

impl Handle {
    pub(crate) fn new(lanes: Vec<Arc<Lane>>, limits: StopLimits) -> Self {
        Self { lanes: lanes.into(), limits, stopping: async_channel::bounded(1) }
    }

    /// Stops the worker, and returns at once. [`Worker::run_until`](crate::Worker::run_until) and the
    /// [`join`](crate::sync::Worker::join) of a sync worker end when it has stopped.
    pub fn stop(&self) {
        self.stop_within(self.limits);
    }

    /// Stops the worker like [`stop`](Self::stop), but cancels the handlers at once, also when a stop is
    /// under way: for the second Ctrl-C of somebody who does not want to wait.
    ///
    /// Handlers still have the time of [`grace`](crate::Builder::grace) to end, and the server still learns
    /// what has become of the messages.
    pub fn stop_now(&self) {
        self.stop_within(StopLimits { drain: Duration::ZERO, ..self.limits });
    }

    /// Ends all lanes at once, on this thread. What is left is in the report.
    pub(crate) fn end(&self) {
        self.stop_within(StopLimits { drain: Duration::ZERO, grace: Duration::ZERO, flush: Duration::ZERO });
    }

    /// Waits until a stop is asked for.
    pub(crate) async fn is_to_stop(&self) {
        // Nothing is ever sent.
        let _ = self.stopping.1.recv().await;
    }

    fn stop_within(&self, limits: StopLimits) {
        self.stopping.0.close();
        for lane in self.lanes.iter() {
            lane.tell(Event::Stop(limits));
        }
    }

    /// Stops reading from a queue, and releases its messages that have not begun. Returns `false` if the
    /// worker has no such queue.
    pub fn pause(&self, queue: &str) -> bool {
        self.tell(queue, || Event::Pause)
    }

    /// Reads from a queue again after [`pause`](Self::pause). Returns `false` if the worker has no such
    /// queue.
    pub fn resume(&self, queue: &str) -> bool {
        self.tell(queue, || Event::Resume)
    }

    /// Looks at a queue at once, such as after a send of this program. Returns `false` if the worker has no
    /// such queue.
    pub fn wake(&self, queue: &str) -> bool {
        self.tell(queue, || Event::Woken(Wake::Kicked))
    }

    /// Watches the messages of a queue from now on, to wait for what happens to them. `None` if the worker
    /// has no such queue.
    ///
    /// A queue that is not watched has no cost of it.
    pub fn watch(&self, queue: &str) -> Option<Watch> {
        let queue = queue.to_lowercase();
        let lane = self.lanes.iter().find(|lane| lane.queue() == queue)?;
        let events = lane.watchers.add();
        if lane.unfinished().is_some() {
            // The lane has stopped, maybe before it could end the new watch.
            lane.watchers.close();
        }
        Some(Watch::new(Arc::clone(&lane.parts.source.queue), events, lane.clock().clone()))
    }

    /// The state of each queue.
    pub fn health(&self) -> Vec<Health> {
        let health = |lane: &Arc<Lane>| {
            let snapshot = lane.snapshot();
            Health {
                queue: lane.queue().to_owned(),
                is_running: !snapshot.phase.stops(),
                waiting: snapshot.ready,
                running: snapshot.running,
                stuck: snapshot.stuck,
                unsettled: snapshot.done + snapshot.settling,
                failed_reads: snapshot.claim_failures,
            }
        };
        self.lanes.iter().map(health).collect()
    }

    fn tell(&self, queue: &str, event: impl Fn() -> Event) -> bool {
        let mut found = false;
        let queue = queue.to_lowercase();
        for lane in self.lanes.iter().filter(|lane| lane.queue() == queue) {
            lane.tell(event());
            found = true;
        }
        found
    }

    /// The time after which a stop returns, also if the timers of the lanes do not run any more.
    pub(crate) fn longest_stop(&self) -> Duration {
        let StopLimits { drain, grace, flush } = self.limits;
        drain.saturating_add(grace).saturating_add(flush).saturating_add(SLACK)
    }

    /// The clock of the worker.
    pub(crate) fn clock(&self) -> Clock {
        self.lanes.first().map_or(Clock::System, |lane| lane.clock().clone())
    }

    pub(crate) fn report(&self) -> StopReport {
        let mut report = StopReport::default();
        for lane in self.lanes.iter() {
            let unfinished = lane.unfinished().unwrap_or_default();
            let named = |claim: Claim| (lane.queue().to_owned(), claim.msg_id);
            report.running.extend(unfinished.running.into_iter().map(named));
            report.unsettled.extend(unfinished.unsettled.into_iter().map(named));
        }
        report
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let queues = self.lanes.iter().map(|lane| lane.queue());
        f.write_str("Handle")?;
        f.debug_list().entries(queues).finish()
    }
}

/// The messages that a stop has left, by queue and id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StopReport {
    /// Their handlers did not end, and could not be stopped.
    pub running: Vec<(String, i64)>,
    /// Their handlers have ended, and the server was not told in time: they come again.
    pub unsettled: Vec<(String, i64)>,
}

impl StopReport {
    /// Returns `true` if nothing is left.
    pub fn is_clean(&self) -> bool {
        self.running.is_empty() && self.unsettled.is_empty()
    }
}

impl fmt::Display for StopReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_clean() {
            return f.write_str("the worker has stopped");
        }
        write!(
            f,
            "the worker has stopped; {} handlers did not end, and {} messages are not settled",
            self.running.len(),
            self.unsettled.len()
        )
    }
}

/// A worker that runs, and stops when this is dropped.
pub(crate) struct Running {
    pub(crate) handle: Handle,
    /// Closed when the worker stops, which ends the listener.
    pub(crate) stopped: Sender<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stopped.close();
        let at_once = StopLimits { drain: Duration::ZERO, grace: Duration::ZERO, ..self.handle.limits };
        for lane in self.handle.lanes.iter() {
            lane.tell(Event::Stop(at_once));
        }
    }
}
