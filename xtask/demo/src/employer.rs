//! The worker of each kind of back end: on tasks, or on threads.

use std::future::Future;
use std::sync::Arc;

use anyhow::Result;
use pgmq_core::{AsyncListen, AsyncQueue, Listen};
use pgmq_worker::{
    Failure, Finished, Handle, Job, MessageEvent, Outcome, Queue, StopReport, Watch, Worker, sync,
};

use crate::blocking::Blocking;
use crate::shop::{ORDERS, Order, Prepared, Shop};

/// A back end over which a worker of its kind runs: async or sync.
pub(super) trait Employer: AsyncQueue {
    type Worker;

    /// Starts a worker that prepares the orders.
    async fn employ(&self, settings: Queue, shop: Arc<Shop>) -> Result<Self::Worker>;

    fn handle(worker: &Self::Worker) -> Handle;

    /// Waits for an event that matches.
    async fn until(watch: &mut Watch, matches: impl FnMut(&MessageEvent) -> bool) -> Result<MessageEvent>;

    async fn stop(worker: Self::Worker) -> StopReport;
}

/// The part of an async back end that depends on its driver.
pub(super) trait AsyncShop: AsyncListen + Clone + Send + Sync + 'static {
    /// Inserts the order into `sales` and finishes its message, in one transaction.
    fn book(self, job: Job<Order>) -> impl Future<Output = Result<Finished>> + Send;
}

/// The part of a sync back end that depends on its driver.
pub(super) trait SyncShop: Listen + Clone + Send + Sync + 'static {
    /// Inserts the order into `sales` and finishes its message, in one transaction.
    fn book(&self, job: &sync::Job<Order>) -> Result<Finished>;
}

impl<Q: AsyncShop> Employer for Q {
    type Worker = Worker;

    async fn employ(&self, settings: Queue, shop: Arc<Shop>) -> Result<Worker> {
        let queue = self.clone();
        let prepare = move |job: Job<Order>| {
            let (queue, shop) = (queue.clone(), Arc::clone(&shop));
            async move {
                Ok::<_, Failure>(match shop.prepare(&job, job.reads())? {
                    Prepared::Served => Outcome::Done,
                    Prepared::Sold => Outcome::Finished(queue.book(job).await?),
                })
            }
        };
        Ok(Worker::builder(self.clone()).queue(ORDERS, settings, prepare).start().await?)
    }

    fn handle(worker: &Worker) -> Handle {
        worker.handle()
    }

    async fn until(watch: &mut Watch, matches: impl FnMut(&MessageEvent) -> bool) -> Result<MessageEvent> {
        Ok(watch.until(matches).await?)
    }

    async fn stop(worker: Worker) -> StopReport {
        worker.stop().await
    }
}

impl<Q: SyncShop> Employer for Blocking<Q> {
    type Worker = sync::Worker;

    async fn employ(&self, settings: Queue, shop: Arc<Shop>) -> Result<sync::Worker> {
        let queue = self.0.clone();
        let prepare = move |job: &sync::Job<Order>| {
            Ok::<_, Failure>(match shop.prepare(job, job.reads())? {
                Prepared::Served => Outcome::Done,
                Prepared::Sold => Outcome::Finished(queue.book(job)?),
            })
        };
        Ok(sync::Worker::builder(self.0.clone()).queue(ORDERS, settings, prepare).start()?)
    }

    fn handle(worker: &sync::Worker) -> Handle {
        worker.handle()
    }

    async fn until(watch: &mut Watch, matches: impl FnMut(&MessageEvent) -> bool) -> Result<MessageEvent> {
        Ok(watch.until_blocking(matches)?)
    }

    async fn stop(worker: sync::Worker) -> StopReport {
        worker.stop()
    }
}
