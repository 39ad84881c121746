//! Telling the server what has become of messages: batches that form while earlier ones are in flight.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use pgmq_core::Claim;

use crate::machine::command::{BatchId, Notice, Settle, Settlement};
use crate::machine::event::Fault;
use crate::machine::flight::Flight;
use crate::machine::message::{Fate, Kind, State, Upkeep};
use crate::machine::store::Key;
use crate::machine::time::{after, backoff, earlier};

/// The number of settlements in flight at most.
const PLACES: usize = 2;
/// The time after which a settlement in flight no longer keeps back a small one of the same kind.
const PATIENCE: Duration = Duration::from_millis(25);
/// The wait after a first failure.
const FIRST_WAIT: Duration = Duration::from_millis(50);
/// The longest wait after a failure.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// The messages that wait for their settlement, and the settlements in flight.
#[derive(Debug, Default)]
pub(super) struct Settling {
    /// The messages that wait, by kind; no queue is empty.
    queues: BTreeMap<Kind, VecDeque<Key>>,
    /// The kinds that have a queue, in the order of their turns, so that none of them waits forever.
    turns: VecDeque<Kind>,
    /// Halves of a batch that failed for a lasting reason. Each is settled by itself, to find the message
    /// that is at fault.
    halves: VecDeque<(Kind, Vec<Key>)>,
    /// The messages that wait after a failure.
    delayed: BTreeMap<Instant, Vec<Key>>,
    /// The messages to be hidden that wait for the answer to an `Extend`, which would undo the `Hold` if it
    /// came after it.
    after_extend: Vec<Key>,
    /// The settlements in flight.
    in_flight: Vec<Batch>,
}

/// A settlement in flight.
#[derive(Debug)]
struct Batch {
    /// Its number.
    id: BatchId,
    /// Its kind.
    kind: Kind,
    /// The time at which it was given.
    given: Instant,
    /// The messages.
    keys: Vec<Key>,
}

impl Settling {
    /// Sends a message off with this fate, at the next opportunity.
    pub(super) fn finish(&mut self, flight: &mut Flight, key: Key, fate: Fate) {
        flight.change(key, State::Done(fate));
        // The lease of a stuck handler was left, but what it has done is to be kept.
        if flight.store.get(key).is_some_and(|message| message.upkeep == Upkeep::Left) {
            flight.set_upkeep(key, Upkeep::Kept);
        }
        self.enqueue(fate.kind(), key);
    }

    /// Adds a message to the queue of its kind.
    fn enqueue(&mut self, kind: Kind, key: Key) {
        let turns = &mut self.turns;
        let queue = self.queues.entry(kind).or_insert_with(|| {
            turns.push_back(kind);
            VecDeque::new()
        });
        queue.push_back(key);
    }

    /// The next settlement, if there is room for one.
    pub(super) fn next(&mut self, flight: &mut Flight, now: Instant, stops: bool) -> Option<Settle> {
        while let Some((&at, _)) = self.delayed.first_key_value()
            && at <= now
        {
            for key in self.delayed.remove(&at).unwrap_or_default() {
                self.enqueue_again(flight, key);
            }
        }
        while self.in_flight.len() < PLACES {
            let (kind, keys) = match self.halves.pop_front() {
                Some((kind, keys)) => (kind, self.take(flight, kind, keys.into_iter(), usize::MAX)),
                None => self.next_batch(flight, now, stops)?,
            };
            let Some(what) = settlement(flight, kind, &keys).filter(|_| !keys.is_empty()) else { continue };
            let id = flight.batch();
            for &key in &keys {
                let Some(message) = flight.store.get(key) else { continue };
                if let State::Done(fate) = message.state {
                    flight.change(key, State::Settling(fate));
                }
                if kind == Kind::Hold {
                    flight.set_upkeep(key, Upkeep::Suspended);
                }
            }
            self.in_flight.push(Batch { id, kind, given: now, keys });
            return Some(Settle { batch: id, what });
        }
        None
    }

