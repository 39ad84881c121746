//! The service: orders in its own table, and the e-mails about them in a queue next to it.

use std::time::Duration;

use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::pg::{Pg, PgValue};
use diesel::prelude::*;
use diesel::serialize::{self, Output, ToSql};
use diesel::sql_types::Text;
use diesel_async::{AsyncMigrationHarness, AsyncPgConnection, RunQueryDsl};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use pgmq_diesel_async::{PGMQueue, RawJson};
use serde::{Deserialize, Serialize};

/// Any error: those of the queue, of Diesel and of the mailer convert to it.
pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;

/// The name of the queue.
pub(crate) const EMAILS: &str = "order_emails";

/// The time for which a read e-mail is hidden from other workers. If this program stops half way, another one
/// reads the e-mail after that time.
const VISIBILITY_TIMEOUT: Duration = Duration::from_secs(60);

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("examples/order_service/migrations");

diesel::table! {
    orders (id) {
        id -> BigInt,
        customer -> Text,
        item -> Text,
        quantity -> Integer,
        state -> Text,
    }
}

/// An order as a customer places it.
#[derive(Debug, Clone, Copy, Insertable)]
#[diesel(table_name = orders)]
pub(crate) struct NewOrder<'a> {
    pub(crate) customer: &'a str,
    pub(crate) item: &'a str,
    pub(crate) quantity: i32,
}

/// A row of `orders`.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = orders, check_for_backend(Pg))]
pub(crate) struct Order {
    pub(crate) id: i64,
    pub(crate) customer: String,
    pub(crate) item: String,
    pub(crate) quantity: i32,
    pub(crate) state: State,
}

/// The state of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, AsExpression, FromSqlRow)]
#[diesel(sql_type = Text)]
pub(crate) enum State {
    Placed,
    Confirmed,
}

impl ToSql<Text, Pg> for State {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        let text = match self {
            Self::Placed => "placed",
            Self::Confirmed => "confirmed",
        };
        ToSql::<Text, Pg>::to_sql(text, out)
    }
}

impl FromSql<Text, Pg> for State {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        match value.as_bytes() {
            b"placed" => Ok(Self::Placed),
            b"confirmed" => Ok(Self::Confirmed),
            _ => Err("the state of the order is unknown".into()),
        }
    }
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
    /// Brings the database up to date: creates the table by Diesel's migrations, on a session of the queue's,
    /// and the queue.
    pub(crate) async fn open(queue: PGMQueue) -> Result<Self, Error> {
        let mut harness = AsyncMigrationHarness::new(queue.session().await?);
        harness.run_pending_migrations(MIGRATIONS)?;
        drop(harness);
        queue.create_queue(EMAILS).await?;
        Ok(Self { queue })
    }

    /// Writes an order, and enqueues an e-mail about it: both are committed, or neither is.
    pub(crate) async fn place_order(&self, order: NewOrder<'_>) -> Result<Order, Error> {
        self.queue.transaction(async |connection| self.write_order(connection, order).await).await
    }

    /// Writes an order and its e-mail in a transaction, which may be a larger one.
    pub(crate) async fn write_order(
        &self,
        connection: &mut AsyncPgConnection,
        order: NewOrder<'_>,
    ) -> Result<Order, Error> {
        let insert = diesel::insert_into(orders::table).values(order).returning(Order::as_returning());
        let order = insert.get_result(connection).await?;
        let email = Email {
            order_id: order.id,
            to: order.customer.clone(),
            text: format!("your order of {} {}", order.quantity, order.item),
        };
        // Bound to the connection: the queue itself would use another one, outside the transaction.
        self.queue.with(connection).send(EMAILS, &email).await?;
        Ok(order)
    }

    /// Sends the next e-mail, if there is one, and returns the order that it confirms.
    ///
    /// Confirms the order, sends the e-mail and deletes the message, in this order and in one transaction. If
    /// the mailer fails, the order is as before, and the message is there for the next attempt. An e-mail can
    /// be sent twice only if the commit itself fails.
    pub(crate) async fn send_next_email(&self, mailer: &impl Mailer) -> Result<Option<Order>, Error> {
        let Some(message) = self.queue.read::<Email>(EMAILS, VISIBILITY_TIMEOUT).await? else {
            return Ok(None);
        };
        let sent = self
            .queue
            .transaction(async |connection| {
                let confirm = diesel::update(orders::table.find(message.message.order_id))
                    .set(orders::state.eq(State::Confirmed))
                    .returning(Order::as_returning());
                let order = confirm.get_result(connection).await?;
                mailer.send(&message.message).await?;
                self.queue.with(connection).delete(EMAILS, message.msg_id).await?;
                Ok::<_, Error>(order)
            })
            .await;
        if sent.is_err() {
            // Without this, the retry would wait for the visibility timeout. The message's `read_ct` counts
            // the attempts.
            self.queue.set_vt::<RawJson>(EMAILS, message.msg_id, 0).await?;
        }
        sent.map(Some)
    }

    /// All orders, oldest first.
    pub(crate) async fn orders(&self) -> Result<Vec<Order>, Error> {
        let all = orders::table.order(orders::id).select(Order::as_select());
        Ok(all.load(&mut self.queue.session().await?).await?)
    }

    /// The number of e-mails in the queue.
    pub(crate) async fn emails_to_send(&self) -> Result<i64, Error> {
        Ok(self.queue.metrics(EMAILS).await?.queue_length)
    }

    /// The queue, for other operations.
    pub(crate) fn queue(&self) -> &PGMQueue {
        &self.queue
    }
}
