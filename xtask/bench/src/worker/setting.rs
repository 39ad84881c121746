//! The server, the runtime and the size of the measurements.

use std::time::Duration;

use anyhow::{Context, Result};
use tokio::runtime::{Builder, Runtime};

use crate::bench_db::BenchDb;
use crate::payload::Order;

/// The messages of a read and of a deletion, by hand and by the worker.
pub(super) const BATCH: u32 = 100;

/// The visibility timeout of the loops, longer than any measurement.
pub(super) const VT: Duration = Duration::from_secs(3600);

/// The connections of a pool.
pub(super) const POOL: u32 = 8;

/// The things that all measurements use.
pub(super) struct Setting {
    pub(super) db: BenchDb,
    pub(super) runtime: Runtime,
    /// The number of messages of a measurement of a rate.
    pub(super) messages: u32,
    /// The number of samples of a measurement of a latency.
    pub(super) samples: usize,
}

impl Setting {
    pub(super) fn new(is_quick: bool) -> Result<Self> {
        let mut db = BenchDb::to_measure()?;
        db.set_synchronous_commit(false)?;
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let (messages, samples) = if is_quick { (2_000, 10) } else { (40_000, 60) };
        Ok(Self { db, runtime: runtime.context("cannot start an async runtime")?, messages, samples })
    }

    /// Fills the queue with this number of messages and nothing else.
    pub(super) fn fill(&mut self, messages: u32) -> Result<()> {
        self.db.clear()?;
        self.db.fill(messages, &Order::of_about(200), 0)?;
        self.db.vacuum()
    }
}
