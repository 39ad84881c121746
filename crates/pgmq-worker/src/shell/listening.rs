//! The listener of a worker, which wakes its lanes.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_channel::Receiver;
use futures_util::future::{Either, select};
use log::{info, warn};
use pgmq_core::Notification;

use crate::chain::Chain;
use crate::shell::broker::{Broker, Listener};
use crate::shell::clock::Clock;
use crate::shell::fault::DatabaseError;
use crate::shell::limit::Timer;
use crate::shell::notifying::{Notifying, Step, list};

/// The longest pause between two attempts to listen.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The limit of a review, during which no notification is received.
const LIMIT: Duration = Duration::from_secs(10);

/// Wakes the lanes when messages are sent to their queues, until the receiver is closed.
pub(crate) async fn listen(
    broker: Arc<dyn Broker>,
    mut notifying: Notifying,
    listener: Option<Box<dyn Listener>>,
    clock: Clock,
    stopped: Receiver<()>,
) {
    let listening = pin!(listen_always(&*broker, &mut notifying, listener, &clock));
    select(listening, pin!(stopped.recv())).await;
}

async fn listen_always(
    broker: &dyn Broker,
    notifying: &mut Notifying,
    mut listener: Option<Box<dyn Listener>>,
    clock: &Clock,
) {
    let mut timer = Timer::new(clock);
    let mut pause = Duration::from_secs(1);
    loop {
        if listener.is_some() && notifying.begins_review(clock.now()) {
            // Without an answer, there will not be one soon: the timeout of the call counts as a failure.
            match timer.within(LIMIT, review(broker, notifying)).await {
                Some(result) => notifying.reviewed(result, clock.now()),
                None => notifying.has_no_answer(clock.now()),
            }
        }
        let next = match &mut listener {
            Some(listener) => {
                let next = pin!(listener.next());
                match notifying.review_at() {
                    None => next.await,
                    Some(at) => match select(next, pin!(timer.until(at))).await {
                        Either::Left((next, _)) => next,
                        Either::Right(_) => continue,
                    },
                }
            }
            None => {
                let at = clock.now().checked_add(pause);
                timer.until(at.unwrap_or_else(|| clock.now())).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
                broker.listen(&notifying.names()).await.map(|again| {
                    info!("the worker listens again");
                    listener = Some(again);
                    Notification::Reconnected
                })
            }
        };
        match next {
            Ok(notification) => {
                if notifying.wake(&notification, clock.now()) {
                    pause = Duration::from_secs(1);
                }
            }
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
pub(crate) async fn review(broker: &dyn Broker, notifying: &mut Notifying) -> Result<(), DatabaseError> {
    let throttles = list(broker.throttles().await)?;
    for queue in &mut notifying.queues {
        let mut step = queue.begin(throttles.as_ref());
        loop {
            step = match step {
                Step::Repair(throttle) => {
                    let answer = broker.repair_notify(queue.name(), throttle).await;
                    queue.repaired(answer, throttles.is_some())?
                }
                Step::Enable(throttle) => {
                    let answer = broker.enable_notify(queue.name(), throttle).await;
                    queue.enabled(answer)?
                }
                Step::Done => break,
            };
        }
    }
    Ok(())
}
