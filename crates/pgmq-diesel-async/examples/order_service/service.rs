//! The service: orders in a table of its own, and the e-mails about them in a queue beside it.

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

/// Whatever goes wrong: the errors of the queue, of Diesel and of the mailer convert to it.
pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;

/// The queue.
pub(crate) const EMAILS: &str = "order_emails";

/// How long an e-mail is ours to send. If this program stops half way, another takes over after that.
const HIDDEN: Duration = Duration::from_secs(60);

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

/// What a customer asks for.
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

/// How far an order is.
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
            _ => Err("an order is in a state that is not known here".into()),
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
    /// Brings the database up to date: the table by the migrations of Diesel, on a session of the queue's, and the queue.
    pub(crate) async fn open(queue: PGMQueue) -> Result<Self, Error> {
        let mut harness = AsyncMigrationHarness::new(queue.session().await?);
        harness.run_pending_migrations(MIGRATIONS)?;
        drop(harness);
        queue.create_queue(EMAILS).await?;
        Ok(Self { queue })
    }

    /// Takes an order, and has an e-mail sent about it: both, or neither.
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
        // On the connection, and not on the queue itself: that would be another one.
        self.queue.with(connection).send(EMAILS, &email).await?;
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
            // It would come back by itself, after a while. Its `read_ct` says how often it was tried.
            self.queue.set_vt::<RawJson>(EMAILS, message.msg_id, 0).await?;
        }
        sent.map(Some)
    }

    /// All orders, the oldest first.
    pub(crate) async fn orders(&self) -> Result<Vec<Order>, Error> {
        let all = orders::table.order(orders::id).select(Order::as_select());
        Ok(all.load(&mut self.queue.session().await?).await?)
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
