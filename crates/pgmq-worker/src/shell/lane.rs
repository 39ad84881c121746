//! One queue of a worker: the machine, the messages that it knows by their claims alone, and the channels
//! that wake the tasks which do what it asks for. In the sync shell, each of the tasks is a thread.
//!
//! No task drives the machine. A task that has an event locks the lane, passes the event to the machine, and
//! does what the commands say that come out, or wakes the tasks that they concern. These ask the lane for
//! what there is to do when they can do it, so a statement has all the messages that have come by then.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::AbortHandle;
use log::{error, info, warn};
use pgmq_core::{Claim, Message, RawJson};

use crate::machine::Machine;
use crate::machine::command::{ClaimId, Command, Extend, Line, Look, Notice, Settle, Settlement, Unfinished};
use crate::machine::config::Config;
use crate::machine::event::{Event, Fault, Verdict};
use crate::machine::snapshot::Snapshot;
use crate::meta::{Meta, Source};
use crate::observer::{Observing, WorkerEvent};
use crate::queue::Queue;
use crate::shell::channels::Channels;
use crate::shell::clock::Clock;
use crate::shell::ending::{Ending, released};
use crate::shell::fault::Failed;
use crate::shell::held::HeldMessages;
use crate::shell::requests::{Beat, Settling, Work};
use crate::shell::watchers::{Watchers, event_of, events_of};
use crate::watch::{Happened, MessageEvent};

/// The parts of a lane that do not change.
pub(crate) struct Parts {
    pub(crate) source: Arc<Source>,
    pub(crate) settings: Queue,
    pub(crate) slots: Box<dyn Slots>,
    pub(crate) observing: Observing,
}

/// The slots of a lane, in which its handlers run: tasks or threads.
pub(crate) trait Slots: Send + Sync {
    /// Makes a slot, which runs one handler after the other. Returns `false` if that is not possible.
    fn add(&self, lane: &Arc<Lane>) -> bool;

    /// Returns `true` if a handler that was aborted ends, and its slot says so.
    fn can_abort(&self) -> bool;
}

/// The time after which a slot that was woken does not count as coming any more.
const SLOW_WAKE: Duration = Duration::from_millis(2);

/// The next work of a slot.
pub(crate) struct Taken {
    /// The work; the slot waits to be woken if there is none.
    pub(crate) work: Option<Work>,
    /// `true` if other tasks were woken. A runtime may keep them on the thread of this one, and a handler
    /// that blocks the thread would keep them from running.
    pub(crate) has_woken: bool,
}

/// One queue of a worker.
pub(crate) struct Lane {
    pub(crate) parts: Parts,
    pub(crate) channels: Channels,
    pub(crate) watchers: Watchers,
    inner: Mutex<Inner>,
}

struct Inner {
    machine: Machine,
    held: HeldMessages,
    concurrency: usize,
    /// The messages that wait for a slot to take them.
    work: VecDeque<Work>,
    /// The number of slots, and of those that wait to be woken.
    slots: usize,
    idle: usize,
    /// The time at which a slot was woken that has not come yet. It wakes the next, so that slots which have
    /// quick handlers take all the work, without waking the others.
    waking: Option<Instant>,
    /// The number of slots that are still to be made.
    making: usize,
    /// The time at which the timer will look.
    armed: Option<Instant>,
    /// The notices that are still to be logged.
    notices: Vec<Notice>,
    /// The events that are still to be observed.
    events: Vec<MessageEvent>,
    unfinished: Option<Unfinished>,
}

impl Lane {
    pub(crate) fn new(parts: Parts, config: Config, seed: u64) -> Self {
        let concurrency = config.concurrency;
        let inner = Inner {
            machine: Machine::new(config, parts.source.clock.now(), seed),
            held: HeldMessages::default(),
            concurrency,
            work: VecDeque::new(),
            slots: 0,
            idle: 0,
            waking: None,
            making: 0,
            armed: None,
            notices: Vec::new(),
            events: Vec::new(),
            unfinished: None,
        };
        Self {
            parts,
            channels: Channels::new(concurrency),
            watchers: Watchers::default(),
            inner: Mutex::new(inner),
        }
    }

    /// The name of the queue.
    pub(crate) fn queue(&self) -> &str {
        &self.parts.source.queue
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.parts.source.clock
    }

    /// Passes an event to the machine.
    pub(crate) fn tell(self: &Arc<Self>, event: Event) {
        self.with(|inner, now| inner.machine.on(now, event));
    }

    /// Passes the failure of a look at the time of the next message to the machine.
    pub(crate) fn due_failed(self: &Arc<Self>, failed: &Failed) {
        self.observe_failure("due", failed);
        self.tell(Event::DueFailed(failed.fault()));
    }

