//! The measurement of one client with one workload.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use cpu_time::ProcessTime;
use hdrhistogram::Histogram;

use crate::bench_db::BenchDb;
use crate::client::{BenchClient, VT};
use crate::engine::Engine;
use crate::payload::Order;
use crate::workload::{Operation, Workload};

/// The longest time that is distinguished from longer ones.
const LONGEST: Duration = Duration::from_secs(100);

/// The extent of the measurements.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    /// The number of measurements of each client.
    pub(crate) rounds: usize,
    /// The least duration of a measurement.
    pub(crate) window: Duration,
    /// The operations of each task before the measurement, which open connections and prepare statements.
    pub(crate) warm_up: u32,
    /// The most messages with which a queue is filled at once.
    pub(crate) portion: u32,
}

/// The most bytes with which a queue is filled at once.
const LARGEST_PORTION: usize = 64 << 20;

/// The most tasks for which a queue is filled. More tasks share the messages.
const MOST_PORTIONS: u32 = 4;

impl Budget {
    /// The number of operations of each task for which the queue is filled.
    fn operations(&self, workload: &Workload) -> u32 {
        let messages = u32::try_from(LARGEST_PORTION / workload.bytes).unwrap_or(u32::MAX);
        (self.portion.min(messages) / workload.batch).max(1)
    }

    /// The operations of a task before the measurement: at least two, as a pool learns from the first.
    fn warm_up(&self, workload: &Workload) -> u32 {
        self.warm_up.min(self.operations(workload)).max(2)
    }
}

/// The result of a measurement.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) elapsed: Duration,
    /// The processor time of this process; unknown for another program.
    pub(crate) cpu: Option<Duration>,
    /// The duration of each operation, in nanoseconds.
    pub(crate) latencies: Histogram<u64>,
    /// The number of operations of each task.
    pub(crate) per_task: Vec<u64>,
}

impl Sample {
    pub(crate) fn empty() -> Result<Self> {
        Ok(Self {
            elapsed: Duration::ZERO,
            cpu: Some(Duration::ZERO),
            latencies: latencies()?,
            per_task: Vec::new(),
        })
    }

    pub(crate) fn operations(&self) -> u64 {
        self.latencies.len()
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.operations() as f64 / self.elapsed.as_secs_f64()
    }

    /// The processor time of an operation.
    pub(crate) fn cpu_per_operation(&self) -> Option<Duration> {
        Some(self.cpu?.div_f64(self.operations() as f64))
    }

    /// Adds the operations of tasks in a period.
    fn add(&mut self, elapsed: Duration, cpu: Duration, tasks: &[Histogram<u64>]) -> Result<()> {
        self.elapsed += elapsed;
        self.cpu = self.cpu.map(|before| before + cpu);
        self.per_task.resize(tasks.len(), 0);
        for (sum, task) in self.per_task.iter_mut().zip(tasks) {
            *sum += task.len();
            self.latencies.add(task)?;
        }
        Ok(())
    }
}

/// An empty histogram of nanoseconds, which allocates nothing later.
pub(crate) fn latencies() -> Result<Histogram<u64>> {
    Ok(Histogram::new_with_max(u64::try_from(LONGEST.as_nanos())?, 3)?)
}

/// Measures a client after it has connected and warmed up.
pub(crate) fn measure<C: BenchClient>(
    workload: &Workload,
    db: &mut BenchDb,
    budget: &Budget,
) -> Result<Sample> {
    let engine = Engine::of::<C>(workload.tasks)?;
    let client = engine.block_on(C::connect(db.url(), workload.connections))?;
    let orders: Arc<[Order]> = workload.orders().into();
    let tasks = || (0..workload.tasks).map(|task| client.for_task(task));

    let number_of_tasks = u32::try_from(workload.tasks)?;
    // The other messages in the queue do not matter during the warm-up.
    let bare = Workload { depth: 0, hidden: 0, ..*workload };
    let times = budget.warm_up(workload);
    prepare(&bare, db, workload.consumed() * times * number_of_tasks)?;
    let warm_up = tasks().map(|task| repeat(task, workload.operation, Arc::clone(&orders), times));
    engine.side_by_side(warm_up.collect())?;

    let mut sample = Sample::empty()?;
    while sample.elapsed < budget.window {
        let operations = budget.operations(workload) * number_of_tasks.min(MOST_PORTIONS);
        let until = match workload.consumed() {
            0 => Until::Over(budget.window),
            _ => Until::Begun(Arc::new(AtomicU32::new(operations))),
        };
        prepare(workload, db, workload.consumed() * operations)?;
        let works: Vec<_> = tasks()
            .map(|task| Ok(time(task, workload.operation, Arc::clone(&orders), until.clone(), latencies()?)))
            .collect::<Result<_>>()?;
        let (cpu, started) = (ProcessTime::now(), Instant::now());
        let done = engine.side_by_side(works)?;
        let (elapsed, cpu) = (started.elapsed(), cpu.elapsed());
        sample.add(elapsed, cpu, &done)?;
    }
    // Dropping the client may need its runtime.
    engine.block_on(async move { drop(client) });
    Ok(sample)
}

/// Empties the queue, and fills it with these messages in addition to the workload's backlog.
pub(crate) fn prepare(workload: &Workload, db: &mut BenchDb, messages: u32) -> Result<()> {
    let order = Order::of_about(workload.bytes);
    db.clear()?;
    db.fill(workload.hidden, &order, VT)?;
    db.fill(workload.depth.saturating_sub(workload.hidden) + messages, &order, 0)?;
    db.vacuum()
}

/// Performs the operation the given number of times.
pub(crate) async fn repeat<C: BenchClient>(
    client: C,
    operation: Operation,
    orders: Arc<[Order]>,
    times: u32,
) -> Result<()> {
    for _ in 0..times {
        operation.perform(&client, &orders).await?;
    }
    Ok(())
}

/// The end of the tasks.
#[derive(Clone)]
enum Until {
    /// After this duration.
    Over(Duration),
    /// After this number of operations, of all tasks together.
    Begun(Arc<AtomicU32>),
}

impl Until {
    /// Returns `true` if a task has to perform another operation.
    fn goes_on(&self, started: Instant) -> bool {
        match self {
            Self::Over(limit) => started.elapsed() < *limit,
            Self::Begun(left) => {
                let less = |left: u32| left.checked_sub(1);
                left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
            }
        }
    }
}

/// Performs operations until then, and times each.
async fn time<C: BenchClient>(
    client: C,
    operation: Operation,
    orders: Arc<[Order]>,
    until: Until,
    mut latencies: Histogram<u64>,
) -> Result<Histogram<u64>> {
    let started = Instant::now();
    while until.goes_on(started) {
        let begun = Instant::now();
        operation.perform(&client, &orders).await?;
        latencies.saturating_record(u64::try_from(begun.elapsed().as_nanos())?);
    }
    Ok(latencies)
}
