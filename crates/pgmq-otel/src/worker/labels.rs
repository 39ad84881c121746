//! The attributes of each queue, which are made once: a worker needs them several times for each message.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use opentelemetry::KeyValue;

use crate::names;

/// The attributes of a queue.
pub(crate) struct Labels {
    /// The system and the queue, for metrics.
    pub(crate) queue: [KeyValue; 2],
    /// The attributes of a run of a handler, for spans and metrics.
    pub(crate) process: [KeyValue; 4],
    /// The name of the span of such a run.
    pub(crate) process_span: String,
}

impl Labels {
    fn new(queue: &str) -> Self {
        let [system, destination] = of_queue(queue);
        Self {
            queue: [system.clone(), destination.clone()],
            process: [
                system,
                KeyValue::new(names::OPERATION_NAME, "process"),
                KeyValue::new(names::OPERATION_TYPE, "process"),
                destination,
            ],
            process_span: format!("process {queue}"),
        }
    }
}

/// The attributes of a metric by queue. The text is shared: a clone of the attribute does not allocate.
pub(crate) fn of_queue(queue: &str) -> [KeyValue; 2] {
    let destination = Arc::<str>::from(queue);
    [KeyValue::new(names::SYSTEM, names::PGMQ), KeyValue::new(names::DESTINATION, destination)]
}

/// The attributes of all queues that a worker handles.
#[derive(Clone, Default)]
pub(crate) struct LabelsOfQueues(Arc<RwLock<HashMap<Box<str>, Arc<Labels>>>>);

impl LabelsOfQueues {
    /// The attributes of this queue.
    pub(crate) fn of(&self, queue: &str) -> Arc<Labels> {
        if let Some(labels) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(queue) {
            return Arc::clone(labels);
        }
        let mut queues = self.0.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(queues.entry(queue.into()).or_insert_with(|| Arc::new(Labels::new(queue))))
    }
}
