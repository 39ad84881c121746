//! The service: orders in a table of its own, and the e-mails about them in a queue beside it.

use std::time::Duration;

use pgmq_sqlx::{PGMQueue, RawJson, Transaction};
use serde::{Deserialize, Serialize};

/// Whatever goes wrong: the errors of the queue, of sqlx and of the mailer convert to it.
pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;

/// The queue.
pub(crate) const EMAILS: &str = "order_emails";

/// How long an e-mail is ours to send. If this program stops half way, another takes over after that.
const HIDDEN: Duration = Duration::from_secs(60);

/// What a customer asks for.
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

/// How far an order is.
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
    /// Brings the database up to date: the table by the migrations of sqlx, on the queue's own pool, and the queue.
    pub(crate) async fn open(queue: PGMQueue) -> Result<Self, Error> {
        sqlx::migrate!("examples/order_service/migrations").run(queue.pool()).await?;
        queue.create_queue(EMAILS).await?;
        Ok(Self { queue })
    }

    /// Takes an order, and has an e-mail sent about it: both, or neither.
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
        // On the transaction, and not on the queue itself: that would be another connection.
        self.queue.with(transaction).send(EMAILS, &email).await?;
        Ok(order)
    }

    /// Sends the next e-mail, if there is one, and returns the order that it confirms.
    ///
    /// The order is confirmed, the e-mail sent, and the message deleted, in this order and in one transaction. If the mailer
    /// fails, the order is as before, and the message is there for the next attempt. Only if the commit itself fails can an
    /// e-mail be sent twice.
    pub(crate) async fn send_next_email(&self, mailer: &impl Mailer) -> Result<Option<Order>, Error> {
        let Some(message) = self.queue.read::<Email>(EMAILS, HIDDEN).await? else { return Ok(None) };
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
            // It would come back by itself, after a while. Its `read_ct` says how often it was tried.
            self.queue.set_vt::<RawJson>(EMAILS, message.msg_id, 0).await?;
        }
        sent.map(Some)
    }

    /// All orders, the oldest first.
    pub(crate) async fn orders(&self) -> Result<Vec<Order>, Error> {
        Ok(sqlx::query_as("SELECT * FROM orders ORDER BY id").fetch_all(self.queue.pool()).await?)
    }

    /// How many e-mails wait.
    pub(crate) async fn emails_to_send(&self) -> Result<i64, Error> {
        Ok(self.queue.metrics(EMAILS).await?.queue_length)
    }

    /// The queue, for whatever else there is to do.
    pub(crate) fn queue(&self) -> &PGMQueue {
        &self.queue
    }
}
