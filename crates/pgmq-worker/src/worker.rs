//! The async worker: what starts it, what steers it, and what stops it.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_channel::{Receiver, Sender};
use futures_util::future::{Either, join_all, select};
use log::warn;
use pgmq_core::{AsyncListen, Claim};

use crate::erased::Registered;
use crate::into_handler::{IntoHandler, Runnable};
use crate::layer::{Layer, layered};
use crate::machine::event::{Event, StopLimits, Wake};
use crate::meta::Source;
use crate::queue::Queue;
use crate::settings::{Facts, SettingsError};
use crate::shell::backend::Backend;
use crate::shell::broker::Broker;
use crate::shell::fault::DatabaseError;
use crate::shell::keepers;
use crate::shell::lane::{Lane, Parts};
use crate::shell::limit::within;
use crate::shell::listening::listen;
use crate::shell::slot;
use crate::shell::spawn::Spawner;
use crate::state::State;

/// The time that a stop may take longer than its limits.
const SLACK: Duration = Duration::from_secs(2);

/// The number of handlers of a queue that run at the same time, unless it is set.
const CONCURRENCY: usize = 16;

/// A worker that runs: it reads messages from queues, and runs handlers on them.
///
/// ```no_run
/// use pgmq_tokio::PGMQueue;
/// use pgmq_worker::{Job, Queue, Worker};
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct Email {
///     to: String,
/// }
///
/// async fn send_email(job: Job<Email>) -> Result<(), std::io::Error> {
///     println!("to {}", job.to);
///     Ok(())
/// }
///
/// # async fn example(shutdown: impl Future<Output = ()>) -> Result<(), Box<dyn std::error::Error>> {
/// let queue = PGMQueue::connect("postgres://postgres:postgres@localhost/postgres").await?;
/// queue.create_queue("emails").await?;
///
/// let worker = Worker::builder(queue).queue("emails", Queue::new(), send_email).start().await?;
/// let report = worker.run_until(shutdown).await;
/// println!("{report}");
/// # Ok(())
/// # }
/// ```
///
/// Dropping a worker stops it, as far as that goes without waiting: handlers are cancelled and dropped, and
/// their messages are released.
#[must_use = "a worker that is dropped stops"]
pub struct Worker {
    handle: Handle,
    /// Closed when the worker stops, which ends the listener.
    stopped: Sender<()>,
}

/// The means to look at a worker and to steer it, from any task. Clones steer the same worker.
#[derive(Clone)]
pub struct Handle {
    lanes: Arc<[Arc<Lane>]>,
    limits: StopLimits,
}

/// The state of one queue of a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// The queue.
    pub queue: String,
    /// `true` until the worker stops.
    pub is_running: bool,
    /// The number of messages that were read, and whose handlers have not begun.
    pub waiting: usize,
    /// The number of messages whose handlers run.
    pub running: usize,
    /// The number of messages whose handlers do not end although they were cancelled.
    pub stuck: usize,
    /// The number of messages whose handlers have ended, and of which the server does not know yet.
    pub unsettled: usize,
    /// The number of attempts to read that have failed since the last one that worked.
    pub failed_reads: u32,
}

impl Worker {
    /// Begins to build a worker that uses this queue's database: the `PGMQueue` of an async back end.
    ///
    /// The worker uses up to four connections of the pool for each queue, apart from those of its handlers,
    /// and one of its own to listen.
    pub fn builder<Q: AsyncListen + Send + Sync + 'static>(queue: Q) -> Builder {
        Builder {
            broker: Arc::new(Backend(queue)),
            queues: Vec::new(),
            state: State::default(),
            layers: Vec::new(),
            name: None,
            spawner: None,
            limits: StopLimits {
                drain: Duration::from_secs(20),
                grace: Duration::from_secs(5),
                flush: Duration::from_secs(3),
            },
        }
    }

    /// The means to look at the worker and to steer it, from any task.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Runs until the future ends, and then stops: see [`stop`](Self::stop).
    ///
    /// Ends earlier if [`Handle::stop`] is called.
    pub async fn run_until(self, shutdown: impl Future<Output = ()>) -> StopReport {
        if matches!(select(pin!(self.ended()), pin!(shutdown)).await, Either::Right(_)) {
            self.stopped().await;
        }
        self.handle.report()
    }

    /// Stops: claims nothing more, releases what has not begun, and lets handlers end within the time to
    /// [drain](Builder::drain); then cancels and at last drops them, and tells the server what has become of
    /// the messages. Ends after the three limits at the latest.
    pub async fn stop(self) -> StopReport {
        self.stopped().await;
        self.handle.report()
    }

    /// Waits until all lanes have stopped.
    async fn ended(&self) {
        join_all(self.handle.lanes.iter().map(|lane| lane.channels.ended())).await;
    }

    /// Stops all lanes, and waits for them. The limits are the lanes' own; the limit here is for the case
    /// that their timers do not run any more.
    async fn stopped(&self) {
        self.handle.stop();
        let StopLimits { drain, grace, flush } = self.handle.limits;
        let limits = drain.saturating_add(grace).saturating_add(flush).saturating_add(SLACK);
        let _ = within(limits, self.ended()).await;
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stopped.close();
        let at_once = StopLimits { drain: Duration::ZERO, grace: Duration::ZERO, ..self.handle.limits };
        for lane in self.handle.lanes.iter() {
            lane.tell(Event::Stop(at_once));
        }
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("handle", &self.handle).finish_non_exhaustive()
    }
}

