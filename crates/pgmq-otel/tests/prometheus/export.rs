//! The export of this crate to Prometheus, after operations and a worker on a real server, and after the rare
//! events of workers in memory.

use std::sync::LazyLock;
use std::time::Duration;

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
use pgmq_otel::{OtelObserver, OtelWorker};
use pgmq_test_server::Server;
use pgmq_tokio::{PGMQueue, PollOptions};
use pgmq_worker::{Failure, Job, Queue, Retry, Worker};
use prometheus::{Registry, TextEncoder};

use crate::every_event;
use crate::series::{Series, series_of};

/// The export of a process.
pub(crate) struct Export {
    /// The series, with the labels that the collector adds for the process.
    pub(crate) series: Vec<Series>,
    /// The text that Prometheus would collect.
    pub(crate) text: String,
}

pub(crate) static EXPORT: LazyLock<Export> = LazyLock::new(|| {
    let server = Server::obtain().unwrap_or_else(|error| panic!("{error:?}"));
    let database = server.create_database().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(export(database.url()))
});

async fn export(url: &str) -> Export {
    let registry = Registry::new();
    let reader = opentelemetry_prometheus::exporter().with_registry(registry.clone()).build().unwrap();
    let resource = Resource::builder().with_service_name("shop").build();
    let meters = SdkMeterProvider::builder().with_resource(resource).with_reader(reader).build();
    let tracers = SdkTracerProvider::builder().build();
    let otel = OtelWorker::new(&tracers, &meters);

    work(url, OtelObserver::new(&tracers, &meters).message_age(), &otel).await;
    let running = every_event::run(&otel).await;
    let families = registry.gather();
    drop(running);
    Export { series: series_of(&families), text: TextEncoder::new().encode_to_string(&families).unwrap() }
}

/// Operations and a worker on a real server.
async fn work(url: &str, observer: OtelObserver, otel: &OtelWorker) {
    let queue = PGMQueue::builder().url(url).observer(observer).connect().await.unwrap();
    queue.create_queue("orders").await.unwrap();
    let numbers: Vec<_> = (0..10).collect();
    queue.send_batch("orders", &numbers).await.unwrap();
    queue.read::<i32>("orders", 0).await.unwrap();
    queue.read_with_poll::<i32>("orders", 0, 1, &PollOptions::new()).await.unwrap();
    queue.send("missing", &1).await.unwrap_err();

    let handler = async |job: Job<i32>| match *job {
        1 => Err(Failure::from("no").permanent()),
        2 => Err(Failure::from("not yet")),
        _ => Ok(()),
    };
    let settings = Queue::new().retry(Retry::fixed(Duration::from_secs(3600)));
    let builder = Worker::builder(queue.clone()).layer(otel.clone()).observer(otel.clone());
    let worker = builder.queue("orders", settings, handler).start().await.unwrap();
    otel.report_held(worker.handle());
    let mut events = worker.handle().watch("orders").unwrap();
    let id = queue.send("orders", &10).await.unwrap();
    events.until(|event| event.is_done_for(id)).await.unwrap();
    assert!(worker.stop().await.is_clean());
    queue.close().await;
}