    /// A batch of the kind whose turn it is; when the machine stops, of the kind that matters most to others.
    fn next_batch(&mut self, flight: &Flight, now: Instant, stops: bool) -> Option<(Kind, Vec<Key>)> {
        let may_go = |kind: &Kind| self.kind_at(flight, *kind, stops).is_none_or(|at| at <= now);
        let kind = match stops {
            true => *self.queues.first_key_value()?.0,
            false => self.turns.iter().copied().find(may_go)?,
        };
        let most = if kind == Kind::Forward { 1 } else { flight.config.max_settle.max(1) };
        let mut queue = self.queues.remove(&kind).unwrap_or_default();
        let keys = self.take(flight, kind, std::iter::from_fn(|| queue.pop_front()), most);
        self.turns.retain(|&other| other != kind);
        if !queue.is_empty() {
            self.turns.push_back(kind);
            self.queues.insert(kind, queue);
        }
        Some((kind, keys))
    }

    /// The time from which the messages of a kind may be settled; `None` if that is now.
    ///
    /// A statement costs the server about as much as a dozen of its messages, so messages of a kind that is
    /// in flight wait for the answer, unless there are many of them, or the answer takes long.
    fn kind_at(&self, flight: &Flight, kind: Kind, stops: bool) -> Option<Instant> {
        let alike = self.in_flight.iter().find(|batch| batch.kind == kind)?;
        let waiting = self.queues.get(&kind).map_or(0, VecDeque::len);
        let is_worth_it = stops || kind == Kind::Forward || waiting >= flight.config.max_claim;
        (!is_worth_it).then(|| after(alike.given, PATIENCE))
    }

    /// Takes up to `most` messages that are still to be settled.
    fn take(
        &mut self,
        flight: &Flight,
        kind: Kind,
        keys: impl Iterator<Item = Key>,
        most: usize,
    ) -> Vec<Key> {
        let mut taken = Vec::new();
        for key in keys {
            let Some(message) = flight.store.get(key) else { continue };
            if kind == Kind::Hold && message.is_extending {
                self.after_extend.push(key);
                continue;
            }
            taken.push(key);
            if taken.len() == most {
                break;
            }
        }
        taken
    }

    /// Goes on with the messages that waited for the answer to an `Extend`.
    pub(super) fn extend_is_over(&mut self, flight: &Flight) {
        for key in std::mem::take(&mut self.after_extend) {
            self.enqueue_again(flight, key);
        }
    }

    /// Adds a message once more, if it is still there.
    fn enqueue_again(&mut self, flight: &Flight, key: Key) {
        if let Some(message) = flight.store.get(key)
            && let State::Done(fate) = message.state
        {
            self.enqueue(fate.kind(), key);
        }
    }

    /// Ends the messages of a batch. Returns the shortest time for which the batch has hidden a message.
    pub(super) fn settled(&mut self, flight: &mut Flight, id: BatchId, hit: &[i64]) -> Option<Duration> {
        let batch = self.remove(id)?;
        let hits: Option<HashSet<i64>> =
            (hit.len() != batch.keys.len()).then(|| hit.iter().copied().collect());
        let mut hidden_for = None;
        for key in batch.keys {
            let Some(message) = flight.store.get(key) else { continue };
            let (claim, state) = (message.claim, message.state);
            flight.remove(key);
            let State::Settling(fate) = state else { continue };
            if hits.as_ref().is_none_or(|hits| hits.contains(&claim.msg_id)) {
                if let Fate::Hold(time) | Fate::Resend(time) = fate {
                    hidden_for = Some(hidden_for.map_or(time, |shortest: Duration| shortest.min(time)));
                }
            } else {
                flight.tell(if fate.finishes() { Notice::AlreadyGone(claim) } else { Notice::Lost(claim) });
            }
        }
        hidden_for
    }

