//! Runs every operation of the table, with sample arguments.

use std::{fmt, future::Future, pin::Pin, time::Duration};

use pgmq_core::{
    AsyncQueue, Operation, Output, Statement,
    samples::{Samples, Visit},
};

/// The name of an operation, and its result in `Debug` format.
pub(crate) type Ran<E> = (&'static str, Result<String, E>);

/// Arguments that do no harm on a queue with this name.
pub(crate) fn samples(queue: &str) -> Samples {
    let [queue, routing_key, pattern, interval, json] =
        [queue, "a.b", "a.b", "10000", "text"].map(ToOwned::to_owned);
    let (ids, count, seconds, duration) = (vec![1, 2], 1, 0, Duration::from_secs(1));
    Samples { queue, routing_key, pattern, interval, json, ids, count, seconds, duration, premake: None }
}

/// Runs every operation whose first argument is a queue, on the queue with this name.
pub(crate) async fn on_every_queue_operation<Queue: AsyncQueue>(
    queue: &Queue,
    name: &str,
) -> Vec<Ran<Queue::Error>> {
    on_every_operation(queue, &samples(name), |operation| operation.arguments.first() == Some(&"queue")).await
}

/// Runs the operations that `choose` selects, one after the other.
pub(crate) async fn on_every_operation<Queue: AsyncQueue>(
    queue: &Queue,
    samples: &Samples,
    choose: impl Fn(&Operation) -> bool,
) -> Vec<Ran<Queue::Error>> {
    let mut chosen = Chosen { queue, choose, runs: Vec::new() };
    samples.visit(&mut chosen);
    let mut ran = Vec::new();
    for (operation, run) in chosen.runs {
        ran.push((operation, run.await));
    }
    ran
}

/// A run of an operation, whose result is shown.
type Run<'s, E> = Pin<Box<dyn Future<Output = Result<String, E>> + Send + 's>>;

/// The chosen operations, each with its run. The run of a blocking queue is over when it is in the list.
struct Chosen<'s, Queue: AsyncQueue, Choose> {
    queue: &'s Queue,
    choose: Choose,
    runs: Vec<(&'static str, Run<'s, Queue::Error>)>,
}

impl<'s, Queue: AsyncQueue, Choose: Fn(&Operation) -> bool> Visit<'s> for Chosen<'s, Queue, Choose> {
    fn visit<O: Output + fmt::Debug + 's>(
        &mut self,
        operation: &'static Operation,
        statement: Statement<'s, O>,
    ) {
        if (self.choose)(operation) {
            let run = self.queue.run(statement);
            let shown = async move { run.await.map(|value| format!("{value:?}")) };
            self.runs.push((operation.name, Box::pin(shown)));
        }
    }
}
