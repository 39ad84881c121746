//! The listener of a worker, which wakes its lanes.

use std::time::Duration;

use async_channel::Receiver;
use log::{info, warn};
use pgmq_core::Notification;

use crate::chain::Chain;
use crate::shell::clock::Clock;
use crate::shell::fault::DatabaseError;
use crate::shell::listening::LONGEST_PAUSE;
use crate::shell::notifying::{Notifying, Step, list};
use crate::sync::shell::broker::{Broker, Listener};
use crate::sync::shell::limit::wait;

/// The time between two looks whether the worker has stopped, or a review is due. A stop does not wait for
/// the listener.
const LOOK: Duration = Duration::from_millis(500);

/// Wakes the lanes when messages are sent to their queues, until the receiver is closed.
pub(crate) fn listen(
    broker: &dyn Broker,
    mut notifying: Notifying,
    mut listener: Option<Box<dyn Listener>>,
    clock: &Clock,
    stopped: &Receiver<()>,
) {
    let mut pause = Duration::from_secs(1);
    while !stopped.is_closed() {
        if listener.is_some() && notifying.begins_review(clock.now()) {
            let result = review(broker, &mut notifying);
            notifying.reviewed(result, clock.now());
        }
        let next = match &mut listener {
            Some(listener) => listener.next(LOOK),
            None => {
                if wait(clock, clock.now().checked_add(pause), stopped.recv()).is_some() {
                    return;
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
                broker.listen(&notifying.names()).map(|again| {
                    info!("the worker listens again");
                    listener = Some(again);
                    Some(Notification::Reconnected)
                })
            }
        };
        match next {
            Ok(Some(notification)) => {
                if notifying.wake(&notification, clock.now()) {
                    pause = Duration::from_secs(1);
                }
            }
            Ok(None) => {}
            Err(error) => {
                let error = Chain(&error);
                warn!("the worker cannot listen, and looks for messages from time to time: {error}");
                listener = None;
                notifying.lost();
            }
        }
    }
}

/// Finds out which queues notify, and makes those notify that should.
pub(crate) fn review(broker: &dyn Broker, notifying: &mut Notifying) -> Result<(), DatabaseError> {
    let throttles = list(broker.throttles())?;
    for queue in &mut notifying.queues {
        let mut step = queue.begin(throttles.as_ref());
        loop {
            step = match step {
                Step::Repair(throttle) => {
                    let answer = broker.repair_notify(queue.name(), throttle);
                    queue.repaired(answer, throttles.is_some())?
                }
                Step::Enable(throttle) => {
                    let answer = broker.enable_notify(queue.name(), throttle);
                    queue.enabled(answer)?
                }
                Step::Done => break,
            };
        }
    }
    Ok(())
}