    fn observe_failure(&self, call: &'static str, failed: &Failed) {
        // A call that a stop has cut short is no failure.
        if matches!(failed, Failed::Stopped) {
            return;
        }
        self.parts.observing.tell(WorkerEvent::CallFailed { queue: self.queue(), call, kind: failed.kind() });
    }

    /// Reports to the machine if a call that names no other queue has failed because the queue is not there.
    pub(crate) fn check(self: &Arc<Self>, failed: &Failed) {
        if failed.is_missing_queue() {
            self.tell(Event::QueueMissing);
        }
    }

    /// Lets the machine look at the clock. Returns the time of the next look.
    pub(crate) fn tick(self: &Arc<Self>) -> Option<Instant> {
        self.with(|inner, now| {
            self.pump(inner, now);
            let wake_at = inner.machine.wake_at(now);
            inner.armed = wake_at;
            wake_at
        })
    }

    /// The next look at the queue, and the time from which the leases of the messages count.
    pub(crate) fn next_look(self: &Arc<Self>) -> Option<(Look, Instant)> {
        self.with(|inner, now| {
            self.pump(inner, now);
            Some((inner.machine.look(now)?, now))
        })
    }

    /// Passes messages that were read to the machine.
    pub(crate) fn claimed(
        self: &Arc<Self>,
        id: ClaimId,
        messages: Vec<Message<RawJson>>,
        qty: usize,
        asked: Instant,
        vt: Duration,
    ) {
        // Outside of the lock, which the slots need.
        let expires = asked.checked_add(vt).unwrap_or(asked);
        let job = |message| Meta::new(Arc::clone(&self.parts.source), message, expires);
        let jobs: Vec<_> = messages.into_iter().map(|message| Arc::new(job(message))).collect();
        let claims = jobs.iter().map(|job| job.claim()).collect();
        let read = WorkerEvent::Read { queue: self.queue(), asked: qty, got: jobs.len() };
        self.parts.observing.tell(read);
        self.with(|inner, now| {
            // An answer after the end leaves the messages to their leases.
            if inner.unfinished.is_none() {
                inner.held.extend(jobs);
                inner.machine.on(now, Event::Claimed { id, got: claims });
            }
        });
    }

    /// Passes the failure of a claim to the machine.
    pub(crate) fn claim_failed(self: &Arc<Self>, id: ClaimId, failed: &Failed) {
        self.observe_failure("read", failed);
        self.check(failed);
        self.tell(Event::ClaimFailed { id, fault: failed.fault() });
    }

    /// The next settlement.
    pub(crate) fn next_settlement(self: &Arc<Self>) -> Option<Settling> {
        self.with(|inner, now| {
            self.pump(inner, now);
            let Settle { batch, what } = inner.machine.settlement(now)?;
            let held = inner.held.needed_by(&what);
            Some(Settling { batch, what, held })
        })
    }

    /// Passes the answer to a settlement to the machine.
    pub(crate) fn settled(self: &Arc<Self>, settling: &Settling, answer: Result<Vec<i64>, Failed>) {
        let batch = settling.batch;
        match &answer {
            Ok(hit) if self.parts.observing.is_on() => {
                let messages = settling.what.claims().len();
                let settled = WorkerEvent::Settled { queue: self.queue(), messages, found: hit.len() };
                self.parts.observing.tell(settled);
            }
            Ok(_) => {}
            Err(failed) => {
                self.observe_failure("settle", failed);
                if !settling.what.names_another_queue() {
                    self.check(failed);
                }
            }
        }
        // Dropped outside of the lock.
        let _gone = self.with(|inner, now| match answer {
            Ok(hit) => {
                if self.is_watched() {
                    let kept = |claim| inner.held.get(claim).map(|held| &held.kept);
                    let events = events_of(&self.parts.source.queue, &settling.what, &hit, kept);
                    self.watch(&mut inner.events, events);
                }
                let gone = inner.held.take(&settling.what.claims());
                inner.machine.on(now, Event::Settled { batch, hit });
                gone
            }
            Err(failed) => {
                let fault = match settling.what {
                    // The handler has chosen the other queue, so this is a fault of the message.
                    Settlement::Forward(_) if failed.is_of_queue() => Fault::Lasting,
                    _ => failed.fault_of_settlement(),
                };
                inner.machine.on(now, Event::SettleFailed { batch, fault });
                Vec::new()
            }
        });
    }

