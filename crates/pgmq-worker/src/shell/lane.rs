//! One queue of a worker: the machine, the messages that it knows by their claims alone, and the channels to
//! the tasks that do what it asks for. In the sync shell, each of the tasks is a thread.
//!
//! No task drives the machine. A task that has an event locks the lane, passes the event to the machine, and
//! passes the commands that come out on to the tasks that they concern.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::AbortHandle;
use log::{error, info, warn};
use pgmq_core::{Claim, Message, RawJson};

use crate::machine::Machine;
use crate::machine::command::{Command, Notice, Unfinished};
use crate::machine::config::Config;
use crate::machine::event::{Event, Fault};
use crate::machine::snapshot::Snapshot;
use crate::meta::{Meta, Source};
use crate::queue::Queue;
use crate::shell::channels::Channels;
use crate::shell::ending::Ending;
use crate::shell::held::HeldMessages;
use crate::shell::requests::{Beat, Look, Settling, Work};

/// The parts of a lane that do not change.
pub(crate) struct Parts {
    pub(crate) source: Arc<Source>,
    pub(crate) settings: Queue,
    pub(crate) slots: Box<dyn Slots>,
}

/// The slots of a lane, in which its handlers run: tasks or threads.
pub(crate) trait Slots: Send + Sync {
    /// Makes a slot, which runs one handler after the other. Returns `false` if that is not possible.
    fn add(&self, lane: &Arc<Lane>) -> bool;

    /// Returns `true` if a handler that was aborted ends, and its slot says so.
    fn can_abort(&self) -> bool;
}

/// One queue of a worker.
pub(crate) struct Lane {
    pub(crate) parts: Parts,
    pub(crate) channels: Channels,
    inner: Mutex<Inner>,
}

struct Inner {
    machine: Machine,
    held: HeldMessages,
    concurrency: usize,
    /// The number of slots, and of those that have work.
    slots: usize,
    busy: usize,
    /// The time at which the timer will look.
    armed: Option<Instant>,
    unfinished: Option<Unfinished>,
}

impl Lane {
    pub(crate) fn new(parts: Parts, config: Config, seed: u64) -> Self {
        let concurrency = config.concurrency;
        let inner = Inner {
            machine: Machine::new(config, Instant::now(), seed),
            held: HeldMessages::default(),
            concurrency,
            slots: 0,
            busy: 0,
            armed: None,
            unfinished: None,
        };
        Self { parts, channels: Channels::new(), inner: Mutex::new(inner) }
    }

    /// The name of the queue.
    pub(crate) fn queue(&self) -> &str {
        &self.parts.source.queue
    }

    /// Passes an event to the machine, and its commands on to the tasks.
    pub(crate) fn tell(self: &Arc<Self>, event: Event) {
        let mut inner = self.lock();
        let now = Instant::now();
        inner.machine.on(now, event);
        self.pump(&mut inner, now);
    }

    /// Lets the machine look at the clock. Returns the time of the next look.
    pub(crate) fn tick(self: &Arc<Self>) -> Option<Instant> {
        let mut inner = self.lock();
        self.pump(&mut inner, Instant::now());
        let wake_at = inner.machine.wake_at();
        inner.armed = wake_at;
        wake_at
    }

    /// Passes messages that were read to the machine.
    pub(crate) fn claimed(self: &Arc<Self>, messages: Vec<Message<RawJson>>, asked: Instant, vt: Duration) {
        let mut inner = self.lock();
        let now = Instant::now();
        if inner.unfinished.is_some() {
            // The answer came after the end. The leases of the messages run out.
            return;
        }
        let expires = asked.checked_add(vt).unwrap_or(now);
        let mut claims = Vec::with_capacity(messages.len());
        for message in messages {
            claims.push(message.claim());
            inner.held.insert(Arc::new(Meta::new(Arc::clone(&self.parts.source), message, expires)));
        }
        inner.machine.on(now, Event::Claimed(claims));
        self.pump(&mut inner, now);
    }

    /// Passes verdicts to the machine, and keeps what their settlements need. The slot is free again.
    pub(crate) fn returned(self: &Arc<Self>, endings: Vec<Ending>) {
        let mut inner = self.lock();
        let now = Instant::now();
        inner.busy = inner.busy.saturating_sub(1);
        for (claim, kept, event) in endings {
            if let Some(held) = inner.held.get_mut(claim) {
                held.kept = kept;
                held.abort = None;
            }
            inner.machine.on(now, event);
        }
        self.pump(&mut inner, now);
    }

    /// Passes the answer to a settlement to the machine.
    pub(crate) fn settled(self: &Arc<Self>, settling: &Settling, answer: Result<Vec<i64>, Fault>) {
        let mut inner = self.lock();
        let now = Instant::now();
        let batch = settling.batch;
        match answer {
            Ok(hit) => {
                for claim in &settling.claims {
                    inner.held.remove(*claim);
                }
                inner.machine.on(now, Event::Settled { batch, hit });
            }
            Err(fault) => inner.machine.on(now, Event::SettleFailed { batch, fault }),
        }
        self.pump(&mut inner, now);
    }

