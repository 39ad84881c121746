//! The listener of a worker, which wakes its lanes.

use std::sync::Arc;
use std::time::Duration;

use async_channel::Receiver;
use log::{info, warn};
use pgmq_core::Notification;

use crate::shell::clock::Clock;
use crate::shell::lane::Lane;
use crate::shell::listening::{LONGEST_PAUSE, kick, wake};
use crate::sync::shell::broker::{Broker, Listener};
use crate::sync::shell::limit::wait;

/// The time between two looks whether the worker has stopped. A stop does not wait for the listener.
const LOOK: Duration = Duration::from_millis(500);

/// Wakes the lanes when messages are sent to their queues, until the receiver is closed.
pub(crate) fn listen(
    broker: &dyn Broker,
    lanes: &[Arc<Lane>],
    mut listener: Option<Box<dyn Listener>>,
    stopped: &Receiver<()>,
) {
    let clock = lanes.first().map_or(Clock::System, |lane| lane.clock().clone());
    let mut pause = Duration::from_secs(1);
    while !stopped.is_closed() {
        let next = match &mut listener {
            Some(listener) => listener.next(LOOK),
            None => {
                if wait(&clock, clock.now().checked_add(pause), stopped.recv()).is_some() {
                    return;
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
                let queues: Vec<_> = lanes.iter().map(|lane| lane.queue().to_owned()).collect();
                broker.listen(&queues).map(|again| {
                    info!("the worker listens again");
                    listener = Some(again);
                    Some(Notification::Reconnected)
                })
            }
        };
        match next {
            Ok(Some(notification)) => {
                if wake(lanes, &notification) {
                    pause = Duration::from_secs(1);
                }
            }
            Ok(None) => {}
            Err(error) => {
                warn!("the worker cannot listen, and looks for messages from time to time: {error}");
                listener = None;
                kick(lanes);
            }
        }
    }
}
