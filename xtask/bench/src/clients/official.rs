//! The official client, crate `pgmq`: over the pools that it supports, and otherwise on connections.
//!
//! Its trait takes the connection or pool as `self`, so the calls are the same for all of its drivers.

use std::sync::{Mutex as BlockingMutex, PoisonError};

use anyhow::Result;
use diesel::ExpressionMethods;
use diesel::r2d2::ConnectionManager;
use diesel_async::pooled_connection::AsyncDieselConnectionManager;
use diesel_async::{AsyncConnection, AsyncPgConnection};
use pgmq::Message;
use pgmq::queue::Queue;
use pgmq::types::EMPTY_HEADERS;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::sync::Mutex;
use tokio_postgres::NoTls;

use crate::client::{BenchClient, INSERT, QUEUE, Received, VT};
use crate::clients::connection_slots::ConnectionSlots;
use crate::clients::schema::sales;
use crate::engine::poll_once;
use crate::payload::Order;

/// No headers, of a type that it can decode.
const NO_HEADERS: Option<()> = None;

impl Received for Message<Order> {
    fn id(&self) -> i64 {
        self.msg_id
    }
}

/// A client whose methods call the official ones on `$queue`, and await their futures by `$wait`.
macro_rules! client {
    (
        $(#[$doc:meta])* $name:ident($of:ty), blocking: $is_blocking:literal,
        connect($url:ident, $connections:ident): $connect:expr,
        for_task($self:ident, $task:ident): $for_task:expr,
        queue: $queue:expr,
        wait($future:ident): $wait:expr,
        enqueue($order:ident): $enqueue:expr $(,)?
    ) => {
        $(#[$doc])*
        pub(crate) struct $name($of);

        impl BenchClient for $name {
            type Message = Message<Order>;

            const IS_BLOCKING: bool = $is_blocking;

            async fn connect($url: &str, $connections: u32) -> Result<Self> {
                Ok(Self($connect))
            }

            fn for_task(&$self, $task: usize) -> Self {
                Self($for_task)
            }

            async fn send(&$self, order: &Order) -> Result<i64> {
                Ok(match Queue::send($queue, QUEUE, order, NO_HEADERS, 0) { $future => $wait }?)
            }

            async fn send_batch(&$self, orders: &[Order]) -> Result<Vec<i64>> {
                Ok(match Queue::send_batch($queue, QUEUE, orders, EMPTY_HEADERS, 0) { $future => $wait }?)
            }

            async fn read(&$self) -> Result<Option<Message<Order>>> {
                let vt = i32::try_from(VT)?;
                Ok(match Queue::read($queue, QUEUE, vt, 1) { $future => $wait }?.pop())
            }

            async fn read_batch(&$self, qty: u32) -> Result<Vec<Message<Order>>> {
                let (vt, qty) = (i32::try_from(VT)?, i32::try_from(qty)?);
                Ok(match Queue::read($queue, QUEUE, vt, qty) { $future => $wait }?)
            }

            async fn delete(&$self, id: i64) -> Result<bool> {
                Ok(match Queue::delete($queue, QUEUE, &[id]) { $future => $wait }? == [id])
            }

            async fn delete_batch(&$self, ids: &[i64]) -> Result<Vec<i64>> {
                Ok(match Queue::delete($queue, QUEUE, ids) { $future => $wait }?)
            }

            async fn pop(&$self) -> Result<Option<Message<Order>>> {
                Ok(match Queue::pop($queue, QUEUE, 1) { $future => $wait }?.pop())
            }

            async fn enqueue(&$self, $order: &Order) -> Result<i64> {
                $enqueue
            }
        }
    };
}

client! {
    /// Over sqlx's pool.
    OfficialSqlx(PgPool), blocking: false,
    connect(url, connections): PgPoolOptions::new().max_connections(connections).connect(url).await?,
    for_task(self, _task): self.0.clone(),
    queue: &self.0,
    wait(future): future.await,
    enqueue(order): {
        let mut transaction = self.0.begin().await?;
        sqlx::query(INSERT).bind(&order.customer).execute(&mut *transaction).await?;
        let id = Queue::send(&mut transaction, QUEUE, order, NO_HEADERS, 0).await?;
        transaction.commit().await?;
        Ok(id)
    },
}

client! {
    /// On connections of `tokio-postgres`, for which the official client supports no pool.
    OfficialTokio(ConnectionSlots<Mutex<tokio_postgres::Client>>), blocking: false,
    connect(url, connections): {
        let mut slots = Vec::new();
        for _ in 0..connections {
            let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
            tokio::spawn(connection);
            slots.push(Mutex::new(client));
        }
        ConnectionSlots::new(slots)
    },
    for_task(self, task): self.0.for_task(task),
    queue: &*self.0.mine().lock().await,
    wait(future): future.await,
    enqueue(order): {
        let mut client = self.0.mine().lock().await;
        let transaction = client.transaction().await?;
        let customer = (&order.customer as _, tokio_postgres::types::Type::TEXT);
        transaction.execute_typed(INSERT, &[customer]).await?;
        let id = Queue::send(&transaction, QUEUE, order, NO_HEADERS, 0).await?;
        transaction.commit().await?;
        Ok(id)
    },
}

client! {
    /// On connections of `postgres`, for which the official client supports no pool.
    OfficialPostgres(ConnectionSlots<BlockingMutex<postgres::Client>>), blocking: true,
    connect(url, connections): {
        let slots = (0..connections).map(|_| Ok(BlockingMutex::new(postgres::Client::connect(url, postgres::NoTls)?)));
        ConnectionSlots::new(slots.collect::<Result<_>>()?)
    },
    for_task(self, task): self.0.for_task(task),
    queue: &mut *self.0.mine().lock().unwrap_or_else(PoisonError::into_inner),
    wait(future): poll_once(future),
    enqueue(order): {
        let mut client = self.0.mine().lock().unwrap_or_else(PoisonError::into_inner);
        let mut transaction = client.transaction()?;
        let customer = (&order.customer as _, postgres::types::Type::TEXT);
        transaction.execute_typed(INSERT, &[customer])?;
        let id = poll_once(Queue::send(&mut transaction, QUEUE, order, NO_HEADERS, 0))?;
        transaction.commit()?;
        Ok(id)
    },
}

client! {
    /// Over r2d2's pool of Diesel's connections.
    OfficialDiesel(r2d2::Pool<ConnectionManager<diesel::PgConnection>>), blocking: true,
    connect(url, connections): r2d2::Pool::builder().max_size(connections).build(ConnectionManager::new(url))?,
    for_task(self, _task): self.0.clone(),
    queue: &self.0,
    wait(future): poll_once(future),
    enqueue(order): {
        diesel::Connection::transaction(&mut *self.0.get()?, |connection| {
            let insert = diesel::insert_into(sales::table).values(sales::customer.eq(&order.customer));
            diesel::RunQueryDsl::execute(insert, connection)?;
            Ok(poll_once(Queue::send(connection, QUEUE, order, NO_HEADERS, 0))?)
        })
    },
}

client! {
    /// Over bb8's pool of diesel-async's connections.
    OfficialDieselAsync(bb8::Pool<AsyncDieselConnectionManager<AsyncPgConnection>>), blocking: false,
    connect(url, connections): {
        bb8::Pool::builder().max_size(connections).build(AsyncDieselConnectionManager::new(url)).await?
    },
    for_task(self, _task): self.0.clone(),
    queue: &self.0,
    wait(future): future.await,
    enqueue(order): {
        let mut connection = self.0.get().await?;
        connection.transaction(async |connection| {
            let insert = diesel::insert_into(sales::table).values(sales::customer.eq(&order.customer));
            diesel_async::RunQueryDsl::execute(insert, connection).await?;
            Ok(Queue::send(connection, QUEUE, order, NO_HEADERS, 0).await?)
        }).await
    },
}
