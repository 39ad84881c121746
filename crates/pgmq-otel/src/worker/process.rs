//! One run of a handler: its span and its metric.

use std::sync::Arc;
use std::time::Instant;

use opentelemetry::metrics::Histogram;
use opentelemetry::trace::{Link, SpanBuilder, SpanContext, SpanKind, Status, TraceContextExt};
use opentelemetry::{Context, KeyValue};
use pgmq_worker::{Meta, Outcome};

use crate::context::span_context;
use crate::names;
use crate::worker::OtelWorker;
use crate::worker::events::time_in_queue;
use crate::worker::labels::Labels;

const TIME_IN_QUEUE: &str = "pgmq.message.time_in_queue";
const READ_COUNT: &str = "pgmq.message.read_count";
const MESSAGE_TYPE: &str = "pgmq.message.type";
const OUTCOME: &str = "pgmq.outcome";
const FAILED_COUNT: &str = "pgmq.batch.failed_count";

/// A run of a handler that is under way. The run is cancelled if this is dropped.
pub(crate) struct Process {
    context: Context,
    begun: Instant,
    duration: Histogram<f64>,
    labels: Arc<Labels>,
    shows_error_text: bool,
    has_ended: bool,
}

impl Process {
    /// A run with one message.
    pub(crate) fn of_one(worker: &OtelWorker, job: &Meta) -> Self {
        let sent_by = sent_by(job);
        let mut attributes = Vec::with_capacity(10);
        attributes.push(KeyValue::new(names::MESSAGE_ID, job.id().to_string()));
        attributes.push(KeyValue::new(READ_COUNT, i64::from(job.reads())));
        attributes.push(KeyValue::new(TIME_IN_QUEUE, time_in_queue(job)));
        if let Some(kind) = job.kind() {
            attributes.push(KeyValue::new(MESSAGE_TYPE, kind.to_owned()));
        }
        let current = Context::current();
        let parent = match &sent_by {
            Some(span) if worker.has_parent_from_message => current.with_remote_span_context(span.clone()),
            _ => current,
        };
        let links = sent_by.map(|span| Link::new(span, Vec::new(), 0)).into_iter().collect();
        Self::begin(worker, job.queue(), attributes, links, &parent)
    }

    /// A run with a batch.
    pub(crate) fn of_batch(worker: &OtelWorker, jobs: &[Arc<Meta>]) -> Self {
        let queue = jobs.first().map_or("", |job| job.queue());
        let count = i64::try_from(jobs.len()).unwrap_or(i64::MAX);
        let oldest = jobs.iter().map(|job| time_in_queue(job)).fold(0.0, f64::max);
        let attributes =
            vec![KeyValue::new(names::MESSAGE_COUNT, count), KeyValue::new(TIME_IN_QUEUE, oldest)];
        let link = |job: &Arc<Meta>| {
            let id = KeyValue::new(names::MESSAGE_ID, job.id().to_string());
            Some(Link::new(sent_by(job)?, vec![id], 0))
        };
        let links = jobs.iter().filter_map(link).take(names::MAX_LINKS).collect();
        Self::begin(worker, queue, attributes, links, &Context::current())
    }

    fn begin(
        worker: &OtelWorker,
        queue: &str,
        mut attributes: Vec<KeyValue>,
        links: Vec<Link>,
        parent: &Context,
    ) -> Self {
        let labels = worker.queues.of(queue);
        attributes.extend_from_slice(&labels.process);
        let span = SpanBuilder::from_name(labels.process_span.clone())
            .with_kind(SpanKind::Consumer)
            .with_attributes(attributes)
            .with_links(links);
        Self {
            context: worker.tracer.start(span, parent),
            begun: Instant::now(),
            duration: worker.duration.clone(),
            labels,
            shows_error_text: worker.shows_error_text,
            has_ended: false,
        }
    }

    /// The context in which the handler runs.
    pub(crate) fn context(&self) -> Context {
        self.context.clone()
    }

    /// Ends the run with the outcomes of its messages.
    pub(crate) fn end(mut self, outcomes: &[Outcome]) {
        let span = self.context.span();
        let mut names = outcomes.iter().map(outcome_name);
        let first = names.next();
        if let Some(name) = first
            && names.all(|other| other == name)
        {
            span.set_attribute(KeyValue::new(OUTCOME, name));
        }
        let failures = || outcomes.iter().filter_map(Outcome::failure);
        if outcomes.len() > 1 {
            let failed = i64::try_from(failures().count()).unwrap_or(i64::MAX);
            span.set_attribute(KeyValue::new(FAILED_COUNT, failed));
        }
        let error_type = failures().next().map(|failure| {
            let text = if self.shows_error_text { failure.to_string() } else { String::new() };
            span.set_status(Status::error(text));
            // The types of errors are not known here, and texts have too many values.
            failure.reason().map_or("_OTHER".to_owned(), |reason| reason.as_str().replace('-', "_"))
        });
        self.finish(error_type);
    }

    fn finish(&mut self, error_type: Option<String>) {
        self.has_ended = true;
        let span = self.context.span();
        let duration = || self.begun.elapsed().as_secs_f64();
        let Some(error_type) = error_type else {
            span.end();
            self.duration.record(duration(), &self.labels.process);
            return;
        };
        let error_type = KeyValue::new(names::ERROR_TYPE, error_type);
        span.set_attribute(error_type.clone());
        span.end();
        let mut labels = self.labels.process.to_vec();
        labels.push(error_type);
        self.duration.record(duration(), &labels);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.has_ended {
            self.context.span().set_status(Status::error("the handler was cancelled"));
            self.finish(Some(names::CANCELLED.to_owned()));
        }
    }
}

/// The span that has sent a message, if the message has its context.
fn sent_by(job: &Meta) -> Option<SpanContext> {
    span_context(&job.message().trace_context()?)
}

/// The name of an outcome in snake case.
fn outcome_name(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Done => "done",
        Outcome::Archive => "archive",
        Outcome::Retry { .. } => "retry",
        Outcome::Snooze { .. } => "snooze",
        Outcome::DeadLetter { .. } => "dead_letter",
        Outcome::Discard { .. } => "discard",
        Outcome::Forward { .. } => "forward",
        Outcome::Finished(_) => "finished",
        _ => "_OTHER",
    }
}