    /// Passes the answer to an extension to the machine, and the new leases to the jobs.
    pub(crate) fn extended(self: &Arc<Self>, beat: &Beat, answer: Option<Vec<i64>>) {
        let mut inner = self.lock();
        let now = Instant::now();
        let event = match answer {
            Some(mut alive) => {
                let expires = beat.asked.checked_add(beat.vt).unwrap_or(now);
                // The ids are in their order.
                for claim in beat.claims.iter().filter(|claim| alive.binary_search(&claim.msg_id).is_ok()) {
                    if let Some(held) = inner.held.get_mut(*claim) {
                        held.job.set_expires(expires);
                    }
                }
                alive.extend_from_slice(&beat.finishing);
                Event::Extended { batch: beat.batch, alive }
            }
            None => Event::ExtendFailed { batch: beat.batch },
        };
        inner.machine.on(now, event);
        self.pump(&mut inner, now);
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        self.lock().machine.snapshot()
    }

    /// The messages that the stop has left, once the lane has stopped.
    pub(crate) fn unfinished(&self) -> Option<Unfinished> {
        self.lock().unfinished.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passes on all commands. The channels have no bound, so nothing waits under the lock.
    fn pump(self: &Arc<Self>, inner: &mut Inner, now: Instant) {
        while let Some(command) = inner.machine.poll(now) {
            self.pass_on(inner, command, now);
        }
        let wake_at = inner.machine.wake_at();
        if let Some(at) = wake_at
            && inner.armed.is_none_or(|armed| at < armed)
        {
            inner.armed = wake_at;
            let _ = self.channels.rearm.0.try_send(());
        }
    }

    fn pass_on(self: &Arc<Self>, inner: &mut Inner, command: Command, now: Instant) {
        match command {
            Command::Claim { qty, vt } => {
                let _ = self.channels.looks.0.try_send(Look::Claim { qty, vt, asked: now });
            }
            Command::LookDue => {
                let _ = self.channels.looks.0.try_send(Look::Due);
            }
            Command::Start(claims) => self.start(inner, &claims),
            Command::Cancel { claim, why } => {
                if let Some(held) = inner.held.get_mut(claim) {
                    held.job.cancel(why);
                }
            }
            Command::Drop(claim) => inner.held.remove(claim),
            Command::Abandon(claim) => {
                let abort = inner.held.get(claim).and_then(|held| held.abort.as_ref());
                // The slot answers once the handler is dropped. One that is a thread may never answer.
                let answers = abort.is_some() && self.parts.slots.can_abort();
                if let Some(abort) = abort {
                    abort.abort();
                }
                if !answers {
                    inner.machine.on(now, Event::Abandoned { claim, is_stopped: false });
                }
            }
            Command::Settle { batch, what } => {
                let Source { dead_letter_queue, queue, .. } = &*self.parts.source;
                let change = inner.held.change(&what, dead_letter_queue, queue);
                let claims = inner.held.claims_of(&what);
                let _ = self.channels.changes.0.try_send(Settling { batch, claims, change });
            }
            Command::Extend { batch, claims, vt } => {
                let is_finishing =
                    |claim: &Claim| inner.held.get(*claim).is_some_and(|held| held.job.is_finishing(vt));
                let (finishing, claims): (Vec<_>, Vec<_>) = claims.into_iter().partition(is_finishing);
                let finishing: Vec<_> = finishing.into_iter().map(|claim| claim.msg_id).collect();
                if claims.is_empty() {
                    inner.machine.on(now, Event::Extended { batch, alive: finishing });
                } else {
                    let _ = self.channels.beats.0.try_send(Beat { batch, claims, finishing, vt, asked: now });
                }
            }
            Command::Tell(notice) => self.notice(inner, notice),
            Command::Stopped(unfinished) => {
                inner.unfinished = Some(unfinished);
                inner.held.clear();
                self.channels.close();
            }
        }
    }

    /// Passes messages to a slot, and makes one if all are busy.
    fn start(self: &Arc<Self>, inner: &mut Inner, claims: &[Claim]) {
        let (handle, abort) = AbortHandle::new_pair();
        let mut jobs = Vec::with_capacity(claims.len());
        for claim in claims {
            if let Some(held) = inner.held.get_mut(*claim) {
                held.abort = Some(handle.clone());
                jobs.push(Arc::clone(&held.job));
            }
        }
        inner.busy += 1;
        if inner.busy > inner.slots && inner.slots < inner.concurrency {
            match self.parts.slots.add(self) {
                true => inner.slots += 1,
                false => error!("queue {}: there is no thread for another handler", self.queue()),
            }
        }
        let _ = self.channels.work.0.try_send(Work { jobs, abort });
    }

    fn notice(&self, inner: &mut Inner, notice: Notice) {
        let queue = self.queue();
        match notice {
            Notice::Exhausted(claim) => {
                inner.held.exhaust(claim);
                warn!(
                    "queue {queue}: message {} is moved to {} after {} reads",
                    claim.msg_id, self.parts.source.dead_letter_queue, claim.read_ct
                );
            }
            Notice::Lost(claim) => {
                warn!("queue {queue}: the lease of message {} is lost", claim.msg_id);
            }
            Notice::AlreadyGone(claim) => {
                info!("queue {queue}: message {} was already gone", claim.msg_id);
            }
            Notice::Stuck(claim) => {
                error!("queue {queue}: the handler of message {} does not end", claim.msg_id);
            }
            Notice::NotSettled(claim) => {
                error!("queue {queue}: message {} is not settled, and comes again", claim.msg_id);
            }
            Notice::Refused => error!("queue {queue}: the server refuses to read; the worker tries again"),
            Notice::Recovered => info!("queue {queue}: the server reads again"),
        }
    }
}
