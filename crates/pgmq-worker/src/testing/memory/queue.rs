//! The back end without a server.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_channel::Sender;
use chrono::{DateTime, SubsecRound, Utc};
use pgmq_core::{
    Action, ArchivedMessage, AsyncListen, AsyncQueue, Error, ErrorKind, Listen, Message, Notification,
    Output, Query, Queue, RawJson, Statement, statement,
};

use crate::shell::clock::Clock;
use crate::testing::memory::faults::{Fault, Faults, Op};
use crate::testing::memory::listener::MemoryListener;
use crate::testing::memory::row::MemoryRow;
use crate::testing::memory::store::Store;

/// The visibility timeout of a message that is taken away, in seconds.
const TAKEN: i32 = 30;

/// A back end without a server: queues in the memory of the process, with the traits of sync and async
/// queues.
///
/// Messages have numbers of reads, visibility timeouts, delays and archives as those of PGMQ, claims are
/// fenced, and listeners are notified. Handlers that are generic over a queue can send to it, and finish
/// their messages in it. Clones share the queues.
///
/// It does not have topics, groups, conditions, polls and partitions, whose operations return errors of kind
/// [`ErrorKind::Unsupported`]; nor transactions, so what an operation has done stays done. Payloads
/// are texts as those of `jsonb`, but for numbers with exponents, which keep them.
///
/// ```
/// use pgmq_core::{AsyncQueue, ErrorKind, QueueError};
/// use pgmq_worker::testing::MemoryQueue;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), pgmq_core::Error> {
/// let queue = MemoryQueue::new();
/// queue.create_queue("emails").await?;
/// queue.send("emails", "hello").await?;
/// let message = queue.read::<String>("emails", 30).await?.unwrap();
/// assert_eq!((message.message.as_str(), message.read_ct), ("hello", 1));
/// assert_eq!(queue.read::<String>("emails", 30).await?, None);
/// assert_eq!(queue.send("texts", "hello").await.unwrap_err().kind(), ErrorKind::QueueNotFound);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct MemoryQueue {
    shared: Arc<Shared>,
}

struct Shared {
    clock: Clock,
    store: Mutex<Store>,
    faults: Mutex<Faults>,
    listeners: Mutex<Vec<(Vec<String>, Sender<Notification>)>>,
}

impl Default for MemoryQueue {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryQueue {
    /// Creates a back end that has no queue yet, and the clock of the system.
    pub fn new() -> Self {
        Self::by(Clock::System)
    }

    pub(crate) fn by(clock: Clock) -> Self {
        let shared =
            Shared { clock, store: Mutex::default(), faults: Mutex::default(), listeners: Mutex::default() };
        Self { shared: Arc::new(shared) }
    }

    /// Lets the next operation of this group fail, without having done anything. Further calls are for the
    /// operations after it.
    pub fn fail_next(&self, op: Op, kind: ErrorKind) {
        lock(&self.shared.faults).plan(op, Fault::Before(kind));
    }

    /// Lets the next operation of this group be done, and its answer be lost, as by a broken connection.
    pub fn lose_next(&self, op: Op) {
        lock(&self.shared.faults).plan(op, Fault::After(ErrorKind::Connection));
    }

    /// Lets all operations of this group fail, until [`recover`](Self::recover).
    pub fn fail(&self, op: Op, kind: ErrorKind) {
        lock(&self.shared.faults).set(op, Some(Fault::Before(kind)));
    }

    /// Ends all faults.
    pub fn recover(&self) {
        lock(&self.shared.faults).clear();
    }

    /// All messages of a queue, visible or not, in the order of their ids. None if it does not exist.
    pub fn messages(&self, queue: &str) -> Vec<Message<RawJson>> {
        self.look(queue, |queue| statement::peek_all(queue, 0, u32::MAX >> 1))
    }

    /// All messages in the archive of a queue, in the order of their ids.
    pub fn archived(&self, queue: &str) -> Vec<Message<RawJson>> {
        let archived: Vec<ArchivedMessage<RawJson>> =
            self.look(queue, |queue| statement::read_archive(queue, 0, u32::MAX >> 1));
        archived.into_iter().map(|archived| archived.message).collect()
    }

