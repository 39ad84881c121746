//! The channels from a lane to its tasks.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_channel::{Receiver, Sender, bounded};

use crate::machine::command::Line;
use crate::shell::clock::Clock;
use crate::shell::limit::within;

/// The longest time that tasks have to end after their lane has stopped.
pub(crate) const LONGEST_END: Duration = Duration::from_millis(500);

/// A channel that wakes a task. It carries nothing: the task asks the lane what there is to do.
type Wake = (Sender<()>, Receiver<()>);

/// The channels from a lane to its tasks.
pub(crate) struct Channels {
    /// Wakes the task that looks at the queue.
    pub(crate) looks: Wake,
    /// Wakes a task that settles.
    pub(crate) settlements: Wake,
    /// Wakes the task that extends leases.
    pub(crate) extensions: Wake,
    /// Wakes a slot.
    pub(crate) starts: Wake,
    /// Wakes the timer, which has to look earlier.
    pub(crate) rearm: Wake,
    /// Closed when the lane has stopped, which drops the calls that are in flight.
    pub(crate) stopped: Wake,
    /// Each task holds a sender, so that the receiver learns when all tasks have ended.
    alive: (Mutex<Option<Sender<()>>>, Receiver<()>),
}

impl Channels {
    /// The channels of a lane with this number of slots.
    pub(crate) fn new(slots: usize) -> Self {
        let (alive, ended) = bounded(1);
        Self {
            looks: bounded(1),
            settlements: bounded(1),
            extensions: bounded(1),
            starts: bounded(slots.max(1)),
            rearm: bounded(1),
            stopped: bounded(1),
            alive: (Mutex::new(Some(alive)), ended),
        }
    }

    /// The channel of a line of statements.
    pub(crate) fn of(&self, line: Line) -> &Wake {
        match line {
            Line::Looks => &self.looks,
            Line::Settlements => &self.settlements,
            Line::Extensions => &self.extensions,
        }
    }

    /// A token that a task holds while it runs; `None` once the lane has stopped.
    pub(crate) fn alive(&self) -> Option<Sender<()>> {
        self.alive.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends all tasks, once they have done what they do now.
    pub(crate) fn close(&self) {
        for (wake, _) in
            [&self.looks, &self.settlements, &self.extensions, &self.starts, &self.rearm, &self.stopped]
        {
            wake.close();
        }
        self.alive.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Waits until the lane has stopped, and its tasks have ended. A slot whose handler blocks its thread
    /// cannot end, and is not waited for.
    pub(crate) async fn ended(&self, clock: &Clock) {
        // Nothing is ever sent.
        let _ = self.stopped.1.recv().await;
        let _ = within(clock, LONGEST_END, self.quiet()).await;
    }

    /// Waits until no task holds a token.
    pub(crate) async fn quiet(&self) {
        // Nothing is ever sent.
        let _ = self.alive.1.recv().await;
    }
}