    /// The next extension of leases.
    pub(crate) fn next_beat(self: &Arc<Self>) -> Option<Beat> {
        self.with(|inner, now| {
            loop {
                self.pump(inner, now);
                let Extend { batch, claims, vt } = inner.machine.extension(now)?;
                let is_finishing =
                    |claim: &Claim| inner.held.get(*claim).is_some_and(|held| held.job.is_finishing(vt));
                let (finishing, claims): (Vec<_>, Vec<_>) = claims.into_iter().partition(is_finishing);
                let finishing: Vec<_> = finishing.into_iter().map(|claim| claim.msg_id).collect();
                if !claims.is_empty() {
                    let late = match self.parts.observing.is_on() {
                        true => inner.held.lateness(&claims, vt),
                        false => Duration::ZERO,
                    };
                    return Some(Beat { batch, claims, finishing, vt, asked: now, late });
                }
                inner.machine.on(now, Event::Extended { batch, alive: finishing });
            }
        })
    }

    /// Passes the answer to an extension to the machine, and the new leases to the jobs.
    pub(crate) fn extended(self: &Arc<Self>, beat: &Beat, answer: Result<Vec<i64>, Failed>) {
        match &answer {
            Ok(alive) => {
                let (leases, current) = (beat.claims.len(), alive.len());
                let extended =
                    WorkerEvent::Extended { queue: self.queue(), leases, current, late: beat.late };
                self.parts.observing.tell(extended);
            }
            Err(failed) => {
                self.observe_failure("extend", failed);
                self.check(failed);
            }
        }
        self.with(|inner, now| {
            let event = match answer {
                Ok(mut alive) => {
                    let expires = beat.asked.checked_add(beat.vt).unwrap_or(now);
                    // The ids are in their order.
                    for claim in beat.claims.iter().filter(|claim| alive.binary_search(&claim.msg_id).is_ok())
                    {
                        if let Some(held) = inner.held.get_mut(*claim) {
                            held.job.set_expires(expires);
                        }
                    }
                    alive.extend_from_slice(&beat.finishing);
                    Event::Extended { batch: beat.batch, alive }
                }
                Err(_) => Event::ExtendFailed { batch: beat.batch },
            };
            inner.machine.on(now, event);
        });
    }

    /// Observes that a handler begins. The time, if there is an observer.
    pub(crate) fn begin(&self, jobs: &[Arc<Meta>]) -> Option<Instant> {
        let begun = self.parts.observing.is_on().then(|| self.clock().now())?;
        for message in jobs {
            self.parts.observing.tell(WorkerEvent::Begun { message });
        }
        Some(begun)
    }

    /// Observes that a handler has ended.
    pub(crate) fn handled(&self, jobs: &[Arc<Meta>], begun: Option<Instant>) {
        let Some(begun) = begun else { return };
        let took = self.clock().now().saturating_duration_since(begun);
        for message in jobs {
            self.parts.observing.tell(WorkerEvent::Handled { message, took });
        }
    }

    /// The work of a slot that begins, or that was woken.
    pub(crate) fn woken(self: &Arc<Self>) -> Taken {
        let (work, has_woken) = self.with_wakes(|inner, now| {
            inner.waking = None;
            self.take_work(inner, now)
        });
        Taken { work, has_woken }
    }

    /// Passes verdicts to the machine, and keeps what their settlements need. Returns further work for the
    /// slot.
    pub(crate) fn returned(self: &Arc<Self>, endings: Vec<Ending>) -> Taken {
        let (work, has_woken) = self.with_wakes(|inner, now| {
            for (claim, kept, event) in endings {
                if self.is_watched() && matches!(event, Event::Returned { verdict: Verdict::Finished, .. }) {
                    let finished = MessageEvent::of(&self.parts.source.queue, claim, Happened::Finished);
                    self.watch(&mut inner.events, vec![finished]);
                }
                if let Some(held) = inner.held.get_mut(claim) {
                    held.kept = kept;
                    held.abort = None;
                }
                inner.machine.on(now, event);
            }
            self.take_work(inner, now)
        });
        Taken { work, has_woken }
    }

    /// Returns `true` if somebody looks at the events of messages.
    fn is_watched(&self) -> bool {
        self.watchers.are_there() || self.parts.observing.is_on()
    }