    fn look<'q, T>(&self, queue: &'q str, look: impl FnOnce(&'q str) -> Statement<'q, Vec<T>>) -> Vec<T>
    where
        Vec<T>: Output,
    {
        match look(queue).into_action() {
            Action::Return(result) => result.unwrap_or_default(),
            Action::Run(query) => self.answer(&query).unwrap_or_default(),
        }
    }

    /// Lets another consumer read a message, visible or not, which hides it for 30 seconds. Returns `false`
    /// if it is not there.
    pub fn take_away(&self, queue: &str, msg_id: i64) -> bool {
        let now = self.now();
        let mut store = lock(&self.shared.store);
        store.table(&queue.to_lowercase()).is_ok_and(|table| table.read_one(msg_id, TAKEN, now).is_some())
    }

    /// The time, as the server has it.
    fn now(&self) -> DateTime<Utc> {
        self.shared.clock.utc().trunc_subsecs(6)
    }

    /// Runs a query, with the faults that are planned.
    fn run<O: Output>(&self, query: &Query<'_, O>) -> Result<O, Error> {
        let fault = lock(&self.shared.faults).take(Op::of(query.call().operation));
        if let Some(fault @ Fault::Before(_)) = fault {
            return Err(fault.error().during(query.context()));
        }
        let answer = self.answer(query);
        match fault {
            Some(fault) if answer.is_ok() => Err(fault.error().during(query.context())),
            _ => answer,
        }
    }

    /// Runs a query.
    fn answer<O: Output>(&self, query: &Query<'_, O>) -> Result<O, Error> {
        let context = query.context();
        let mut store = lock(&self.shared.store);
        let ran = store.run(query.call().operation, context.queue.as_deref(), query.params(), self.now());
        let notified = std::mem::take(&mut store.notified);
        drop(store);
        for queue in notified {
            self.notify(&queue);
        }
        let mut rows = query.rows();
        for row in ran.map_err(|error| error.during(context))? {
            rows.push(MemoryRow(row));
        }
        rows.finish(|| query.context())
    }

    fn notify(&self, queue: &str) {
        let mut listeners = lock(&self.shared.listeners);
        listeners.retain(|(queues, sender)| {
            let listens = queues.iter().any(|name| name == queue);
            !listens || sender.try_send(Notification::inserted(queue)).is_ok()
        });
    }

    fn listener<S: AsRef<str>>(&self, queues: &[S]) -> Result<MemoryListener, Error> {
        if let Some(fault) = lock(&self.shared.faults).take(Op::Listen) {
            return Err(fault.error());
        }
        if queues.is_empty() {
            let text = "there is no queue to listen to; give one at least";
            return Err(Error::new(ErrorKind::InvalidArgument, text));
        }
        let queues = queues.iter().map(|name| name.as_ref().to_lowercase()).collect();
        let (sender, receiver) = async_channel::unbounded();
        lock(&self.shared.listeners).push((queues, sender));
        Ok(MemoryListener::new(receiver, self.shared.clock.clone()))
    }
}

impl AsyncQueue for MemoryQueue {
    type Error = Error;

    fn run_query<O: Output>(&self, query: Query<'_, O>) -> impl Future<Output = Result<O, Error>> + Send {
        std::future::ready(self.run(&query))
    }
}

impl Queue for MemoryQueue {
    type Error = Error;

    fn run_query<O: Output>(&self, query: Query<'_, O>) -> Result<O, Error> {
        self.run(&query)
    }
}

impl AsyncListen for MemoryQueue {
    type Listener = MemoryListener;

    fn listen<S: AsRef<str>>(
        &self,
        queues: &[S],
    ) -> impl Future<Output = Result<MemoryListener, Error>> + Send {
        std::future::ready(self.listener(queues))
    }
}

impl Listen for MemoryQueue {
    type Listener = MemoryListener;

    fn listen<S: AsRef<str>>(&self, queues: &[S]) -> Result<MemoryListener, Error> {
        self.listener(queues)
    }
}

impl fmt::Debug for MemoryQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let store = lock(&self.shared.store);
        let queues = store.tables.iter().map(|(name, table)| (name, table.messages.len()));
        f.write_str("MemoryQueue")?;
        f.debug_map().entries(queues).finish()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
