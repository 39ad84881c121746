//! The sync worker: what starts it, and what stops it.

use std::fmt;
use std::sync::Arc;
use std::thread::available_parallelism;

use futures_util::future::join_all;
use log::warn;
use pgmq_core::Listen;

use crate::chain::Chain;
use crate::handle::{Handle, Running, StopReport};
use crate::meta::Source;
use crate::queue::Queue;
use crate::setup::{Common, Setup, StartError, Traits, builder_methods};
use crate::shell::channels::LONGEST_END;
use crate::shell::clock::Clock;
use crate::shell::notifying::Notifying;
use crate::sync::erased::Registered;
use crate::sync::into_handler::{IntoHandler, Runnable};
use crate::sync::layer::{Layer, layered};
use crate::sync::shell::backend::Backend;
use crate::sync::shell::broker::Broker;
use crate::sync::shell::keepers;
use crate::sync::shell::limit::wait;
use crate::sync::shell::listening::{listen, review};
use crate::sync::shell::slot::Threads;
use crate::sync::shell::spawn::spawn;

/// A worker that runs: it reads messages from queues, and runs handlers on them, each on a thread.
///
/// ```no_run
/// use std::io;
///
/// use pgmq_postgres::PGMQueue;
/// use pgmq_worker::Queue;
/// use pgmq_worker::sync::{Job, Worker};
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct Email {
///     to: String,
/// }
///
/// fn send_email(job: &Job<Email>) -> Result<(), io::Error> {
///     println!("to {}", job.to);
///     Ok(())
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let queue = PGMQueue::connect("postgres://postgres:postgres@localhost/postgres")?;
/// queue.create_queue("emails")?;
///
/// let worker = Worker::builder(queue).queue("emails", Queue::new(), send_email).start()?;
/// io::stdin().read_line(&mut String::new())?;
/// println!("{}", worker.stop());
/// # Ok(())
/// # }
/// ```
///
/// A thread cannot be stopped from outside. A handler that may take long looks at
/// [`is_cancelled`](crate::sync::Job::is_cancelled) from time to time, or waits with
/// [`sleep`](crate::sync::Job::sleep), which ends when the job is cancelled. A handler that does not end is
/// left behind when the worker stops: [`StopReport::running`] names its message, which other workers get when
/// its lease has run out, and not before, as the handler may still write.
///
/// The threads of a queue are those of its handlers, which are spawned when they are needed, and six others.
/// Calls of the database have no other limits than the timeouts of the back end.
///
/// Dropping a worker stops it, as far as that goes without waiting: handlers are cancelled and left behind.
#[must_use = "a worker that is dropped stops"]
pub struct Worker(Running);

impl Worker {
    /// Begins to build a worker that uses this queue's database: the `PGMQueue` of a sync back end.
    ///
    /// The worker uses up to five connections of the pool for each queue, apart from those of its handlers,
    /// and one of its own to listen.
    pub fn builder<Q: Listen + Send + Sync + 'static>(queue: Q) -> Builder {
        Builder {
            broker: Arc::new(Backend(queue)),
            queues: Vec::new(),
            layers: Vec::new(),
            common: Common::default(),
        }
    }

    /// The means to look at the worker and to steer it, from any thread.
    pub fn handle(&self) -> Handle {
        self.0.handle.clone()
    }

    /// Blocks until [`Handle::stop`] was called and the worker has stopped: see [`stop`](Self::stop).
    pub fn join(self) -> StopReport {
        wait(&self.0.handle.clock(), None, self.0.handle.is_to_stop());
        self.join_in_time()
    }

    /// Stops: claims nothing more, releases what has not begun, and lets handlers end within the time to
    /// [drain](Builder::drain); then cancels and at last leaves them behind, and tells the server what has
    /// become of the messages. Returns after the three limits at the latest.
    pub fn stop(self) -> StopReport {
        self.0.handle.stop();
        self.join_in_time()
    }

    /// Waits until all lanes have stopped. The limits are the lanes' own; the limit here is for the case that
    /// their timers do not run any more.
    fn join_in_time(self) -> StopReport {
        let clock = self.0.handle.clock();
        let lanes = self.0.handle.lanes.iter();
        let deadline = clock.now().checked_add(self.0.handle.longest_stop());
        let stopped = join_all(lanes.clone().map(|lane| lane.channels.stopped.1.recv()));
        if wait(&clock, deadline, stopped).is_none() {
            self.0.handle.end();
        }
        // Threads that are in no call and no handler end now.
        let deadline = clock.now().checked_add(LONGEST_END);
        wait(&clock, deadline, join_all(lanes.map(|lane| lane.channels.quiet())));
        self.0.handle.report()
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
    common: Common,
}

impl Builder {
    /// Begins to build a worker without the type of its back end.
    pub(crate) fn by(broker: Arc<dyn Broker>, clock: Clock) -> Self {
        let common = Common { clock, ..Common::default() };
        Self { broker, queues: Vec::new(), layers: Vec::new(), common }
    }

    builder_methods!();

    /// Handles the messages of a queue: a function of a [`&Job`](crate::sync::Job) or of a
    /// [`&Batch`](crate::sync::Batch), or a [`Router`](crate::sync::Router).
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

    /// Creates the dead-letter queues, listens, and begins to handle messages.
    ///
    /// # Errors
    ///
    /// A setting is of no use, a queue does not exist, the database returned an error, or the system has no
    /// thread. Nothing runs then. A listener that cannot connect is no error: the worker looks for messages
    /// from time to time, and tries again.
    pub fn start(self) -> Result<Worker, StartError> {
        let Self { broker, queues, layers, common } = self;
        if queues.is_empty() {
            return Err(StartError::NoQueue);
        }
        let layers = layers.into();
        let names: Vec<_> = queues.iter().map(|(name, ..)| name.clone()).collect();
        let listener = broker.listen(&names);
        if let Err(error) = &listener {
            let error = Chain(error);
            warn!("the worker cannot listen, and looks for messages from time to time: {error}");
        }
        let mut setup = Setup::new(common);
        for (queue, settings, handler) in queues {
            let traits = Traits {
                default_concurrency: available_parallelism().map_or(2, |cores| cores.get().saturating_mul(2)),
                takes_batches: handler.takes_batches(),
                max_reads: handler.max_reads(),
            };
            let plan = setup.plan(queue, settings, &traits)?;
            let Source { queue, dead_letter_queue, .. } = &*plan.source;
            if !broker.exists(queue).map_err(StartError::Database)? {
                return Err(StartError::QueueNotFound(queue.to_string()));
            }
            broker.create(dead_letter_queue).map_err(StartError::Database)?;
            setup.add(plan, Threads { handler: layered(handler, &layers) });
        }
        let (handle, (stopped, is_stopped)) = (setup.into_handle(), async_channel::bounded(1));
        let clock = handle.clock();
        let mut notifying = Notifying::new(&handle.lanes, clock.now());
        review(&*broker, &mut notifying).map_err(StartError::Database)?;
        if listener.is_err() {
            notifying.lost();
        }
        let lanes = handle.lanes.to_vec();
        // An error drops the worker, which ends the threads that run by then.
        let worker = Worker(Running { handle, stopped });
        for lane in &lanes {
            keepers::spawn(lane, &broker).map_err(StartError::Thread)?;
        }
        let listener = listener.ok();
        let clock_of_listener = clock.clone();
        let listening = move || listen(&*broker, notifying, listener, &clock_of_listener, &is_stopped);
        spawn(&clock, "pgmq-listen", listening).map_err(StartError::Thread)?;
        Ok(worker)
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let queues: Vec<_> = self.queues.iter().map(|(name, ..)| name).collect();
        f.debug_struct("Builder").field("queues", &queues).finish_non_exhaustive()
    }
}
