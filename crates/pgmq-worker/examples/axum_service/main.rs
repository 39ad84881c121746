//! A web service and a worker in one process: orders are taken by HTTP, and confirmed by the worker.
//!
//! `service.rs` is the service. Connects by `DATABASE_URL`, such as
//! `postgres://user:password@localhost/database`, to a database in which it may create a table. Listens on
//! `localhost:8080`, or at the given address:
//!
//! ```text
//! cargo run -p pgmq-worker --example axum_service -- localhost:8080
//! curl -i localhost:8080/orders -H 'content-type: application/json' -d '{"item": "tea"}'
//! curl -i localhost:8080/orders/1
//! curl -i localhost:8080/health/ready
//! ```

mod service;

#[tokio::main]
async fn main() -> Result<(), service::Error> {
    let address = std::env::args().nth(1);
    service::serve(address.as_deref().unwrap_or("localhost:8080")).await
}