impl Handle {
    /// Stops the worker, and returns at once. [`Worker::run_until`] ends when it has stopped.
    pub fn stop(&self) {
        for lane in self.lanes.iter() {
            lane.tell(Event::Stop(self.limits));
        }
    }

    /// Stops reading from a queue, and releases its messages that have not begun. Returns `false` if the
    /// worker has no such queue.
    pub fn pause(&self, queue: &str) -> bool {
        self.tell(queue, || Event::Pause)
    }

    /// Reads from a queue again after [`pause`](Self::pause). Returns `false` if the worker has no such
    /// queue.
    pub fn resume(&self, queue: &str) -> bool {
        self.tell(queue, || Event::Resume)
    }

    /// Looks at a queue at once, such as after a send of this program. Returns `false` if the worker has no
    /// such queue.
    pub fn wake(&self, queue: &str) -> bool {
        self.tell(queue, || Event::Woken(Wake::Kicked))
    }

    /// The state of each queue.
    pub fn health(&self) -> Vec<Health> {
        let health = |lane: &Arc<Lane>| {
            let snapshot = lane.snapshot();
            Health {
                queue: lane.queue().to_owned(),
                is_running: !snapshot.phase.stops(),
                waiting: snapshot.ready,
                running: snapshot.running,
                stuck: snapshot.stuck,
                unsettled: snapshot.done + snapshot.settling,
                failed_reads: snapshot.claim_failures,
            }
        };
        self.lanes.iter().map(health).collect()
    }

    fn tell(&self, queue: &str, event: impl Fn() -> Event) -> bool {
        let mut found = false;
        let queue = queue.to_lowercase();
        for lane in self.lanes.iter().filter(|lane| lane.queue() == queue) {
            lane.tell(event());
            found = true;
        }
        found
    }

    fn report(&self) -> StopReport {
        let mut report = StopReport::default();
        for lane in self.lanes.iter() {
            let unfinished = lane.unfinished().unwrap_or_default();
            let named = |claim: Claim| (lane.queue().to_owned(), claim.msg_id);
            report.running.extend(unfinished.running.into_iter().map(named));
            report.unsettled.extend(unfinished.unsettled.into_iter().map(named));
        }
        report
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let queues = self.lanes.iter().map(|lane| lane.queue());
        f.write_str("Handle")?;
        f.debug_list().entries(queues).finish()
    }
}

/// The messages that a stop has left, by queue and id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StopReport {
    /// Their handlers did not end, and could not be stopped.
    pub running: Vec<(String, i64)>,
    /// Their handlers have ended, and the server was not told in time: they come again.
    pub unsettled: Vec<(String, i64)>,
}

impl StopReport {
    /// Returns `true` if nothing is left.
    pub fn is_clean(&self) -> bool {
        self.running.is_empty() && self.unsettled.is_empty()
    }
}

impl fmt::Display for StopReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_clean() {
            return f.write_str("the worker has stopped");
        }
        write!(
            f,
            "the worker has stopped; {} handlers did not end, and {} messages are not settled",
            self.running.len(),
            self.unsettled.len()
        )
    }
}

/// A worker cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The worker has no queue.
    #[error("the worker has no queue; give it one with the builder's `queue`")]
    NoQueue,
    /// The worker has a queue twice.
    #[error("the worker has queue {0:?} twice; give the queue one handler, such as a router")]
    Twice(String),
    /// A setting of a queue is of no use.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A queue does not exist.
    #[error("queue {0:?} does not exist; create it with create_queue")]
    QueueNotFound(String),
    /// The caller is in no runtime.
    #[error("the worker was started outside of a Tokio runtime; start it inside one, or give it a spawner")]
    NoRuntime,
    /// The database returned an error.
    #[error("the worker cannot start: {0}")]
    Database(#[source] DatabaseError),
}

/// The settings of a worker.
#[must_use = "a builder does nothing until it starts"]
pub struct Builder {
    broker: Arc<dyn Broker>,
    queues: Vec<(String, Queue, Registered)>,
    state: State,
    layers: Vec<Arc<dyn Layer>>,
    name: Option<String>,
    spawner: Option<Spawner>,
    limits: StopLimits,
}

impl Builder {
    /// Handles the messages of a queue: an async function of a [`Job`](crate::Job) or of a
    /// [`Batch`](crate::Batch), or a [`Router`](crate::Router).
    pub fn queue<Kind>(
        mut self,
        name: impl Into<String>,
        settings: Queue,
        handler: impl IntoHandler<Kind, Typed: Runnable>,
    ) -> Self {
        self.queues.push((name.into().to_lowercase(), settings, handler.into_handler().into_any().0));
        self
    }

