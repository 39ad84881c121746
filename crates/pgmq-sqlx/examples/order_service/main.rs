//! A service that takes orders and confirms them by e-mail. Its table and the queue change in the same
//! transactions: there is no order without its e-mail, and no order is confirmed twice because a program
//! stopped half way.
//!
//! `service.rs` is the service, `migrations` has its table, and `story.rs` uses it. Connects by its argument
//! or by `DATABASE_URL`, to a database in which it may create a table:
//!
//! ```text
//! cargo run --example sqlx_order_service -- postgres://user:password@localhost/database
//! ```

mod service;
mod story;

#[tokio::main]
async fn main() -> Result<(), service::Error> {
    let url = std::env::args().nth(1).map_or_else(|| std::env::var("DATABASE_URL"), Ok);
    let url = url.map_err(|_| "give a URL, as the argument or in DATABASE_URL")?;
    story::tell(&url, &mut |what| println!("{what}")).await
}
