//! The metrics of the messages that workers hold.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;
use pgmq_worker::Handle;

use crate::worker::events::count;
use crate::worker::labels::of_queue;

const STATE: &str = "pgmq.state";

/// The workers whose messages are reported.
#[derive(Clone, Default)]
pub(crate) struct Held(Arc<Mutex<Workers>>);

#[derive(Default)]
struct Workers {
    running: Vec<Handle>,
    /// The queues of all workers, also of those that have stopped: the SDK repeats the last value of a queue
    /// that is not reported any more.
    queues: BTreeSet<String>,
}

/// The sums of one queue over all workers of this process.
#[derive(Default)]
struct Sums {
    waiting: usize,
    running: usize,
    unsettled: usize,
    stuck: usize,
    /// The largest of the workers.
    failed_reads: u32,
}

impl Held {
    /// Makes the instruments, which ask the workers at each collection. They last as long as their provider,
    /// so they are made once and not for each worker.
    pub(crate) fn new(meter: &Meter) -> Self {
        let held = Self::default();
        let asked = held.clone();
        meter
            .i64_observable_up_down_counter("pgmq.worker.in_flight")
            .with_unit("{message}")
            .with_description("Messages that the worker has read and not settled yet, by state.")
            .with_callback(move |observer| {
                for (queue, sums) in asked.sums() {
                    let states =
                        [("waiting", sums.waiting), ("running", sums.running), ("unsettled", sums.unsettled)];
                    for (state, messages) in states {
                        let [system, queue] = of_queue(&queue);
                        observer.observe(integer(messages), &[system, queue, KeyValue::new(STATE, state)]);
                    }
                }
            })
            .build();
        let asked = held.clone();
        meter
            .i64_observable_up_down_counter("pgmq.worker.stuck")
            .with_unit("{message}")
            .with_description("Messages whose handlers do not end although they were cancelled.")
            .with_callback(move |observer| {
                for (queue, sums) in asked.sums() {
                    observer.observe(integer(sums.stuck), &of_queue(&queue));
                }
            })
            .build();
        let asked = held.clone();
        meter
            .u64_observable_gauge("pgmq.worker.read.failing")
            .with_unit("{read}")
            .with_description("Reads that have failed since the last one that worked.")
            .with_callback(move |observer| {
                for (queue, sums) in asked.sums() {
                    observer.observe(u64::from(sums.failed_reads), &of_queue(&queue));
                }
            })
            .build();
        held
    }

    /// Adds a worker.
    pub(crate) fn add(&self, handle: Handle) {
        let mut workers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Without a reader of the metrics, nothing else drops the workers that have stopped.
        workers.running.retain(runs);
        workers.queues.extend(handle.health().into_iter().map(|health| health.queue));
        workers.running.push(handle);
    }

    /// The sums by queue. Drops the workers that have stopped.
    fn sums(&self) -> BTreeMap<String, Sums> {
        let mut workers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        workers.running.retain(runs);
        let mut queues: BTreeMap<_, Sums> =
            workers.queues.iter().map(|queue| (queue.clone(), Sums::default())).collect();
        for health in workers.running.iter().flat_map(Handle::health) {
            let sums = queues.entry(health.queue).or_default();
            sums.waiting += health.waiting;
            sums.running += health.running;
            sums.unsettled += health.unsettled;
            sums.stuck += health.stuck;
            sums.failed_reads = sums.failed_reads.max(health.failed_reads);
        }
        queues
    }
}

/// Returns `true` while a worker runs, or has handlers that do. Messages that a stop has left unsettled are
/// no longer held: they come again.
fn runs(handle: &Handle) -> bool {
    handle.health().iter().any(|health| health.is_running || health.running > 0)
}

fn integer(messages: usize) -> i64 {
    i64::try_from(count(messages)).unwrap_or(i64::MAX)
}
