//! The watches of a lane.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_channel::{Receiver, Sender, unbounded};
use pgmq_core::Claim;

use crate::dead_letter::Burial;
use crate::machine::command::{Notice, Settlement};
use crate::verdict::Kept;
use crate::watch::{Happened, MessageEvent};

/// The watches of a lane. Without one, an event costs a look at a flag.
#[derive(Default)]
pub(crate) struct Watchers {
    are_there: AtomicBool,
    senders: Mutex<Vec<Sender<MessageEvent>>>,
}

impl Watchers {
    /// Returns `true` if there is a watch.
    pub(crate) fn are_there(&self) -> bool {
        self.are_there.load(Ordering::Acquire)
    }

    /// Adds a watch.
    pub(crate) fn add(&self) -> Receiver<MessageEvent> {
        let (sender, receiver) = unbounded();
        self.lock().push(sender);
        self.are_there.store(true, Ordering::Release);
        receiver
    }

    /// Ends all watches.
    pub(crate) fn close(&self) {
        let mut senders = self.lock();
        senders.clear();
        self.are_there.store(false, Ordering::Release);
    }

    /// Sends an event to all watches.
    pub(crate) fn tell(&self, event: &MessageEvent) {
        if !self.are_there() {
            return;
        }
        let mut senders = self.lock();
        senders.retain(|sender| sender.try_send(event.clone()).is_ok());
        self.are_there.store(!senders.is_empty(), Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Sender<MessageEvent>>> {
        self.senders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The events of a settlement, of which the server has found the messages `hit`.
pub(crate) fn events_of<'k>(
    queue: &Arc<str>,
    what: &Settlement,
    hit: &[i64],
    kept: impl Fn(Claim) -> Option<&'k Kept>,
) -> Vec<MessageEvent> {
    let mut events = Vec::with_capacity(hit.len());
    let hit: HashSet<_> = hit.iter().collect();
    let mut add = |claim: Claim, happened: Happened| {
        if hit.contains(&claim.msg_id) {
            events.push(MessageEvent::of(queue, claim, happened));
        }
    };
    match what {
        Settlement::Delete(claims) => claims.iter().for_each(|claim| add(*claim, Happened::Deleted)),
        Settlement::Archive(claims) => claims.iter().for_each(|claim| add(*claim, Happened::Archived)),
        Settlement::Hold(holds) => {
            for (claim, after) in holds {
                add(*claim, held(kept(*claim), *after));
            }
        }
        Settlement::Resend { claims, after } => {
            claims.iter().for_each(|claim| add(*claim, Happened::Snoozed { after: *after }));
        }
        Settlement::Bury(claims) => {
            for claim in claims {
                let burial = match kept(*claim) {
                    Some(Kept::Burial(burial)) => burial.clone(),
                    _ => Burial::never_finished(claim.read_ct),
                };
                add(*claim, Happened::DeadLettered { reason: burial.reason, error: burial.error });
            }
        }
        Settlement::Forward(claim) => {
            let to = match kept(*claim) {
                Some(Kept::Forward { to, .. }) => to.clone(),
                _ => String::new(),
            };
            add(*claim, Happened::Forwarded { to });
        }
    }
    events
}

/// The event of a notice of the machine, if it is about a message that has no other event for it.
pub(crate) fn event_of(queue: &Arc<str>, notice: Notice) -> Option<MessageEvent> {
    let (claim, happened) = match notice {
        Notice::Lost(claim) => (claim, Happened::Lost),
        Notice::AlreadyGone(claim) => (claim, Happened::AlreadyGone),
        Notice::Stuck(claim) => (claim, Happened::Stuck),
        Notice::NotSettled(claim) => (claim, Happened::NotSettled),
        Notice::Exhausted(_) | Notice::Refused | Notice::Recovered => return None,
    };
    Some(MessageEvent::of(queue, claim, happened))
}

/// A message that is held after a failure has the reason of a dead letter, which it may become.
fn held(kept: Option<&Kept>, after: Duration) -> Happened {
    match kept {
        Some(Kept::Burial(burial)) => Happened::Retried { after, error: burial.error.clone() },
        _ => Happened::Snoozed { after },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Reason;

    fn claim(id: i64) -> Claim {
        Claim::new(id, 1)
    }

    fn happened(events: impl IntoIterator<Item = MessageEvent>) -> Vec<(i64, Happened)> {
        events.into_iter().map(|event| (event.msg_id, event.happened)).collect()
    }

    #[test]
    fn a_watch_that_is_dropped_is_forgotten() {
        let (watchers, queue) = (Watchers::default(), "q".into());
        assert!(!watchers.are_there());
        let deleted = MessageEvent::of(&queue, claim(1), Happened::Deleted);
        let (first, second) = (watchers.add(), watchers.add());
        drop(first);
        watchers.tell(&deleted);
        assert!(watchers.are_there());
        assert_eq!(second.try_recv(), Ok(deleted.clone()));
        drop(second);
        watchers.tell(&deleted);
        assert!(!watchers.are_there());
    }

    #[test]
    fn only_messages_that_the_server_has_found_have_an_event() {
        let queue = "q".into();
        let burial = Kept::Burial(Burial { reason: Reason::Timeout, error: "slow".to_owned() });
        let kept = |claim: Claim| (claim.msg_id == 1).then_some(&burial);
        let after = Duration::from_secs(5);
        let hold = Settlement::Hold(vec![(claim(1), after), (claim(2), after), (claim(3), after)]);
        let error = "slow".to_owned();
        let retried = Happened::Retried { after, error: error.clone() };
        let held = events_of(&queue, &hold, &[1, 2], kept);
        assert_eq!(happened(held), [(1, retried), (2, Happened::Snoozed { after })]);
        let bury = Settlement::Bury(vec![claim(1), claim(2)]);
        let dead = Happened::DeadLettered { reason: Reason::Timeout, error };
        assert_eq!(happened(events_of(&queue, &bury, &[1], kept)), [(1, dead)]);
        assert_eq!(events_of(&queue, &Settlement::Delete(vec![claim(4)]), &[], kept), []);
        assert_eq!(happened(event_of(&queue, Notice::AlreadyGone(claim(4)))), [(4, Happened::AlreadyGone)]);
        assert_eq!(event_of(&queue, Notice::Refused), None);
    }
}
