//! The hooks of a worker: the layers around handlers, async and sync, and the observer.

use std::sync::Arc;

use opentelemetry::trace::FutureExt;
use pgmq_worker::{BoxFuture, Layer, Meta, Next, NextBatch, Outcome, WorkerEvent, WorkerObserver, sync};

use crate::worker::OtelWorker;
use crate::worker::process::Process;

impl Layer for OtelWorker {
    fn around<'a>(&'a self, job: &'a Meta, next: Next<'a>) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let process = Process::of_one(self, job);
            // The context is attached at each poll.
            let outcome = next.run().with_context(process.context()).await;
            process.end(std::slice::from_ref(&outcome));
            outcome
        })
    }

    fn around_batch<'a>(&'a self, jobs: &'a [Arc<Meta>], next: NextBatch<'a>) -> BoxFuture<'a, Vec<Outcome>> {
        Box::pin(async move {
            let process = Process::of_batch(self, jobs);
            let outcomes = next.run().with_context(process.context()).await;
            process.end(&outcomes);
            outcomes
        })
    }
}

impl sync::Layer for OtelWorker {
    fn around(&self, job: &Meta, next: sync::Next<'_>) -> Outcome {
        let process = Process::of_one(self, job);
        let outcome = {
            let _attached = process.context().attach();
            next.run()
        };
        process.end(std::slice::from_ref(&outcome));
        outcome
    }

    fn around_batch(&self, jobs: &[Arc<Meta>], next: sync::NextBatch<'_>) -> Vec<Outcome> {
        let process = Process::of_batch(self, jobs);
        let outcomes = {
            let _attached = process.context().attach();
            next.run()
        };
        process.end(&outcomes);
        outcomes
    }
}

impl WorkerObserver for OtelWorker {
    fn observe(&self, event: &WorkerEvent<'_>) {
        self.events.observe(event);
    }
}
