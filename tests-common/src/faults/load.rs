//! Those who work on the queue while faults strike: producers, consumers, and one who listens.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use pgmq_core::{AsyncQueue, ErrorKind, Message, Notification, NotifyOptions, QueueError};

use super::{
    Fault,
    model::{Finish, Ledger, Seen},
};
use crate::conformance::{Backend, Listener, Q, Work};

/// How long a worker waits for a call, where it need not block.
pub(super) const LIMIT_OF_CALLS: Duration = Duration::from_millis(1500);
/// How long the pool may take to hand out a connection, and to make one.
pub(super) const LIMIT_OF_WAITS: Duration = Duration::from_millis(1000);
/// Longer than any trial takes: what was read once is never read again.
const VT: u64 = 3600;
/// How many messages a batch has.
const BATCH: u32 = 5;
/// The least time between two calls of a worker, so that machines and people can do other work.
const PAUSE: Duration = Duration::from_millis(3);
/// How long a worker waits after a failure.
const RESPITE: Duration = Duration::from_millis(20);

pub(super) const PRODUCERS: usize = 2;
const CONSUMERS: [Way; 4] = [Way::DeleteOne, Way::DeleteMany, Way::Archive, Way::Pop];
/// All that have to work again after each fault, and behind them the one who listens.
const WORKERS: usize = PRODUCERS + CONSUMERS.len();

/// How a consumer takes messages and finishes them.
#[derive(Clone, Copy)]
enum Way {
    DeleteOne,
    DeleteMany,
    Archive,
    Pop,
}

/// What came of a call.
enum Answer<T> {
    Given(T),
    /// An error of which the docs say that nothing was done.
    Refused,
    /// Nobody knows whether it was done.
    Lost,
}

impl<T> Answer<T> {
    fn map<U>(self, change: impl FnOnce(T) -> U) -> Answer<U> {
        match self {
            Self::Given(answer) => Answer::Given(change(answer)),
            Self::Refused => Answer::Refused,
            Self::Lost => Answer::Lost,
        }
    }

    fn given(self) -> Option<T> {
        match self {
            Self::Given(answer) => Some(answer),
            Self::Refused | Self::Lost => None,
        }
    }
}

/// What the workers and the one who lets the faults strike have in common.
pub(super) struct Load {
    fault: &'static Fault,
    origin: Instant,
    pub(super) ledger: Mutex<Ledger>,
    errors: Mutex<BTreeMap<String, u64>>,
    /// Errors that the fault does not explain.
    unexplained: Mutex<Vec<String>>,
    /// When the last call began that went well, for each worker, in microseconds.
    worked: [AtomicU64; WORKERS + 1],
    reconnections: AtomicU64,
    producing: AtomicUsize,
    consuming: AtomicUsize,
    over: AtomicBool,
}

impl Load {
    pub(super) fn new(fault: &'static Fault) -> Arc<Self> {
        Arc::new(Self {
            fault,
            origin: Instant::now(),
            ledger: Mutex::default(),
            errors: Mutex::default(),
            unexplained: Mutex::default(),
            worked: Default::default(),
            reconnections: AtomicU64::new(0),
            producing: AtomicUsize::new(PRODUCERS),
            consuming: AtomicUsize::new(CONSUMERS.len()),
            over: AtomicBool::new(false),
        })
    }

    /// What the workers do, each on its own, until [`end`](Self::end).
    pub(super) fn works<B: Backend>(
        self: &Arc<Self>,
        queue: &B::Queue,
        listener: B::Listener,
    ) -> Vec<Work<()>> {
        let worker = |number| Worker::<B> { number, queue: queue.clone(), load: Arc::clone(self) };
        let mut works: Vec<Work<()>> = vec![Box::pin(worker(WORKERS).listen(listener))];
        works.extend((0..PRODUCERS).map(|number| -> Work<()> { Box::pin(worker(number).produce()) }));
        works.extend(
            CONSUMERS
                .iter()
                .zip(PRODUCERS..)
                .map(|(&way, number)| -> Work<()> { Box::pin(worker(number).consume(way)) }),
        );
        works
    }

