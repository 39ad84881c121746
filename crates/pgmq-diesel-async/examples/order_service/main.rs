//! A service that takes orders and confirms them by e-mail. Its table and the queue change in the same
//! transactions: no order is without its e-mail, and none is confirmed twice because a program stopped half
//! way.
//!
//! `service.rs` is the service, `migrations` has its table, and `story.rs` uses the service. Connects by the
//! URL in the argument or in `DATABASE_URL`, to a database in which it may create a table:
//!
//! ```text
//! cargo run --example diesel_async_order_service -- postgres://user:password@localhost/database
//! ```

mod service;
mod story;

// Diesel's migrations block their thread in place, which a runtime of one thread does not allow.
#[tokio::main(flavor = "multi_thread")]
async fn main() -> Result<(), service::Error> {
    let url = std::env::args().nth(1).map_or_else(|| std::env::var("DATABASE_URL"), Ok);
    let url = url.map_err(|_| "give a URL, as the argument or in DATABASE_URL")?;
    story::run(&url, &mut |line| println!("{line}")).await
}
