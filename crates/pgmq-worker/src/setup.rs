//! The parts of building and starting a worker that both shells have.

use std::sync::Arc;
use std::time::Duration;

use crate::handle::Handle;
use crate::machine::config::Config;
use crate::machine::event::StopLimits;
use crate::meta::Source;
use crate::observer::Observing;
use crate::queue::Queue;
use crate::settings::{Facts, SettingsError};
use crate::shell::clock::Clock;
use crate::shell::fault::DatabaseError;
use crate::shell::lane::{Lane, Parts, Slots};
use crate::state::State;

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
    /// The system has no thread for the sync worker.
    #[error("the worker cannot start a thread: {0}")]
    Thread(#[source] std::io::Error),
    /// The database returned an error.
    #[error("the worker cannot start: {0}")]
    Database(#[source] DatabaseError),
}

/// The settings of a worker apart from its queues and layers.
pub(crate) struct Common {
    pub(crate) state: State,
    pub(crate) name: Option<String>,
    pub(crate) limits: StopLimits,
    pub(crate) clock: Clock,
    pub(crate) observing: Observing,
}

impl Default for Common {
    fn default() -> Self {
        let limits = StopLimits {
            drain: Duration::from_secs(20),
            grace: Duration::from_secs(5),
            flush: Duration::from_secs(3),
        };
        Self {
            state: State::default(),
            name: None,
            limits,
            clock: Clock::System,
            observing: Observing::default(),
        }
    }
}

/// The methods of a builder, which has its [`Common`] settings in the field `common`.
macro_rules! builder_methods {
    () => {
        /// Shares a value with all handlers, which get it by its type: see
        /// [`Meta::state`](crate::Meta::state).
        pub fn state<S: Send + Sync + 'static>(mut self, value: S) -> Self {
            self.common.state.insert(value);
            self
        }

        /// Sets the observer of the worker, such as one that makes metrics of its events. An
        /// [`Arc`](::std::sync::Arc) of an observer is one as well.
        pub fn observer(mut self, observer: impl $crate::observer::WorkerObserver) -> Self {
            self.common.observing = $crate::observer::Observing::by(observer);
            self
        }

        /// Sets the name of the worker, for the headers of dead letters; the default is the process id.
        pub fn name(mut self, name: impl Into<String>) -> Self {
            self.common.name = Some(name.into());
            self
        }

        /// Sets the time that handlers have to end by themselves when the worker stops; the default is 20
        /// seconds.
        pub fn drain(mut self, time: ::std::time::Duration) -> Self {
            self.common.limits.drain = time;
            self
        }

        /// Sets the time that handlers have to end after they were cancelled, when the worker stops; the
        /// default is 5 seconds.
        pub fn grace(mut self, time: ::std::time::Duration) -> Self {
            self.common.limits.grace = time;
            self
        }

        /// Sets the time to tell the server what has become of the messages, when the worker stops; the
        /// default is 3 seconds.
        pub fn flush(mut self, time: ::std::time::Duration) -> Self {
            self.common.limits.flush = time;
            self
        }
    };
}
pub(crate) use builder_methods;

/// The facts about a handler that the settings of its queue depend on.
pub(crate) struct Traits {
    pub(crate) default_concurrency: usize,
    pub(crate) takes_batches: bool,
    pub(crate) max_reads: Option<u32>,
}

/// A worker that starts.
pub(crate) struct Setup {
    worker: Arc<str>,
    state: Arc<State>,
    limits: StopLimits,
    clock: Clock,
    observing: Observing,
    lanes: Vec<Arc<Lane>>,
}

/// The checked settings of a queue whose lane is still to be made.
pub(crate) struct Plan {
    pub(crate) source: Arc<Source>,
    settings: Queue,
    config: Config,
}

impl Setup {
    pub(crate) fn new(common: Common) -> Self {
        let Common { state, name, limits, clock, observing } = common;
        let worker = name.unwrap_or_else(|| std::process::id().to_string()).into();
        Self { worker, state: Arc::new(state), limits, clock, observing, lanes: Vec::new() }
    }

    /// Checks the settings of a queue.
    pub(crate) fn plan(&self, queue: String, settings: Queue, traits: &Traits) -> Result<Plan, StartError> {
        if self.lanes.iter().any(|lane| lane.queue() == queue) {
            return Err(StartError::Twice(queue));
        }
        let facts = Facts {
            default_concurrency: traits.default_concurrency,
            takes_batches: traits.takes_batches,
            max_reads: traits.max_reads,
        };
        let config = settings.config(&queue, &facts)?;
        let source = Source {
            dead_letter_queue: settings.dead_letter_queue_of(&queue).into(),
            queue: queue.into(),
            worker: Arc::clone(&self.worker),
            state: Arc::clone(&self.state),
            clock: self.clock.clone(),
        };
        Ok(Plan { source: Arc::new(source), settings, config })
    }

    /// Makes the lane of a queue. Nothing runs yet.
    pub(crate) fn add(&mut self, plan: Plan, slots: impl Slots + 'static) {
        let Plan { source, settings, config } = plan;
        let observing = self.observing.clone();
        let parts = Parts { source, settings, slots: Box::new(slots), observing };
        self.lanes.push(Arc::new(Lane::new(parts, config, self.clock.seed())));
    }

    /// The handle of all lanes.
    pub(crate) fn into_handle(self) -> Handle {
        Handle::new(self.lanes, self.limits)
    }
}