    /// Ends the work: once everything is consumed, if all is well.
    pub(super) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Whether every worker has begun something after this time, and been successful.
    pub(super) fn all_have_worked_since(&self, time: u64) -> bool {
        self.worked.iter().take(WORKERS).all(|worked| worked.load(Ordering::Relaxed) >= time)
    }

    /// Whether a notification has come of what was sent after this time.
    pub(super) fn has_heard_since(&self, time: u64) -> bool {
        self.worked.last().is_some_and(|heard| heard.load(Ordering::Relaxed) >= time)
    }

    pub(super) fn errors(&self) -> BTreeMap<String, u64> {
        lock(&self.errors).clone()
    }

    pub(super) fn unexplained(&self) -> Vec<String> {
        lock(&self.unexplained).clone()
    }

    pub(super) fn reconnections(&self) -> u64 {
        self.reconnections.load(Ordering::Relaxed)
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Whether there is no point in going on.
    fn has_failed(&self) -> bool {
        !lock(&self.unexplained).is_empty()
    }

    fn note(&self, error: &impl QueueError) {
        let (kind, sqlstate) = (error.kind(), error.sqlstate());
        let is_explained = match kind {
            ErrorKind::Connection | ErrorKind::Timeout => true,
            // Two of the drivers may not say which.
            ErrorKind::Database => {
                !self.fault.reports.is_empty()
                    && sqlstate.is_none_or(|code| self.fault.reports.contains(&code))
            }
            _ => false,
        };
        if !is_explained {
            let text = crate::conformance::chain(error);
            lock(&self.unexplained).push(format!("{kind:?} {}: {text}", sqlstate.unwrap_or_default()));
        }
        self.count(format!("{kind:?} {}", sqlstate.unwrap_or_default()).trim_end());
    }

    fn count(&self, what: &str) {
        *lock(&self.errors).entry(what.to_owned()).or_default() += 1;
    }
}

/// One of those who work.
struct Worker<B: Backend> {
    number: usize,
    queue: B::Queue,
    load: Arc<Load>,
}

impl<B: Backend> Worker<B> {
    async fn produce(self) {
        let Self { queue, load, .. } = &self;
        let mut is_batch = false;
        while !load.is_over() && !load.has_failed() {
            is_batch = !is_batch;
            let numbers = lock(&load.ledger).begin_send(if is_batch { u64::from(BATCH) } else { 1 });
            let sent = if is_batch {
                self.attempt(queue.send_batch(Q, &numbers)).await
            } else {
                self.attempt(queue.send(Q, &numbers[0])).await.map(|id| vec![id])
            };
            let pause = if let Answer::Given(_) = sent { PAUSE } else { RESPITE };
            match sent {
                Answer::Given(ids) => lock(&load.ledger).sent(&numbers, &ids),
                Answer::Refused => lock(&load.ledger).send_refused(&numbers),
                Answer::Lost => lock(&load.ledger).send_in_doubt(),
            }
            B::pause(pause).await;
        }
        load.producing.fetch_sub(1, Ordering::Relaxed);
    }

    /// Takes messages until there will be no more.
    async fn consume(self, way: Way) {
        let load = &self.load;
        while !load.has_failed() {
            // Looked at before the queue is: what was sent by then is seen.
            let is_last = load.is_over() && load.producing.load(Ordering::Relaxed) == 0;
            match self.take(way).await {
                Some(ids) if ids.is_empty() && is_last => break,
                Some(ids) => self.finish(way, &ids).await,
                None => B::pause(RESPITE).await,
            }
            B::pause(PAUSE).await;
        }
        load.consuming.fetch_sub(1, Ordering::Relaxed);
    }

    /// Reads or pops, and returns the ids; `None` if that failed.
    async fn take(&self, way: Way) -> Option<Vec<i64>> {
        let Self { queue, load, .. } = self;
        let one = |message: Option<Message<u64>>| message.into_iter().collect::<Vec<_>>();
        let taken = match way {
            Way::Pop => self.attempt(queue.pop(Q)).await.map(one),
            Way::DeleteOne => self.attempt(queue.read(Q, VT)).await.map(one),
            Way::DeleteMany | Way::Archive => self.attempt(queue.read_batch(Q, VT, BATCH)).await,
        };
        let mut ledger = lock(&load.ledger);
        match (&taken, way) {
            (Answer::Given(messages), _) => ledger.read(&messages.iter().map(seen).collect::<Vec<_>>()),
            (Answer::Refused, _) => {}
            (Answer::Lost, Way::Pop) => ledger.pop_in_doubt(),
            (Answer::Lost, Way::DeleteOne) => ledger.read_in_doubt(1),
            (Answer::Lost, Way::DeleteMany | Way::Archive) => ledger.read_in_doubt(BATCH as usize),
        }
        taken.map(|messages| messages.iter().map(|message| message.msg_id).collect()).given()
    }

