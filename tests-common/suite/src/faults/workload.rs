//! The workers on the queue while faults are injected: producers, consumers, and a listener.

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

use crate::{
    faults::{
        fault::{Fault, LIMIT_OF_CALLS, LIMIT_OF_WAITS, PRODUCERS},
        ledger::{Finish, Ledger, Seen},
    },
    kit::{
        backend::{Backend, Listener, Step},
        check::queue_error,
        context::QUEUE,
        failure::error_chain,
        runtime::Task,
    },
};

/// Visibility timeout in seconds, longer than any experiment: a message that was read is never read again.
const VT: u64 = 3600;
/// Number of messages in a batch.
const BATCH: u32 = 5;
/// Minimum time between two calls of a worker, which leaves time for other processes on the machine.
const PAUSE: Duration = Duration::from_millis(3);
/// Time that a worker waits after a failure.
const BACKOFF: Duration = Duration::from_millis(20);

const PRODUCER_MODES: [ProduceMode; PRODUCERS] =
    [ProduceMode::Alternating, ProduceMode::Alternating, ProduceMode::InTransaction];
const CONSUMERS: [ConsumeMode; 4] =
    [ConsumeMode::DeleteOne, ConsumeMode::DeleteMany, ConsumeMode::Archive, ConsumeMode::Pop];
/// Number of workers that have to succeed again after each fault. The listener has the next number.
const WORKERS: usize = PRODUCERS + CONSUMERS.len();

/// The way that a producer sends.
#[derive(Clone, Copy)]
enum ProduceMode {
    /// A batch and a single message in turn.
    Alternating,
    /// Two messages in a transaction.
    InTransaction,
}

/// The way that a consumer takes messages and finishes them.
#[derive(Clone, Copy)]
enum ConsumeMode {
    DeleteOne,
    DeleteMany,
    Archive,
    Pop,
}

/// The outcome of a call.
enum Answer<T> {
    /// The call succeeded.
    Received(T),
    /// An error after which, according to the docs, nothing was done.
    Refused,
    /// The answer was lost: the call may have had its effect or not.
    Lost,
}

impl<T> Answer<T> {
    fn map<U>(self, change: impl FnOnce(T) -> U) -> Answer<U> {
        match self {
            Self::Received(answer) => Answer::Received(change(answer)),
            Self::Refused => Answer::Refused,
            Self::Lost => Answer::Lost,
        }
    }

    fn received(self) -> Option<T> {
        match self {
            Self::Received(answer) => Some(answer),
            Self::Refused | Self::Lost => None,
        }
    }
}

/// The state that the workers share with the thread that injects the faults.
pub(crate) struct Workload {
    fault: &'static Fault,
    origin: Instant,
    pub(crate) ledger: Mutex<Ledger>,
    errors: Mutex<BTreeMap<String, u64>>,
    /// Errors that the fault does not explain.
    unexplained: Mutex<Vec<String>>,
    /// Start time of the last successful call of each worker, in microseconds.
    succeeded: [AtomicU64; WORKERS + 1],
    reconnections: AtomicU64,
    producing: AtomicUsize,
    consuming: AtomicUsize,
    over: AtomicBool,
    abandoned: AtomicBool,
}

impl Workload {
    pub(crate) fn new(fault: &'static Fault) -> Arc<Self> {
        Arc::new(Self {
            fault,
            origin: Instant::now(),
            ledger: Mutex::default(),
            errors: Mutex::default(),
            unexplained: Mutex::default(),
            succeeded: Default::default(),
            reconnections: AtomicU64::new(0),
            producing: AtomicUsize::new(PRODUCERS),
            consuming: AtomicUsize::new(CONSUMERS.len()),
            over: AtomicBool::new(false),
            abandoned: AtomicBool::new(false),
        })
    }

    /// The workers as tasks, which run until [`end`](Self::end).
    pub(crate) fn workers<B: Backend>(
        self: &Arc<Self>,
        queue: &B::Queue,
        listener: B::Listener,
    ) -> Vec<Task<()>> {
        let worker = |number| Worker::<B> { number, queue: queue.clone(), workload: Arc::clone(self) };
        let mut workers: Vec<Task<()>> = vec![Box::pin(worker(WORKERS).listen(listener))];
        workers.extend(
            PRODUCER_MODES
                .iter()
                .enumerate()
                .map(|(number, &mode)| -> Task<()> { Box::pin(worker(number).produce(mode)) }),
        );
        workers.extend(
            CONSUMERS
                .iter()
                .zip(PRODUCERS..)
                .map(|(&mode, number)| -> Task<()> { Box::pin(worker(number).consume(mode)) }),
        );
        workers
    }

    /// Ends the workload. The consumers stop once the queue is empty.
    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    /// Ends the workload at once, because the experiment has failed.
    pub(crate) fn abandon(&self) {
        self.abandoned.store(true, Ordering::Relaxed);
    }

    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Returns `true` if every worker has begun a call at or after this time that succeeded.
    pub(crate) fn all_have_succeeded_since(&self, time: u64) -> bool {
        self.succeeded.iter().take(WORKERS).all(|succeeded| succeeded.load(Ordering::Relaxed) >= time)
    }

