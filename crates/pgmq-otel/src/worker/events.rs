//! The metrics of a worker's events.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, Meter};
use pgmq_worker::{Happened, Meta, WorkerEvent};

use crate::instruments::{BUCKETS, WAITING, seconds};
use crate::names;
use crate::worker::labels::{Labels, LabelsOfQueues};

/// The buckets of numbers of messages.
const MESSAGES: [f64; 11] = [0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0];

/// The instruments of a worker.
#[derive(Clone)]
pub(crate) struct Events {
    time_in_queue: Histogram<f64>,
    lease_left: Histogram<f64>,
    read: Histogram<u64>,
    settled: Histogram<u64>,
    messages: Counter<u64>,
    late: Histogram<f64>,
    lost: Counter<u64>,
    failed_calls: Counter<u64>,
    lost_listeners: Counter<u64>,
    queues: LabelsOfQueues,
}

impl Events {
    pub(crate) fn new(meter: &Meter, queues: LabelsOfQueues) -> Self {
        let numbers = |name, description| {
            let histogram = meter.u64_histogram(name).with_unit("{message}").with_description(description);
            histogram.with_boundaries(MESSAGES.to_vec()).build()
        };
        let counter = |name, unit, description| {
            meter.u64_counter(name).with_unit(unit).with_description(description).build()
        };
        let durations = |name, buckets: &[f64], description| {
            seconds(meter, name, buckets).with_description(description).build()
        };
        Self {
            time_in_queue: durations(
                "pgmq.worker.time_in_queue",
                &WAITING,
                "Time from the send of a message until a handler begins with it.",
            ),
            lease_left: durations(
                "pgmq.worker.lease.left",
                &BUCKETS,
                "Time that was left of the lease of a message when its handler ended.",
            ),
            read: numbers("pgmq.worker.read.messages", "Messages that a read has brought."),
            settled: numbers("pgmq.worker.settle.messages", "Messages that a statement has settled."),
            messages: counter(
                "pgmq.worker.messages",
                "{message}",
                "Messages that were changed on the server, or have lost their leases, by event.",
            ),
            late: durations(
                "pgmq.worker.extend.late",
                &BUCKETS,
                "Time by which an extension of leases was late.",
            ),
            lost: counter(
                "pgmq.worker.extend.lost",
                "{lease}",
                "Leases that were no longer current when they were to be extended.",
            ),
            failed_calls: counter(
                "pgmq.worker.calls.failed",
                "{call}",
                "Calls of the database that have failed.",
            ),
            lost_listeners: counter("pgmq.worker.listener.lost", "{loss}", "Losses of the listener."),
            queues,
        }
    }

    pub(crate) fn observe(&self, event: &WorkerEvent<'_>) {
        match *event {
            WorkerEvent::Read { queue, got, .. } => self.read.record(count(got), &self.of(queue).queue),
            WorkerEvent::Begun { message } => {
                self.time_in_queue.record(time_in_queue(message), &self.of(message.queue()).queue);
            }
            WorkerEvent::Handled { message, .. } => {
                let left = message.lease_left().as_secs_f64();
                self.lease_left.record(left, &self.of(message.queue()).queue);
            }
            WorkerEvent::Message(event) => {
                let (name, reason) = happened(&event.happened);
                let [_, queue] = &self.of(&event.queue).queue;
                let (queue, event) = (queue.clone(), KeyValue::new("pgmq.event", name));
                match reason {
                    Some(reason) => {
                        self.messages.add(1, &[queue, event, KeyValue::new("pgmq.reason", reason)]);
                    }
                    None => self.messages.add(1, &[queue, event]),
                }
            }
            WorkerEvent::Settled { queue, messages, .. } => {
                self.settled.record(count(messages), &self.of(queue).queue);
            }
            WorkerEvent::Extended { queue, leases, current, late } => {
                if late > Duration::ZERO {
                    self.late.record(late.as_secs_f64(), &self.of(queue).queue);
                }
                if leases > current {
                    self.lost.add(count(leases - current), &self.of(queue).queue);
                }
            }
            WorkerEvent::CallFailed { queue, call, kind } => {
                let error_type = kind.map_or("timeout".to_owned(), names::error_type);
                let error_type = KeyValue::new(names::ERROR_TYPE, error_type);
                let [_, queue] = &self.of(queue).queue;
                self.failed_calls.add(1, &[queue.clone(), KeyValue::new("pgmq.call", call), error_type]);
            }
            WorkerEvent::ListenerLost => {
                self.lost_listeners.add(1, &[KeyValue::new(names::SYSTEM, names::PGMQ)]);
            }
            _ => {}
        }
    }

    fn of(&self, queue: &str) -> Arc<Labels> {
        self.queues.of(queue)
    }
}

/// The seconds since a message was sent.
pub(crate) fn time_in_queue(job: &Meta) -> f64 {
    names::seconds_between(job.enqueued_at().timestamp_micros(), names::unix_micros())
}

pub(crate) fn count(messages: usize) -> u64 {
    u64::try_from(messages).unwrap_or(u64::MAX)
}

/// The name of a change of a message in snake case, and the reason of a dead letter.
fn happened(happened: &Happened) -> (&'static str, Option<&'static str>) {
    let name = match happened {
        Happened::Deleted => "deleted",
        Happened::Archived => "archived",
        Happened::Forwarded { .. } => "forwarded",
        Happened::Finished => "finished",
        Happened::Retried { .. } => "retried",
        Happened::Snoozed { .. } => "snoozed",
        Happened::DeadLettered { reason, .. } => return ("dead_lettered", Some(reason.as_str())),
        Happened::Lost => "lost",
        Happened::AlreadyGone => "already_gone",
        Happened::Stuck => "stuck",
        Happened::NotSettled => "not_settled",
        _ => "_OTHER",
    };
    (name, None)
}