    /// Passes events to the watches, and keeps them for the observer, which is called outside of the lock.
    fn watch(&self, kept: &mut Vec<MessageEvent>, events: Vec<MessageEvent>) {
        for event in events {
            self.watchers.tell(&event);
            if self.parts.observing.is_on() {
                kept.push(event);
            }
        }
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

    /// Does something to the machine, and does what its commands say.
    fn with<R>(self: &Arc<Self>, act: impl FnOnce(&mut Inner, Instant) -> R) -> R {
        self.with_wakes(act).0
    }

    /// Does something to the machine, and does what its commands say. Also returns `true` if that has woken
    /// tasks. Logs, makes slots and calls the observer outside of the lock, since the logger, the user's
    /// spawner and the observer may block or call the lane.
    fn with_wakes<R>(self: &Arc<Self>, act: impl FnOnce(&mut Inner, Instant) -> R) -> (R, bool) {
        let mut inner = self.lock();
        let now = self.clock().now();
        let result = act(&mut inner, now);
        self.pump(&mut inner, now);
        let has_woken = self.wake(&mut inner, now);
        let notices = std::mem::take(&mut inner.notices);
        let events = std::mem::take(&mut inner.events);
        let making = std::mem::take(&mut inner.making);
        drop(inner);
        for notice in notices {
            self.log(notice);
        }
        for event in &events {
            self.parts.observing.tell(WorkerEvent::Message(event));
        }
        for _ in 0..making {
            self.make_slot();
        }
        (result, has_woken)
    }

    fn make_slot(self: &Arc<Self>) {
        if !self.parts.slots.add(self) {
            let mut inner = self.lock();
            inner.slots -= 1;
            inner.waking = None;
            drop(inner);
            error!("queue {}: there is no thread for another handler", self.queue());
        }
    }

    /// Does what the commands of the machine say.
    fn pump(&self, inner: &mut Inner, now: Instant) {
        while let Some(command) = inner.machine.poll(now) {
            match command {
                Command::Start(claims) => inner.start(&claims),
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
                Command::Tell(notice) => {
                    if let Notice::Exhausted(claim) = notice {
                        inner.held.exhaust(claim);
                    }
                    if self.is_watched()
                        && let Some(event) = event_of(&self.parts.source.queue, notice)
                    {
                        self.watch(&mut inner.events, vec![event]);
                    }
                    inner.notices.push(notice);
                }
                Command::Stopped(unfinished) => {
                    inner.unfinished = Some(unfinished);
                    inner.held.clear();
                    inner.work.clear();
                    self.channels.close();
                    self.watchers.close();
                }
            }
        }
    }

    /// Wakes the tasks for which there is something to do, and returns `true` if there are any. The channels
    /// are full if a task was woken already.
    fn wake(&self, inner: &mut Inner, now: Instant) -> bool {
        let mut has_woken = self.wake_slot(inner, now);
        for line in [Line::Looks, Line::Settlements, Line::Extensions] {
            if inner.machine.wants(line, now) {
                has_woken |= self.channels.of(line).0.try_send(()).is_ok();
            }
        }
        let wake_at = inner.machine.wake_at(now);
        if let Some(at) = wake_at
            && inner.armed.is_none_or(|armed| at < armed)
        {
            inner.armed = wake_at;
            has_woken |= self.channels.rearm.0.try_send(()).is_ok();
        }
        has_woken
    }

    /// Wakes a slot if there is work, or plans another one if all are busy.
    fn wake_slot(&self, inner: &mut Inner, now: Instant) -> bool {
        // A slot that does not come is kept from it, such as by a task that blocks the thread.
        let is_waking = inner.waking.is_some_and(|since| now.saturating_duration_since(since) < SLOW_WAKE);
        if inner.work.is_empty() || is_waking {
            return false;
        }
        if inner.idle > 0 {
            inner.idle -= 1;
            let _ = self.channels.starts.0.try_send(());
        } else if inner.slots < inner.concurrency {
            inner.slots += 1;
            inner.making += 1;
        } else {
            return false;
        }
        inner.waking = Some(now);
        true
    }

    /// The next work for a slot, which waits if there is none.
    ///
    /// Work whose messages were cancelled while it waited does not begin, nor does work after a pause or a
    /// stop: its messages are released.
    fn take_work(&self, inner: &mut Inner, now: Instant) -> Option<Work> {
        loop {
            self.pump(inner, now);
            let Some(work) = inner.work.pop_front() else {
                inner.idle += 1;
                return None;
            };
            let is_cancelled = work.jobs.iter().all(|job| job.cancel_reason().is_some());
            if inner.machine.may_begin() && !is_cancelled && !work.abort.handle().is_aborted() {
                return Some(work);
            }
            for job in &work.jobs {
                let (claim, _, event) = released(job);
                if let Some(held) = inner.held.get_mut(claim) {
                    held.abort = None;
                }
                inner.machine.on(now, event);
            }
        }
    }

    fn log(&self, notice: Notice) {
        let queue = self.queue();
        match notice {
            Notice::Exhausted(claim) => warn!(
                "queue {queue}: message {} is moved to {} after {} reads",
                claim.msg_id, self.parts.source.dead_letter_queue, claim.read_ct
            ),
            Notice::Lost(claim) => warn!("queue {queue}: the lease of message {} is lost", claim.msg_id),
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

impl Inner {
    /// Passes messages to the slots.
    fn start(&mut self, claims: &[Claim]) {
        let (handle, abort) = AbortHandle::new_pair();
        let mut jobs = Vec::with_capacity(claims.len());
        for claim in claims {
            if let Some(held) = self.held.get_mut(*claim) {
                held.abort = Some(handle.clone());
                jobs.push(Arc::clone(&held.job));
            }
        }
        self.work.push_back(Work { jobs, abort });
    }
}