    /// Returns `true` if the listener was notified of a message that was sent at or after this time.
    pub(crate) fn was_notified_since(&self, time: u64) -> bool {
        self.succeeded.last().is_some_and(|notified| notified.load(Ordering::Relaxed) >= time)
    }

    pub(crate) fn errors(&self) -> BTreeMap<String, u64> {
        lock(&self.errors).clone()
    }

    pub(crate) fn unexplained(&self) -> Vec<String> {
        lock(&self.unexplained).clone()
    }

    pub(crate) fn reconnections(&self) -> u64 {
        self.reconnections.load(Ordering::Relaxed)
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Returns `true` if the experiment has failed already.
    fn has_failed(&self) -> bool {
        self.abandoned.load(Ordering::Relaxed) || !lock(&self.unexplained).is_empty()
    }

    /// Counts an error, and records it as unexplained if the fault cannot cause it.
    fn record(&self, error: &impl QueueError) {
        let (kind, sqlstate) = (error.kind(), error.sqlstate());
        let is_explained = match (kind, sqlstate) {
            (ErrorKind::Connection | ErrorKind::Timeout, _) => true,
            (_, Some(code)) => self.fault.sqlstates.contains(&code),
            // Two of the drivers may hide the SQLSTATE.
            (ErrorKind::Database, None) => !self.fault.sqlstates.is_empty(),
            (_, None) => false,
        };
        if !is_explained {
            let text = error_chain(error);
            lock(&self.unexplained).push(format!("{kind:?} {}: {text}", sqlstate.unwrap_or_default()));
        }
        self.count(format!("{kind:?} {}", sqlstate.unwrap_or_default()).trim_end());
    }

    fn count(&self, what: &str) {
        *lock(&self.errors).entry(what.to_owned()).or_default() += 1;
    }
}

/// A producer, a consumer or the listener.
struct Worker<B: Backend> {
    number: usize,
    queue: B::Queue,
    workload: Arc<Workload>,
}

impl<B: Backend> Worker<B> {
    async fn produce(self, mode: ProduceMode) {
        let workload = &self.workload;
        let mut is_batch = false;
        while !workload.is_over() && !workload.has_failed() {
            is_batch = !is_batch;
            let pause = if self.send(mode, is_batch).await { PAUSE } else { BACKOFF };
            B::sleep(pause).await;
        }
        workload.producing.fetch_sub(1, Ordering::Relaxed);
    }

    /// Sends the next messages, and returns `true` if that succeeded.
    async fn send(&self, mode: ProduceMode, is_batch: bool) -> bool {
        let Self { queue, workload, .. } = self;
        let count = match mode {
            ProduceMode::InTransaction => 2,
            ProduceMode::Alternating if is_batch => BATCH.into(),
            ProduceMode::Alternating => 1,
        };
        let numbers = lock(&workload.ledger).begin_send(count);
        let sent = match mode {
            ProduceMode::InTransaction => {
                let steps: Vec<_> = numbers.iter().map(|&number| Step::SendNumber(QUEUE, number)).collect();
                let done = async { B::transaction(queue, &steps).await.map_err(queue_error) };
                self.attempt(done).await.map(|()| None)
            }
            ProduceMode::Alternating if is_batch => {
                self.attempt(queue.send_batch(QUEUE, &numbers)).await.map(Some)
            }
            ProduceMode::Alternating => {
                self.attempt(queue.send(QUEUE, &numbers[0])).await.map(|id| Some(vec![id]))
            }
        };
        let mut ledger = lock(&workload.ledger);
        match &sent {
            Answer::Received(Some(ids)) => ledger.sent(&numbers, ids),
            Answer::Received(None) => ledger.committed(&numbers),
            Answer::Refused => ledger.send_refused(&numbers),
            Answer::Lost => ledger.send_in_doubt(),
        }
        matches!(sent, Answer::Received(_))
    }

    /// Takes messages until the producers have ended and the queue is empty.
    async fn consume(self, mode: ConsumeMode) {
        let workload = &self.workload;
        while !workload.has_failed() {
            // Checked before the read, which then sees everything that was sent.
            let is_last = workload.is_over() && workload.producing.load(Ordering::Relaxed) == 0;
            match self.take(mode).await {
                Some(ids) if ids.is_empty() && is_last => break,
                Some(ids) => self.finish(mode, &ids).await,
                None => B::sleep(BACKOFF).await,
            }
            B::sleep(PAUSE).await;
        }
        workload.consuming.fetch_sub(1, Ordering::Relaxed);
    }

