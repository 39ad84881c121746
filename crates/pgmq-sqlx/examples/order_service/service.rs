//! The service: orders in its table, and the e-mails about them in a queue of the same database.

use std::time::Duration;

use pgmq_sqlx::{PGMQueue, RawJson, Transaction};
use serde::{Deserialize, Serialize};

/// Any error: those of the queue, of sqlx and of the mailer convert to it.
pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;

/// The queue.
pub(crate) const EMAILS: &str = "order_emails";

/// The time in which an e-mail has to be sent. If this program stops half way, another one takes over after
/// that.
const VISIBILITY_TIMEOUT: Duration = Duration::from_secs(60);

/// The order of a customer, before it is in the table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewOrder<'a> {
    pub(crate) customer: &'a str,
    pub(crate) item: &'a str,
    pub(crate) quantity: i32,
}

/// A row of `orders`.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct Order {
    pub(crate) id: i64,
    pub(crate) customer: String,
    pub(crate) item: String,
    pub(crate) quantity: i32,
    pub(crate) state: State,
}

/// The progress of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub(crate) enum State {
    Placed,
    Confirmed,
}

/// A message in the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Email {
    pub(crate) order_id: i64,
    pub(crate) to: String,
    pub(crate) text: String,
}

/// Sends e-mails.
pub(crate) trait Mailer: Sync {
    fn send(&self, email: &Email) -> impl Future<Output = Result<(), Error>> + Send;
}

/// The service.
#[derive(Debug, Clone)]
pub(crate) struct OrderService {
    queue: PGMQueue,
}

impl OrderService {
    /// Brings the database up to date: runs sqlx's migrations on the queue's own pool, and creates the queue.
    pub(crate) async fn open(queue: PGMQueue) -> Result<Self, Error> {
        sqlx::migrate!("examples/order_service/migrations").run(queue.pool()).await?;
        queue.create_queue(EMAILS).await?;
        Ok(Self { queue })
    }

    /// Takes an order, and queues an e-mail about it: both, or neither.
    pub(crate) async fn place_order(&self, order: NewOrder<'_>) -> Result<Order, Error> {
        self.queue.transaction(async |transaction| self.write_order(transaction, order).await).await
    }

    /// Writes an order and its e-mail in a transaction, which may be a larger one.
    pub(crate) async fn write_order(
        &self,
        transaction: &mut Transaction<'_>,
        order: NewOrder<'_>,
    ) -> Result<Order, Error> {
        let insert = "INSERT INTO orders (customer, item, quantity) VALUES ($1, $2, $3) RETURNING *";
        let insert = sqlx::query_as(insert).bind(order.customer).bind(order.item).bind(order.quantity);
        let order: Order = insert.fetch_one(&mut **transaction).await?;
        let email = Email {
            order_id: order.id,
            to: order.customer.clone(),
            text: format!("your order of {} {}", order.quantity, order.item),
        };
        // Bound to the transaction: the queue itself would send on another connection.
        self.queue.with(transaction).send(EMAILS, &email).await?;
        Ok(order)
    }

    /// Sends the next e-mail, if there is one, and returns the order that it confirms.
    ///
    /// One transaction confirms the order, sends the e-mail, and deletes the message, one after the other. If
    /// the mailer fails, the order is as before, and the message stays for a retry. Only if the commit itself
    /// fails can an e-mail be sent twice.
    pub(crate) async fn send_next_email(&self, mailer: &impl Mailer) -> Result<Option<Order>, Error> {
        let Some(message) = self.queue.read::<Email>(EMAILS, VISIBILITY_TIMEOUT).await? else {
            return Ok(None);
        };
        let sent = self
            .queue
            .transaction(async |transaction| {
                let confirm = "UPDATE orders SET state = $1 WHERE id = $2 RETURNING *";
                let confirm = sqlx::query_as(confirm).bind(State::Confirmed).bind(message.message.order_id);
                let order: Order = confirm.fetch_one(&mut **transaction).await?;
                mailer.send(&message.message).await?;
                self.queue.with(transaction).delete(EMAILS, message.msg_id).await?;
                Ok::<_, Error>(order)
            })
            .await;
        if sent.is_err() {
            // Makes the message visible at once, not only after its visibility timeout. Its `read_ct` counts
            // the attempts.
            self.queue.set_vt::<RawJson>(EMAILS, message.msg_id, 0).await?;
        }
        sent.map(Some)
    }

    /// All orders, the oldest first.
    pub(crate) async fn orders(&self) -> Result<Vec<Order>, Error> {
        Ok(sqlx::query_as("SELECT * FROM orders ORDER BY id").fetch_all(self.queue.pool()).await?)
    }

    /// The number of e-mails in the queue.
    pub(crate) async fn emails_to_send(&self) -> Result<i64, Error> {
        Ok(self.queue.metrics(EMAILS).await?.queue_length)
    }

    /// The queue.
    pub(crate) fn queue(&self) -> &PGMQueue {
        &self.queue
    }
}
