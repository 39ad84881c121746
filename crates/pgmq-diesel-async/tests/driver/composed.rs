//! PGMQ's functions and tables inside queries that are composed in Diesel.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use pgmq_diesel_async::{Json, PGMQueue, RawJson, Session, archive_table, chrono, functions, queue_table};
use pgmq_test_server::Database;
use serde::{Deserialize, Serialize};

use crate::support::{connect, on_a_database};

diesel::table! {
    orders (id) {
        id -> BigInt,
        item -> Text,
        paid -> Bool,
        contents -> Jsonb,
        email_id -> Nullable<BigInt>,
    }
}

queue_table! { emails = "q_q" }
archive_table! { sent_emails = "a_q" }

diesel::allow_tables_to_appear_in_same_query!(orders, sent_emails);
diesel::allow_tables_to_appear_in_same_query!(orders, emails);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Contents {
    item: String,
    price: f64,
}

fn contents(item: &str, price: f64) -> Contents {
    Contents { item: item.to_owned(), price }
}

/// A queue, a session of its pool, and a table of three orders, one of which is paid.
async fn with_orders(database: &Database) -> (PGMQueue, Session) {
    let queue = PGMQueue::builder().url(database.url()).pool_size(2).connect().await.unwrap();
    let mut session = queue.session().await.unwrap();
    let create = "CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, item text NOT NULL, \
                  paid boolean NOT NULL, contents jsonb NOT NULL, email_id bigint)";
    session.batch_execute(create).await.unwrap();
    for (item, price, paid) in [("tea", 0.1, false), ("milk", 2.5, true), ("sugar", 3.0, false)] {
        let order =
            (orders::item.eq(item), orders::paid.eq(paid), orders::contents.eq(Json(contents(item, price))));
        let inserted = diesel::insert_into(orders::table).values(order).execute(&mut session).await;
        assert_eq!(inserted.unwrap(), 1);
    }
    (queue, session)
}

#[test]
fn a_message_is_sent_for_each_row_of_a_users_table() {
    on_a_database(async |database| {
        let (queue, mut session) = with_orders(database).await;
        let unpaid = orders::table.filter(orders::paid.eq(false)).order(orders::id);
        let send = unpaid.select(functions::send("q", orders::contents));
        assert_eq!(send.load::<i64>(&mut session).await.unwrap(), [1, 2]);
        let sent = queue.peek::<Contents>("q", 10).await.unwrap();
        let sent: Vec<_> = sent.into_iter().map(|message| message.message).collect();
        assert_eq!(sent, [contents("tea", 0.1), contents("sugar", 3.0)]);
    });
}

#[test]
fn messages_are_deleted_and_archived_by_a_query_over_the_queue() {
    on_a_database(async |database| {
        let queue = connect(database).await;
        queue.send_batch("q", &[1, 2, 3, 4]).await.unwrap();
        let mut session = queue.session().await.unwrap();
        let delete =
            emails::table.filter(emails::msg_id.le(2)).select(functions::delete("q", emails::msg_id));
        assert_eq!(delete.load::<bool>(&mut session).await.unwrap(), [true, true]);
        let archive =
            emails::table.filter(emails::msg_id.eq(3)).select(functions::archive("q", emails::msg_id));
        assert_eq!(archive.load::<bool>(&mut session).await.unwrap(), [true]);
        let left = emails::table.count().get_result::<i64>(&mut session).await.unwrap();
        let archived = sent_emails::table.count().get_result::<i64>(&mut session).await.unwrap();
        assert_eq!((left, archived), (1, 1));
        let purge = diesel::select(functions::purge_queue("q"));
        assert_eq!(purge.get_result::<i64>(&mut session).await.unwrap(), 1);
    });
}