    /// Reads or pops, and returns the ids. Returns `None` if the call failed.
    async fn take(&self, mode: ConsumeMode) -> Option<Vec<i64>> {
        let Self { queue, workload, .. } = self;
        let one = |message: Option<Message<u64>>| message.into_iter().collect::<Vec<_>>();
        let taken = match mode {
            ConsumeMode::Pop => self.attempt(queue.pop(QUEUE)).await.map(one),
            ConsumeMode::DeleteOne => self.attempt(queue.read(QUEUE, VT)).await.map(one),
            ConsumeMode::DeleteMany | ConsumeMode::Archive => {
                self.attempt(queue.read_batch(QUEUE, VT, BATCH)).await
            }
        };
        let mut ledger = lock(&workload.ledger);
        match (&taken, mode) {
            (Answer::Received(messages), _) => ledger.read(&messages.iter().map(seen).collect::<Vec<_>>()),
            (Answer::Refused, _) => {}
            (Answer::Lost, ConsumeMode::Pop) => ledger.pop_in_doubt(),
            (Answer::Lost, ConsumeMode::DeleteOne) => ledger.read_in_doubt(1),
            (Answer::Lost, ConsumeMode::DeleteMany | ConsumeMode::Archive) => {
                ledger.read_in_doubt(BATCH as usize);
            }
        }
        taken.map(|messages| messages.iter().map(|message| message.msg_id).collect()).received()
    }

    /// Deletes or archives, and repeats the call until it is answered.
    async fn finish(&self, mode: ConsumeMode, ids: &[i64]) {
        let Self { queue, workload, .. } = self;
        let mut asked_before = false;
        while let ([first, ..], false) = (ids, workload.has_failed()) {
            let one = |is_done: bool| if is_done { vec![*first] } else { Vec::new() };
            let (how, done) = match mode {
                ConsumeMode::Pop => (Finish::Popped, Answer::Received(ids.to_vec())),
                ConsumeMode::DeleteOne => {
                    (Finish::Deleted, self.attempt(queue.delete(QUEUE, *first)).await.map(one))
                }
                ConsumeMode::DeleteMany => {
                    (Finish::Deleted, self.attempt(queue.delete_batch(QUEUE, ids)).await)
                }
                ConsumeMode::Archive => {
                    (Finish::Archived, self.attempt(queue.archive_batch(QUEUE, ids)).await)
                }
            };
            match done {
                Answer::Received(done) => {
                    return lock(&workload.ledger).finished(ids, &done, how, asked_before);
                }
                Answer::Refused => {}
                Answer::Lost => {
                    lock(&workload.ledger).finish_in_doubt();
                    asked_before = true;
                }
            }
            B::sleep(BACKOFF).await;
        }
    }

    /// Receives notifications until all consumers have ended.
    ///
    /// A notification counts as sent when the previous one was received: it may have been in flight for long.
    async fn listen(self, mut listener: B::Listener) {
        let workload = &self.workload;
        let mut before = 0;
        while workload.consuming.load(Ordering::Relaxed) > 0 && !workload.has_failed() {
            match listener.next_timeout(LIMIT_OF_WAITS / 5).await {
                Ok(Some(Notification::Reconnected)) => {
                    workload.reconnections.fetch_add(1, Ordering::Relaxed);
                    self.enable_notifications_again().await;
                }
                Ok(Some(_)) => {
                    workload.succeeded[self.number].store(before, Ordering::Relaxed);
                    before = workload.now();
                }
                Ok(None) => {}
                Err(error) => workload.record(&error),
            }
        }
    }

    /// After a crash the server has lost the setting that the queue notifies. The guide describes this way to
    /// restore it after a lost connection.
    async fn enable_notifications_again(&self) {
        let Self { queue, workload, .. } = self;
        while !workload.has_failed() {
            let throttles = self.call(queue.list_notify_throttles()).await.received();
            let enabled = match throttles {
                Some(throttles) if throttles.iter().any(|throttle| throttle.queue_name == QUEUE) => return,
                Some(_) => self.call(queue.enable_notify_with(QUEUE, &NotifyOptions::new())).await.received(),
                None => None,
            };
            if enabled.is_some() {
                return;
            }
            B::sleep(BACKOFF).await;
        }
    }

    /// Makes a call, and records its start time if it succeeds.
    async fn attempt<T: Send>(&self, call: impl Future<Output = Result<T, B::Error>> + Send) -> Answer<T> {
        let began = self.workload.now();
        let answer = self.call(call).await;
        if let Answer::Received(_) = answer {
            self.workload.succeeded[self.number].store(began, Ordering::Relaxed);
        }
        answer
    }

    async fn call<T: Send>(&self, call: impl Future<Output = Result<T, B::Error>> + Send) -> Answer<T> {
        match B::timeout(LIMIT_OF_CALLS, call).await {
            Some(Ok(answer)) => Answer::Received(answer),
            Some(Err(error)) => {
                self.workload.record(&error);
                if error.kind() == ErrorKind::Connection { Answer::Lost } else { Answer::Refused }
            }
            None => {
                self.workload.count("cancelled");
                Answer::Lost
            }
        }
    }
}

fn seen(message: &Message<u64>) -> Seen {
    Seen { number: message.message, id: message.msg_id, read_ct: message.read_ct }
}

/// Locks, and ignores poisoning: a panic fails the experiment anyway.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
