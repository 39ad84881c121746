//! An observer that records the operations of a queue.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pgmq_core::{Ended, ErrorKind, Observation, Observer, ServerAddress, Started, TraceContext};

/// Records the operations of a queue, and has them send a trace context if it was given one.
#[derive(Default)]
pub(crate) struct Recorder {
    records: Mutex<Vec<Record>>,
    context: Option<TraceContext>,
}

/// One operation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Record {
    pub(crate) operation: &'static str,
    pub(crate) queue: Option<String>,
    pub(crate) routing_key: Option<String>,
    /// The number of messages that it sends or settles.
    pub(crate) given: Option<usize>,
    pub(crate) settled: Option<i64>,
    pub(crate) server: Option<ServerAddress>,
    /// The number of times that a part of its work was done.
    pub(crate) parts: usize,
    pub(crate) end: End,
}

/// The end of an operation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum End {
    Running,
    Cancelled,
    Succeeded {
        messages: usize,
        message_id: Option<i64>,
        received: Vec<(i64, Option<TraceContext>)>,
        attempts: u32,
    },
    Failed {
        kind: ErrorKind,
        sqlstate: Option<String>,
        attempts: u32,
    },
}

impl Recorder {
    /// A recorder whose operations send this context.
    pub(crate) fn sending(context: TraceContext) -> Self {
        Self { context: Some(context), ..Self::default() }
    }

    /// The operations since the last call.
    pub(crate) fn take(&self) -> Vec<Record> {
        std::mem::take(&mut *self.lock())
    }

    /// The only operation since the last call.
    pub(crate) fn take_one(&self) -> Record {
        let records = self.take();
        assert_eq!(records.len(), 1, "{records:#?}");
        records.into_iter().next().expect("there is one")
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Record>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The observer of a recorder.
pub(crate) struct Recording(pub(crate) Arc<Recorder>);

impl Observer for Recording {
    fn started(&self, started: &Started<'_>) -> Box<dyn Observation> {
        let mut records = self.0.lock();
        let at = records.len();
        records.push(Record {
            operation: started.operation.name,
            queue: started.queue.map(Into::into),
            routing_key: started.routing_key.map(Into::into),
            given: started.messages,
            settled: started.message_id,
            server: started.server.cloned(),
            parts: 0,
            end: End::Running,
        });
        Box::new(Running { recorder: Arc::clone(&self.0), at })
    }
}

struct Running {
    recorder: Arc<Recorder>,
    at: usize,
}

impl Running {
    fn change(&self, change: impl FnOnce(&mut Record)) {
        if let Some(record) = self.recorder.lock().get_mut(self.at) {
            change(record);
        }
    }
}

impl Observation for Running {
    fn trace_context(&self) -> Option<TraceContext> {
        self.recorder.context.clone()
    }

    fn within(&mut self, work: &mut dyn FnMut()) {
        self.change(|record| record.parts += 1);
        work();
    }

    fn ended(self: Box<Self>, ended: &Ended<'_>) {
        let attempts = ended.attempts;
        let end = match &ended.result {
            Ok(succeeded) => {
                let mut received = Vec::new();
                succeeded.for_each(|message| received.push((message.msg_id, message.trace_context())));
                let (messages, message_id) = (succeeded.messages, succeeded.message_id);
                End::Succeeded { messages, message_id, received, attempts }
            }
            Err(failed) => {
                End::Failed { kind: failed.kind, sqlstate: failed.sqlstate.map(Into::into), attempts }
            }
        };
        self.change(|record| record.end = end);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.change(|record| {
            if record.end == End::Running {
                record.end = End::Cancelled;
            }
        });
    }
}
