//! The listener of a worker, which wakes its lanes.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_channel::Receiver;
use futures_util::future::{Either, select};
use log::{info, warn};
use pgmq_core::Notification;

use crate::machine::event::{Event, Wake};
use crate::shell::broker::{Broker, Listener};
use crate::shell::clock::Clock;
use crate::shell::lane::Lane;
use crate::shell::limit::within;

/// The longest pause between two attempts to listen.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Wakes the lanes when messages are sent to their queues, until the receiver is closed.
pub(crate) async fn listen(
    broker: Arc<dyn Broker>,
    lanes: Vec<Arc<Lane>>,
    mut listener: Option<Box<dyn Listener>>,
    stopped: Receiver<()>,
) {
    let clock = lanes.first().map_or(Clock::System, |lane| lane.clock().clone());
    let mut pause = Duration::from_secs(1);
    loop {
        let next = match &mut listener {
            Some(listener) => {
                let (next, stopped) = (pin!(listener.next()), pin!(stopped.recv()));
                match select(next, stopped).await {
                    Either::Left((next, _)) => next,
                    Either::Right(_) => return,
                }
            }
            None => {
                if within(&clock, pause, stopped.recv()).await.is_some() {
                    return;
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
                let queues: Vec<_> = lanes.iter().map(|lane| lane.queue().to_owned()).collect();
                let (listening, stopped) = (pin!(broker.listen(&queues)), pin!(stopped.recv()));
                let listening = match select(listening, stopped).await {
                    Either::Left((listening, _)) => listening,
                    Either::Right(_) => return,
                };
                match listening {
                    Ok(again) => {
                        info!("the worker listens again");
                        listener = Some(again);
                        Ok(Notification::Reconnected)
                    }
                    Err(error) => Err(error),
                }
            }
        };
        match next {
            Ok(notification) => {
                if wake(&lanes, &notification) {
                    pause = Duration::from_secs(1);
                }
            }
            Err(error) => {
                warn!("the worker cannot listen, and looks for messages from time to time: {error}");
                listener = None;
                kick(&lanes);
            }
        }
    }
}

/// Wakes the lanes that a notification concerns. Returns `true` if it is about messages, so that the listener
/// works.
pub(crate) fn wake(lanes: &[Arc<Lane>], notification: &Notification) -> bool {
    if let Notification::Inserted { queue, .. } = notification {
        // A notification has the folded name, as the lane.
        for lane in lanes.iter().filter(|lane| lane.queue() == queue) {
            lane.tell(Event::Woken(Wake::Notified));
        }
        return true;
    }
    for lane in lanes {
        lane.tell(Event::Woken(Wake::Reconnected));
    }
    false
}

/// Lets all lanes look, after the listener was lost.
pub(crate) fn kick(lanes: &[Arc<Lane>]) {
    for lane in lanes {
        lane.tell(Event::Woken(Wake::Kicked));
    }
}
