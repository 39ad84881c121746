//! The channels from a lane to its tasks.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_channel::{Receiver, Sender, bounded, unbounded};

use crate::shell::limit::within;
use crate::shell::requests::{Beat, Look, Settling, Work};

/// The longest time that tasks have to end after their lane has stopped.
pub(crate) const LONGEST_END: Duration = Duration::from_millis(500);

/// The channels from a lane to its tasks. The machine limits what is in them.
pub(crate) struct Channels {
    pub(crate) looks: (Sender<Look>, Receiver<Look>),
    pub(crate) work: (Sender<Work>, Receiver<Work>),
    pub(crate) changes: (Sender<Settling>, Receiver<Settling>),
    pub(crate) beats: (Sender<Beat>, Receiver<Beat>),
    /// Wakes the timer, which has to look earlier.
    pub(crate) rearm: (Sender<()>, Receiver<()>),
    /// Closed when the lane has stopped, which drops the calls that are in flight.
    pub(crate) stopped: (Sender<()>, Receiver<()>),
    /// Each task holds a sender, so that the receiver learns when all tasks have ended.
    alive: (Mutex<Option<Sender<()>>>, Receiver<()>),
}

impl Channels {
    pub(crate) fn new() -> Self {
        let (alive, ended) = bounded(1);
        Self {
            looks: unbounded(),
            work: unbounded(),
            changes: unbounded(),
            beats: unbounded(),
            rearm: bounded(1),
            stopped: bounded(1),
            alive: (Mutex::new(Some(alive)), ended),
        }
    }

    /// A token that a task holds while it runs; `None` once the lane has stopped.
    pub(crate) fn alive(&self) -> Option<Sender<()>> {
        self.alive.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends all tasks, once they have done what they do now.
    pub(crate) fn close(&self) {
        self.looks.0.close();
        self.work.0.close();
        self.changes.0.close();
        self.beats.0.close();
        self.rearm.0.close();
        self.stopped.0.close();
        self.alive.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Waits until the lane has stopped, and its tasks have ended. A slot whose handler blocks its thread
    /// cannot end, and is not waited for.
    pub(crate) async fn ended(&self) {
        // Nothing is ever sent.
        let _ = self.stopped.1.recv().await;
        let _ = within(LONGEST_END, self.quiet()).await;
    }

    /// Waits until no task holds a token.
    pub(crate) async fn quiet(&self) {
        // Nothing is ever sent.
        let _ = self.alive.1.recv().await;
    }
}