    /// Deletes or archives, again and again until the answer comes.
    async fn finish(&self, way: Way, ids: &[i64]) {
        let Self { queue, load, .. } = self;
        let mut asked_before = false;
        while let ([first, ..], false) = (ids, load.has_failed()) {
            let one = |is_done: bool| if is_done { vec![*first] } else { Vec::new() };
            let (how, done) = match way {
                Way::Pop => (Finish::Popped, Answer::Given(ids.to_vec())),
                Way::DeleteOne => (Finish::Deleted, self.attempt(queue.delete(Q, *first)).await.map(one)),
                Way::DeleteMany => (Finish::Deleted, self.attempt(queue.delete_batch(Q, ids)).await),
                Way::Archive => (Finish::Archived, self.attempt(queue.archive_batch(Q, ids)).await),
            };
            match done {
                Answer::Given(done) => {
                    return lock(&load.ledger).finished(ids, &done, how, asked_before);
                }
                Answer::Refused => {}
                Answer::Lost => {
                    lock(&load.ledger).finish_in_doubt();
                    asked_before = true;
                }
            }
            B::pause(RESPITE).await;
        }
    }

    /// Hears of what is sent, until there is nobody left to tell. An event tells of the time of the one before: that one may have
    /// been on its way for long.
    async fn listen(self, mut listener: B::Listener) {
        let load = &self.load;
        let mut before = 0;
        while load.consuming.load(Ordering::Relaxed) > 0 && !load.has_failed() {
            match listener.next_timeout(LIMIT_OF_WAITS / 5).await {
                Ok(Some(Notification::Reconnected)) => {
                    load.reconnections.fetch_add(1, Ordering::Relaxed);
                    self.have_the_queue_notify().await;
                }
                Ok(Some(_)) => {
                    load.worked[self.number].store(before, Ordering::Relaxed);
                    before = load.now();
                }
                Ok(None) => {}
                Err(error) => load.note(&error),
            }
        }
    }

    /// After a crash the server has forgotten that the queue is to notify. The guide says what to do when a connection was lost.
    async fn have_the_queue_notify(&self) {
        let Self { queue, load, .. } = self;
        while !load.has_failed() {
            let throttles = self.call(queue.list_notify_throttles()).await.given();
            let enabled = match throttles {
                Some(throttles) if throttles.iter().any(|throttle| throttle.queue_name == Q) => return,
                Some(_) => self.call(queue.enable_notify_with(Q, &NotifyOptions::new())).await.given(),
                None => None,
            };
            if enabled.is_some() {
                return;
            }
            B::pause(RESPITE).await;
        }
    }

    /// Makes a call, and notes when it began if it went well.
    async fn attempt<T: Send>(&self, call: impl Future<Output = Result<T, B::Error>> + Send) -> Answer<T> {
        let began = self.load.now();
        let answer = self.call(call).await;
        if let Answer::Given(_) = answer {
            self.load.worked[self.number].store(began, Ordering::Relaxed);
        }
        answer
    }

    async fn call<T: Send>(&self, call: impl Future<Output = Result<T, B::Error>> + Send) -> Answer<T> {
        match B::within(LIMIT_OF_CALLS, call).await {
            Some(Ok(answer)) => Answer::Given(answer),
            Some(Err(error)) => {
                self.load.note(&error);
                if error.kind() == ErrorKind::Connection { Answer::Lost } else { Answer::Refused }
            }
            None => {
                self.load.count("given up");
                Answer::Lost
            }
        }
    }
}

fn seen(message: &Message<u64>) -> Seen {
    Seen { number: message.message, id: message.msg_id, read_ct: message.read_ct }
}

/// Locks, also after a panic elsewhere.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