    /// Keeps the messages of a batch that failed, for another attempt. A batch that can never succeed is cut
    /// in halves, down to the message that is at fault.
    pub(super) fn failed(&mut self, flight: &mut Flight, id: BatchId, fault: Fault, now: Instant) {
        let Some(batch) = self.remove(id) else { return };
        let single = batch.keys.len() == 1;
        let mut again = Vec::new();
        for key in batch.keys {
            let Some(message) = flight.store.get_mut(key) else { continue };
            let State::Settling(fate) = message.state else { continue };
            message.failures = message.failures.saturating_add(1);
            let (claim, expires, failures) = (message.claim, message.expires, message.failures);
            let is_void = message.is_void;
            let is_superseded = is_superseded(flight, key, claim, fate);
            if message_is_over(flight, key, now) && (!fate.finishes() || is_void) {
                flight.tell(Notice::Lost(claim));
                flight.drop_message(key);
            } else if is_superseded {
                flight.drop_message(key);
            } else if fault == Fault::Lasting && single {
                flight.tell(Notice::NotSettled(claim));
                flight.drop_message(key);
            } else {
                flight.change(key, State::Done(fate));
                if flight.store.get(key).is_some_and(|message| message.upkeep == Upkeep::Suspended) {
                    flight.set_lease(key, Upkeep::Kept, expires);
                }
                match fault {
                    Fault::Lasting => again.push(key),
                    Fault::Transient => {
                        let wait = backoff(FIRST_WAIT, failures, LONGEST_WAIT);
                        self.delayed.entry(after(now, wait)).or_default().push(key);
                    }
                }
            }
        }
        if !again.is_empty() {
            let second = again.split_off(again.len().div_ceil(2));
            let halves = [again, second].into_iter().filter(|half| !half.is_empty());
            self.halves.extend(halves.map(|half| (batch.kind, half)));
        }
    }

    /// Removes a settlement that was answered.
    fn remove(&mut self, id: BatchId) -> Option<Batch> {
        let at = self.in_flight.iter().position(|batch| batch.id == id)?;
        Some(self.in_flight.swap_remove(at))
    }

    /// The time of the next settlement, which is `now` or earlier if it is due; `None` if there is none
    /// before the next event.
    pub(super) fn next_at(&self, flight: &Flight, now: Instant, stops: bool) -> Option<Instant> {
        if self.in_flight.len() == PLACES {
            return None;
        }
        if !self.halves.is_empty() {
            return Some(now);
        }
        let delayed = self.delayed.first_key_value().map(|(&at, _)| at);
        let queued = self.turns.iter().map(|&kind| self.kind_at(flight, kind, stops).unwrap_or(now)).min();
        earlier(delayed, queued)
    }
}

/// Returns `true` if the lease of a message is over.
fn message_is_over(flight: &Flight, key: Key, now: Instant) -> bool {
    flight.store.get(key).is_none_or(|message| message.is_lost() || message.expires <= now)
}

/// Returns `true` if this worker has read the message once more, and the later claim makes this settlement
/// needless: only a message that is finished is finished for all claims, and once is enough.
fn is_superseded(flight: &Flight, key: Key, claim: Claim, fate: Fate) -> bool {
    let mut later = flight.store.of_id(claim.msg_id).take_while(|&other| other != key);
    later.any(|other| {
        !fate.finishes()
            || flight.store.get(other).is_some_and(|message| match message.state {
                State::Done(fate) | State::Settling(fate) => fate.finishes(),
                State::Ready | State::Running(_) => false,
            })
    })
}

/// The statement for messages of one kind; `None` without messages.
fn settlement(flight: &Flight, kind: Kind, keys: &[Key]) -> Option<Settlement> {
    let messages = || keys.iter().filter_map(|&key| flight.store.get(key));
    let claims = || -> Vec<Claim> { messages().map(|message| message.claim).collect() };
    Some(match kind {
        Kind::Delete => Settlement::Delete(claims()),
        Kind::Archive => Settlement::Archive(claims()),
        Kind::Bury => Settlement::Bury(claims()),
        Kind::Resend(after) => Settlement::Resend { claims: claims(), after },
        Kind::Forward => Settlement::Forward(*claims().first()?),
        Kind::Hold => {
            let each = messages().map(|message| match message.state {
                State::Done(Fate::Hold(time)) => (message.claim, time),
                _ => (message.claim, Duration::ZERO),
            });
            Settlement::Hold(each.collect())
        }
    })
}
