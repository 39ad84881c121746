//! The async worker: what starts it, what steers it, and what stops it.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use futures_util::future::{Either, join_all, select};
use log::warn;
use pgmq_core::AsyncListen;

use crate::chain::Chain;
use crate::erased::Registered;
use crate::handle::{Handle, Running, StopReport};
use crate::into_handler::{IntoHandler, Runnable};
use crate::layer::{Layer, layered};
use crate::meta::Source;
use crate::queue::Queue;
use crate::setup::{Common, Setup, StartError, Traits, builder_methods};
use crate::shell::backend::Backend;
use crate::shell::broker::Broker;
use crate::shell::clock::Clock;
use crate::shell::keepers;
use crate::shell::limit::within;
use crate::shell::listening::{listen, review};
use crate::shell::notifying::Notifying;
use crate::shell::slot::Tasks;
use crate::shell::spawn::Spawner;

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
pub struct Worker(Running);

impl Worker {
    /// Begins to build a worker that uses this queue's database: the `PGMQueue` of an async back end.
    ///
    /// The worker uses up to five connections of the pool for each queue, apart from those of its handlers,
    /// and one of its own to listen.
    pub fn builder<Q: AsyncListen + Send + Sync + 'static>(queue: Q) -> Builder {
        Builder {
            broker: Arc::new(Backend(queue)),
            queues: Vec::new(),
            layers: Vec::new(),
            spawner: None,
            common: Common::default(),
        }
    }

    /// The means to look at the worker and to steer it, from any task.
    pub fn handle(&self) -> Handle {
        self.0.handle.clone()
    }

    /// Runs until the future ends, and then stops: see [`stop`](Self::stop).
    ///
    /// Ends earlier if [`Handle::stop`] is called.
    pub async fn run_until(self, shutdown: impl Future<Output = ()>) -> StopReport {
        let (shutdown, is_to_stop) = (pin!(shutdown), pin!(self.0.handle.is_to_stop()));
        let stopping = select(shutdown, is_to_stop);
        if let Either::Right(_) = select(pin!(self.ended()), stopping).await {
            self.stopped().await;
        }
        self.0.handle.report()
    }

    /// Stops: claims nothing more, releases what has not begun, and lets handlers end within the time to
    /// [drain](Builder::drain); then cancels and at last drops them, and tells the server what has become of
    /// the messages. Ends after the three limits at the latest.
    pub async fn stop(self) -> StopReport {
        self.stopped().await;
        self.0.handle.report()
    }

    /// Waits until all lanes have stopped.
    async fn ended(&self) {
        join_all(self.0.handle.lanes.iter().map(|lane| lane.channels.ended(lane.clock()))).await;
    }

    /// Stops all lanes, and waits for them. The limits are the lanes' own; the limit here is for the case
    /// that their timers do not run any more.
    async fn stopped(&self) {
        self.0.handle.stop();
        let clock = self.0.handle.clock();
        if within(&clock, self.0.handle.longest_stop(), self.ended()).await.is_none() {
            self.0.handle.end();
        }
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("handle", &self.0.handle).finish_non_exhaustive()
    }
}

/// The settings of a worker.
#[must_use = "a builder does nothing until it starts"]
pub struct Builder {
    broker: Arc<dyn Broker>,
    queues: Vec<(String, Queue, Registered)>,
    layers: Vec<Arc<dyn Layer>>,
    spawner: Option<Spawner>,
    common: Common,
}

impl Builder {
    /// Begins to build a worker without the type of its back end.
    pub(crate) fn by(broker: Arc<dyn Broker>, spawner: Spawner, clock: Clock) -> Self {
        let common = Common { clock, ..Common::default() };
        Self { broker, queues: Vec::new(), layers: Vec::new(), spawner: Some(spawner), common }
    }

    builder_methods!();

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

    /// Puts a layer around all handlers. The first layer is the outermost.
    pub fn layer(mut self, layer: impl Layer + 'static) -> Self {
        self.layers.push(Arc::new(layer));
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
        let Self { broker, queues, layers, spawner, common } = self;
        let Some(spawner) = spawner.or_else(default_spawner) else { return Err(StartError::NoRuntime) };
        if queues.is_empty() {
            return Err(StartError::NoQueue);
        }
        let layers = layers.into();
        let names: Vec<_> = queues.iter().map(|(name, ..)| name.clone()).collect();
        let listener = broker.listen(&names).await;
        if let Err(error) = &listener {
            let error = Chain(error);
            warn!("the worker cannot listen, and looks for messages from time to time: {error}");
        }
        let mut setup = Setup::new(common);
        for (queue, settings, handler) in queues {
            let traits = Traits {
                default_concurrency: CONCURRENCY,
                takes_batches: handler.takes_batches(),
                max_reads: handler.max_reads(),
            };
            let plan = setup.plan(queue, settings, &traits)?;
            let Source { queue, dead_letter_queue, .. } = &*plan.source;
            if !broker.exists(queue).await.map_err(StartError::Database)? {
                return Err(StartError::QueueNotFound(queue.to_string()));
            }
            broker.create(dead_letter_queue).await.map_err(StartError::Database)?;
            setup.add(plan, Tasks { handler: layered(handler, &layers), spawner: spawner.clone() });
        }
        let (handle, (stopped, is_stopped)) = (setup.into_handle(), async_channel::bounded(1));
        let clock = handle.clock();
        let mut notifying = Notifying::new(&handle.lanes, clock.now());
        review(&*broker, &mut notifying).await.map_err(StartError::Database)?;
        if listener.is_err() {
            notifying.lost();
        }
        for lane in handle.lanes.iter() {
            keepers::spawn(lane, &broker, &spawner);
        }
        spawner.spawn(listen(broker, notifying, listener.ok(), clock, is_stopped));
        Ok(Worker(Running { handle, stopped }))
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