    /// Shares a value with all handlers, which get it by its type: see [`Job::state`](crate::Job::state).
    pub fn state<S: Send + Sync + 'static>(mut self, value: S) -> Self {
        self.state.insert(value);
        self
    }

    /// Puts a layer around all handlers. The first layer is the outermost.
    pub fn layer(mut self, layer: impl Layer + 'static) -> Self {
        self.layers.push(Arc::new(layer));
        self
    }

    /// Sets the name of the worker, for the headers of dead letters; the default is the process id.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets the time that handlers have to end by themselves when the worker stops; the default is 20
    /// seconds.
    pub fn drain(mut self, time: Duration) -> Self {
        self.limits.drain = time;
        self
    }

    /// Sets the time that handlers have to end after they were cancelled, when the worker stops; the default
    /// is 5 seconds.
    pub fn grace(mut self, time: Duration) -> Self {
        self.limits.grace = time;
        self
    }

    /// Sets the time to tell the server what has become of the messages, when the worker stops; the default
    /// is 3 seconds.
    pub fn flush(mut self, time: Duration) -> Self {
        self.limits.flush = time;
        self
    }

    /// Runs the tasks of the worker, for a runtime other than Tokio.
    pub fn spawner(
        mut self,
        spawn: impl Fn(crate::erased::BoxFuture<'static, ()>) + Send + Sync + 'static,
    ) -> Self {
        self.spawner = Some(Spawner::new(spawn));
        self
    }

    /// Creates the dead-letter queues, listens, and begins to handle messages.
    ///
    /// # Errors
    ///
    /// A setting is of no use, a queue does not exist, or the database returned an error. Nothing runs then.
    /// A listener that cannot connect is no error: the worker looks for messages from time to time, and tries
    /// again.
    pub async fn start(self) -> Result<Worker, StartError> {
        let Self { broker, queues, state, layers, name, spawner, limits } = self;
        let Some(spawner) = spawner.or_else(default_spawner) else { return Err(StartError::NoRuntime) };
        if queues.is_empty() {
            return Err(StartError::NoQueue);
        }
        let worker: Arc<str> = name.unwrap_or_else(|| std::process::id().to_string()).into();
        let (state, layers) = (Arc::new(state), layers.into());
        let throttles = broker.throttles().await.map_err(StartError::Database)?;
        let names: Vec<_> = queues.iter().map(|(name, ..)| name.clone()).collect();
        let listener = broker.listen(&names).await;
        if let Err(error) = &listener {
            warn!("the worker cannot listen, and looks for messages from time to time: {error}");
        }
        let mut lanes: Vec<Arc<Lane>> = Vec::with_capacity(queues.len());
        for (queue, settings, handler) in queues {
            if lanes.iter().any(|lane| lane.queue() == queue) {
                return Err(StartError::Twice(queue));
            }
            let throttle = throttles.iter().flatten().find(|(name, _)| *name == queue);
            let facts = Facts {
                default_concurrency: CONCURRENCY,
                takes_batches: handler.takes_batches(),
                max_reads: handler.max_reads(),
                listens: throttle.is_some() && listener.is_ok(),
                throttle: throttle.map_or(Duration::ZERO, |(_, throttle)| *throttle),
            };
            let config = settings.config(&queue, &facts)?;
            let dead_letter_queue = settings.dead_letter_queue_of(&queue);
            if !broker.exists(&queue).await.map_err(StartError::Database)? {
                return Err(StartError::QueueNotFound(queue));
            }
            broker.create(&dead_letter_queue).await.map_err(StartError::Database)?;
            let source = Arc::new(Source {
                queue: queue.into(),
                dead_letter_queue: dead_letter_queue.into(),
                worker: Arc::clone(&worker),
                state: Arc::clone(&state),
            });
            let handler = layered(handler, &layers);
            let (broker, spawner) = (Arc::clone(&broker), spawner.clone());
            let parts = Parts { source, settings, broker, handler, spawner, add_slot: slot::add };
            lanes.push(Arc::new(Lane::new(parts, config, fastrand::u64(..))));
        }
        let (stopped, is_stopped): (Sender<()>, Receiver<()>) = async_channel::bounded(1);
        for lane in &lanes {
            keepers::spawn(lane);
        }
        spawner.spawn(listen(broker, lanes.clone(), listener.ok(), is_stopped));
        Ok(Worker { handle: Handle { lanes: lanes.into(), limits }, stopped })
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let queues: Vec<_> = self.queues.iter().map(|(name, ..)| name).collect();
        f.debug_struct("Builder").field("queues", &queues).finish_non_exhaustive()
    }
}

#[cfg(feature = "tokio")]
fn default_spawner() -> Option<Spawner> {
    Spawner::of_tokio()
}

#[cfg(not(feature = "tokio"))]
fn default_spawner() -> Option<Spawner> {
    None
}