#[test]
fn an_archive_is_joined_with_a_users_table() {
    on_a_database(async |database| {
        let (queue, mut session) = with_orders(database).await;
        let sugar = orders::table.filter(orders::item.eq("sugar"));
        let send = sugar.select((orders::id, functions::send("q", orders::contents)));
        let (order, id) = send.get_result::<(i64, i64)>(&mut session).await.unwrap();
        let note = diesel::update(orders::table.find(order)).set(orders::email_id.eq(id));
        assert_eq!(note.execute(&mut session).await.unwrap(), 1);
        assert!(queue.archive("q", id).await.unwrap());
        let confirmed = orders::table
            .inner_join(sent_emails::table.on(sent_emails::msg_id.nullable().eq(orders::email_id)))
            .select((orders::item, sent_emails::archived_at, sent_emails::message.assume_not_null()));
        let rows = confirmed.load::<(String, DateTime<Utc>, Json<Contents>)>(&mut session).await.unwrap();
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].0.as_str(), &rows[0].2.0), ("sugar", &contents("sugar", 3.0)));
        assert!((Utc::now() - rows[0].1).abs() < TimeDelta::minutes(5));
    });
}

#[test]
fn messages_and_headers_are_read_as_json_with_every_digit() {
    on_a_database(async |database| {
        let queue = connect(database).await;
        let mut session = queue.session().await.unwrap();
        let exact: RawJson = "12345678901234567890.12345".parse().unwrap();
        let send = diesel::select(functions::send_with_headers("q", Json(&exact), Json(["a", "b"])));
        assert_eq!(send.get_result::<i64>(&mut session).await.unwrap(), 1);
        let read = emails::table
            .filter(
                emails::read_ct
                    .eq(0)
                    .and(emails::last_read_at.is_null())
                    .and(emails::vt.le(diesel::dsl::now)),
            )
            .select((emails::message.assume_not_null(), emails::headers.assume_not_null()));
        let (message, headers) =
            read.get_result::<(Json<RawJson>, Json<Vec<String>>)>(&mut session).await.unwrap();
        assert_eq!(
            (message.0.to_string(), headers.0),
            (exact.to_string(), vec!["a".to_owned(), "b".to_owned()])
        );
    });
}

#[test]
fn delays_and_batches_are_sent() {
    on_a_database(async |database| {
        let queue = connect(database).await;
        let mut session = queue.session().await.unwrap();
        let later = Utc::now() + TimeDelta::hours(1);
        let delayed = diesel::select(functions::send_delayed("q", Json(1), 3600));
        assert_eq!(delayed.get_result::<i64>(&mut session).await.unwrap(), 1);
        let timed = diesel::select(functions::send_at("q", Json(2), later));
        assert_eq!(timed.get_result::<i64>(&mut session).await.unwrap(), 2);
        let batch = diesel::select(functions::send_batch("q", vec![Json(3), Json(4)]));
        assert_eq!(batch.load::<i64>(&mut session).await.unwrap(), [3, 4]);
        drop(session);
        let visible = queue.metrics("q").await.unwrap().queue_visible_length;
        assert_eq!(visible, Some(2));
    });
}

#[test]
fn a_topic_message_reaches_the_queues_that_are_bound_to_its_routing_key() {
    on_a_database(async |database| {
        let queue = connect(database).await;
        queue.create_queue("audit").await.unwrap();
        queue.bind_topic("q", "orders.*").await.unwrap();
        queue.bind_topic("audit", "#").await.unwrap();
        let mut session = queue.session().await.unwrap();
        let send = diesel::select(functions::send_topic("orders.placed", Json("tea")));
        assert_eq!(send.get_result::<i32>(&mut session).await.unwrap(), 2);
    });
}

#[test]
fn a_value_that_jsonb_cannot_hold_is_refused_before_it_is_sent() {
    on_a_database(async |database| {
        let queue = connect(database).await;
        let mut session = queue.session().await.unwrap();
        let send = diesel::select(functions::send("q", Json("\0"))).get_result::<i64>(&mut session).await;
        let error = pgmq_diesel_async::Error::from(send.unwrap_err());
        assert_eq!(error.kind(), pgmq_diesel_async::ErrorKind::Encode, "{error:?}");
        drop(session);
        assert_eq!(queue.metrics("q").await.unwrap().total_messages, 0);
    });
}
