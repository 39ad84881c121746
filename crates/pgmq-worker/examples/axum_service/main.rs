//! A web service and a worker in one process: orders are taken by HTTP, and confirmed by the worker.
//!
//! `service.rs` is the service. Connects by `DATABASE_URL`, to a database in which it may create a table:
//!
//! ```text
//! cargo run -p pgmq-worker --example axum_service
//! curl -i localhost:8080/orders -H 'content-type: application/json' -d '{"item": "tea"}'
//! curl -i localhost:8080/orders/1
//! curl -i localhost:8080/health/ready
//! ```

mod service;

use pgmq_sqlx::PGMQueue;
use tokio::net::TcpListener;
use tokio::signal;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> Result<(), service::Error> {
    let queue = PGMQueue::from_env().await?;
    let listener = TcpListener::bind("localhost:8080").await?;
    println!("listening on {}", listener.local_addr()?);
    // Orchestrators send SIGTERM, a terminal SIGINT.
    let mut terminated = signal(SignalKind::terminate())?;
    let shutdown = async move {
        tokio::select! {
            _ = signal::ctrl_c() => {}
            _ = terminated.recv() => {}
        }
    };
    println!("{}", service::run(queue, listener, shutdown).await?);
    Ok(())
}
