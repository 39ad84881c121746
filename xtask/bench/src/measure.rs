//! One measurement: one contestant, one workload, for a while.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use cpu_time::ProcessTime;
use hdrhistogram::Histogram;

use crate::contestant::{Contestant, VT};
use crate::engine::Engine;
use crate::payload::Order;
use crate::stage::Stage;
use crate::workload::{Operation, Workload};

/// The longest time that is told from longer ones.
const LONGEST: Duration = Duration::from_secs(100);

/// How much is done to know.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// How often everything is measured.
    pub(crate) rounds: usize,
    /// For how long, at least.
    pub(crate) window: Duration,
    /// How often each task does it before, so that connections are made and statements prepared.
    pub(crate) warm_up: u32,
    /// For how many messages a queue is filled, at most, to be read in one go.
    pub(crate) portion: u32,
}

/// How much is put into a queue to be read in one go, in bytes.
const LARGEST_PORTION: usize = 64 << 20;

/// For how many tasks a queue is filled: more of them share what is there.
const MOST_PORTIONS: u32 = 4;

impl Effort {
    /// For how many operations of each task the queue is filled.
    fn operations(&self, workload: &Workload) -> u32 {
        let messages = u32::try_from(LARGEST_PORTION / workload.bytes).unwrap_or(u32::MAX);
        (self.portion.min(messages) / workload.batch).max(1)
    }

    /// How often a task does it to warm up: twice at least, once to learn and once to know.
    fn warm_up(&self, workload: &Workload) -> u32 {
        self.warm_up.min(self.operations(workload)).max(2)
    }
}

/// What came out of a measurement.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) elapsed: Duration,
    /// The time that this process spent on its processors; not known of a program of its own.
    pub(crate) cpu: Option<Duration>,
    /// How long each operation took, in nanoseconds.
    pub(crate) latencies: Histogram<u64>,
    /// How many operations each task did.
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

    /// Adds what tasks did in some time.
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

/// An empty histogram of nanoseconds, which takes no memory later.
pub(crate) fn latencies() -> Result<Histogram<u64>> {
    Ok(Histogram::new_with_max(u64::try_from(LONGEST.as_nanos())?, 3)?)
}

/// Measures a contestant that has connected and warmed up.
pub(crate) fn measure<C: Contestant>(
    workload: &Workload,
    stage: &mut Stage,
    effort: &Effort,
) -> Result<Sample> {
    let engine = Engine::of::<C>(workload.tasks)?;
    let contestant = engine.block_on(C::connect(stage.url(), workload.connections))?;
    let orders: Arc<[Order]> = workload.orders().into();
    let tasks = || (0..workload.tasks).map(|task| contestant.for_task(task));

    let number_of_tasks = u32::try_from(workload.tasks)?;
    // Warming up, it does not matter what else is there.
    let bare = Workload { depth: 0, hidden: 0, ..*workload };
    let times = effort.warm_up(workload);
    prepare(&bare, stage, workload.consumed() * times * number_of_tasks)?;
    let warm_up = tasks().map(|task| repeat(task, workload.operation, Arc::clone(&orders), times));
    engine.side_by_side(warm_up.collect())?;

    let mut sample = Sample::empty()?;
    while sample.elapsed < effort.window {
        let operations = effort.operations(workload) * number_of_tasks.min(MOST_PORTIONS);
        let until = match workload.consumed() {
            0 => Until::Over(effort.window),
            _ => Until::Begun(Arc::new(AtomicU32::new(operations))),
        };
        prepare(workload, stage, workload.consumed() * operations)?;
        let works: Vec<_> = tasks()
            .map(|task| Ok(time(task, workload.operation, Arc::clone(&orders), until.clone(), latencies()?)))
            .collect::<Result<_>>()?;
        let (cpu, started) = (ProcessTime::now(), Instant::now());
        let done = engine.side_by_side(works)?;
        let (elapsed, cpu) = (started.elapsed(), cpu.elapsed());
        sample.add(elapsed, cpu, &done)?;
    }
    // What it leaves to its runtime needs that runtime.
    engine.block_on(async move { drop(contestant) });
    Ok(sample)
}

/// Empties the queue and puts so many messages into it, among what is to be there in any case.
pub(crate) fn prepare(workload: &Workload, stage: &mut Stage, messages: u32) -> Result<()> {
    let order = Order::of_about(workload.bytes);
    stage.clear()?;
    stage.fill(workload.hidden, &order, VT)?;
    stage.fill(workload.depth.saturating_sub(workload.hidden) + messages, &order, 0)?;
    stage.vacuum()
}

/// Does it so many times.
pub(crate) async fn repeat<C: Contestant>(
    contestant: C,
    operation: Operation,
    orders: Arc<[Order]>,
    times: u32,
) -> Result<()> {
    for _ in 0..times {
        operation.perform(&contestant, &orders).await?;
    }
    Ok(())
}

/// When the tasks end.
#[derive(Clone)]
enum Until {
    /// So long after they began.
    Over(Duration),
    /// When so many operations have begun, of all tasks together.
    Begun(Arc<AtomicU32>),
}

impl Until {
    /// Whether a task is to do it once more.
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

/// Does it until then, and takes the time of each.
async fn time<C: Contestant>(
    contestant: C,
    operation: Operation,
    orders: Arc<[Order]>,
    until: Until,
    mut latencies: Histogram<u64>,
) -> Result<Histogram<u64>> {
    let started = Instant::now();
    while until.goes_on(started) {
        let begun = Instant::now();
        operation.perform(&contestant, &orders).await?;
        latencies.saturating_record(u64::try_from(begun.elapsed().as_nanos())?);
    }
    Ok(latencies)
}
