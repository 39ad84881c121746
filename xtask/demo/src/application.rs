//! The parts of the story that depend on the back end.

use std::time::Duration;

use anyhow::Result;
use pgmq_core::{AsyncQueue, Installation, Notification};

use crate::employer::Employer;
use crate::shop::{Order, Payment};

/// The operations that the story needs in addition to those of [`AsyncQueue`].
pub(super) trait Application: AsyncQueue + Employer + Sized {
    type Listener;

    async fn connect(url: &str) -> Result<Self>;

    async fn version(&self) -> Result<Installation>;

    async fn listen(&self, queue: &str) -> Result<Self::Listener>;

    /// Waits for a notification, for at most `limit`.
    async fn next(listener: &mut Self::Listener, limit: Duration) -> Result<Option<Notification>>;

    /// Creates the application's table `sales`.
    async fn create_sales(&self) -> Result<()>;

    /// Counts the rows of `sales`.
    async fn count_sales(&self) -> Result<i64>;

    /// The row of an item in `sales`.
    async fn find_sale(&self, item: &str) -> Result<Order>;

    /// Inserts a row into `sales` and sends the order, in one transaction, and returns the id of the message.
    ///
    /// If the payment is declined, the transaction is rolled back.
    async fn sell(&self, order: &Order, payment: Payment) -> Result<i64>;

    async fn close(self);
}
