//! Taking in claimed messages.
//!
//! An id may still be known from an earlier claim: its lease ran out, and this worker has read it again. Two
//! handlers never run for one id in one worker, so such a message is hidden for a while. If the earlier
//! handler succeeds meanwhile, it deletes the message for both.

use std::time::{Duration, Instant};

use pgmq_core::Claim;

use crate::machine::command::{ClaimId, Command, Notice};
use crate::machine::config::Config;
use crate::machine::flight::Flight;
use crate::machine::message::{Fate, Message, State, Upkeep};
use crate::machine::settling::Settling;
use crate::machine::slots::Slots;
use crate::machine::store::Key;
use crate::machine::time::after;

/// A claim that was answered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answer {
    /// The number of the claim.
    pub(super) id: ClaimId,
    /// The time at which the claim was given, from which its leases are counted.
    pub(super) asked: Instant,
}

impl Answer {
    /// Returns `true` if the answer took longer than the leases of its messages.
    pub(super) fn is_late(self, config: &Config, now: Instant) -> bool {
        after(self.asked, config.vt) <= now
    }
}

/// The trace that earlier claims of the same id have left.
#[derive(Debug, Default)]
struct Earlier {
    /// A handler still runs; `true` if it is stuck.
    runs: Option<bool>,
    /// A handler has finished the message so.
    finished: Option<Fate>,
}

/// Takes in a message, which may start if the phase allows. Returns `false` if the message is ignored.
pub(super) fn arrive(
    flight: &mut Flight,
    slots: &mut Slots,
    settling: &mut Settling,
    claim: Claim,
    answer: Answer,
    starts: bool,
    now: Instant,
) -> bool {
    if let Some(key) = flight.store.find(claim) {
        meet(flight, key, answer, now);
        return false;
    }
    // The shell is about to forget the name.
    if flight.is_to_be_dropped(claim) {
        return false;
    }
    let earlier = supersede(flight, claim, now);
    let is_suspect = claim.read_ct > flight.config.suspect_after;
    let key = flight.add(Message {
        claim,
        brought_by: answer.id,
        arrived: now,
        expires: after(answer.asked, flight.config.vt),
        upkeep: Upkeep::Kept,
        is_extending: false,
        is_suspect,
        is_void: false,
        failures: 0,
        state: State::Ready,
    });
    if let Some(fate) = earlier.finished {
        settling.finish(flight, key, fate);
    } else if !starts {
        settling.finish(flight, key, Fate::Hold(Duration::ZERO));
    } else if let Some(is_stuck) = earlier.runs {
        // Also at the limit of reads: the handler may still finish the message.
        let vt = flight.config.vt;
        // A cancelled handler ends soon. One that is stuck may never end; look at it once per lease.
        let wait = if is_stuck { vt } else { flight.config.grace.clamp(Duration::from_secs(1), vt) };
        settling.finish(flight, key, Fate::Hold(wait));
    } else if claim.read_ct > flight.config.max_reads {
        flight.tell(Notice::Exhausted(claim));
        settling.finish(flight, key, Fate::Bury);
    } else {
        slots.push(key, is_suspect);
    }
    true
}

/// Leaves a message to other consumers, since its lease is over.
pub(super) fn refuse(flight: &mut Flight, claim: Claim, answer: Answer, now: Instant) {
    match flight.store.find(claim) {
        Some(key) => meet(flight, key, answer, now),
        None if flight.is_to_be_dropped(claim) => {}
        None => flight.give(Command::Drop(claim)),
    }
}

/// Takes note that a claim that is known was brought again.
///
/// Numbers of reads only grow, so the queue was recreated or restored, and the id names another message now.
/// The later claim cannot be told from the earlier, so neither is touched, and the lease runs out.
fn meet(flight: &mut Flight, key: Key, answer: Answer, now: Instant) {
    if flight.store.get(key).is_some_and(|message| message.brought_by != answer.id) {
        void(flight, key, now);
    }
}

/// Ends the earlier claims of an id, all of which are void now.
fn supersede(flight: &mut Flight, claim: Claim, now: Instant) -> Earlier {
    let mut earlier = Earlier::default();
    let mut keys = flight.store.of_id(claim.msg_id);
    let Some(first) = keys.next() else { return earlier };
    let keys: Vec<Key> = [first].into_iter().chain(keys).collect();
    for key in keys {
        let Some(message) = flight.store.get(key) else { continue };
        let old = message.claim;
        if claim.read_ct < old.read_ct {
            void(flight, key, now);
        } else {
            match message.state {
                State::Done(fate) if fate.finishes() && !message.is_void => {
                    earlier.finished = Some(fate);
                    flight.drop_message(key);
                }
                State::Ready | State::Running(_) | State::Done(_) => flight.lose(key, now),
                State::Settling(fate) => {
                    if fate.finishes() && !message.is_void {
                        earlier.finished = Some(fate);
                    }
                    flight.set_upkeep(key, Upkeep::Lost);
                }
            }
        }
        if let Some(run) = flight.store.get(key).and_then(Message::run) {
            earlier.runs = Some(earlier.runs.unwrap_or(true) && run.is_stuck);
        }
    }
    earlier
}

/// Ends a message whose id names another message, or none, now.
pub(super) fn void(flight: &mut Flight, key: Key, now: Instant) {
    if let Some(message) = flight.store.get_mut(key) {
        message.is_void = true;
    }
    flight.lose(key, now);
}
