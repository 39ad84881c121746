//! A service that takes orders and confirms them by e-mail. Its own table and the queue change in the same transactions: there is
//! no order without its e-mail, and none is confirmed twice because a program stopped half way.
//!
//! `service.rs` is the service, `migrations` its table, and `story.rs` what is done with it here. Connects by its argument or by
//! `DATABASE_URL`, to a database in which it may create a table:
//!
//! ```text
//! cargo run --example diesel_async_order_service -- postgres://user:password@localhost/database
//! ```

mod service;
mod story;

// Diesel runs migrations by a thread that may block, which a runtime of one thread has not.
#[tokio::main(flavor = "multi_thread")]
async fn main() -> Result<(), service::Error> {
    let url = std::env::args().nth(1).map_or_else(|| std::env::var("DATABASE_URL"), Ok);
    let url = url.map_err(|_| "give a URL, as the argument or in DATABASE_URL")?;
    story::tell(&url, &mut |what| println!("{what}")).await
}
