//! Tests the example's service on a server: its rows and messages are committed together, or not at all.

#![allow(clippy::unwrap_used, reason = "a failed test panics")]

#[path = "../examples/order_service/service.rs"]
mod service;
#[path = "../examples/order_service/story.rs"]
mod story;

use std::sync::Mutex;

use diesel::result::DatabaseErrorKind;
use pgmq_diesel_async::{ErrorKind, PGMQueue};
use pgmq_test_server::{Database, Server};
use service::{EMAILS, Email, Error, Mailer, NewOrder, OrderService, State};

const TEA: NewOrder<'static> = NewOrder { customer: "ada@example.org", item: "tea", quantity: 2 };

/// Runs a test on a database with PGMQ.
fn on_a_database(test: impl AsyncFnOnce(&Database)) {
    let server = Server::obtain().unwrap_or_else(|error| panic!("{error:?}"));
    let database = server.create_database().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(test(&database));
}

async fn open(database: &Database) -> OrderService {
    OrderService::open(PGMQueue::connect(database.url()).await.unwrap()).await.unwrap()
}

/// The orders' states and the number of messages.
async fn contents(service: &OrderService) -> (Vec<State>, i64) {
    let orders = service.orders().await.unwrap();
    (orders.iter().map(|order| order.state).collect(), service.emails_to_send().await.unwrap())
}

/// Terminates the session that is in a transaction, as an administrator would.
const TERMINATE_THE_TRANSACTION: &str = "DO $$ BEGIN \
     PERFORM pg_terminate_backend(pid, 10000) FROM pg_stat_activity \
       WHERE datname = current_database() AND state LIKE 'idle in transaction%'; \
     IF NOT FOUND THEN RAISE 'there is no transaction'; END IF; END $$";

/// A mailer that records its e-mails.
#[derive(Default)]
struct Outbox(Mutex<Vec<Email>>);

impl Mailer for Outbox {
    async fn send(&self, email: &Email) -> Result<(), Error> {
        self.0.lock().unwrap().push(email.clone());
        Ok(())
    }
}

/// A mailer that fails.
struct Down;

impl Mailer for Down {
    async fn send(&self, _: &Email) -> Result<(), Error> {
        Err("the mail server is down".into())
    }
}

/// A mailer during whose work the connection to the database is lost.
struct Killer<'d>(&'d Database);

impl Mailer for Killer<'_> {
    async fn send(&self, _: &Email) -> Result<(), Error> {
        Ok(self.0.execute(TERMINATE_THE_TRANSACTION)?)
    }
}

#[test]
fn an_order_is_written_with_its_email_and_confirmed_when_the_email_is_sent() {
    on_a_database(async |database| {
        let service = open(database).await;
        let order = service.place_order(TEA).await.unwrap();
        assert_eq!((order.quantity, order.state), (2, State::Placed));
        assert_eq!(contents(&service).await, (vec![State::Placed], 1));

        let outbox = Outbox::default();
        let confirmed = service.send_next_email(&outbox).await.unwrap().unwrap();
        assert_eq!((confirmed.id, confirmed.state), (order.id, State::Confirmed));
        assert_eq!(contents(&service).await, (vec![State::Confirmed], 0));
        let text = "your order of 2 tea".to_owned();
        let email = Email { order_id: order.id, to: order.customer, text };
        assert_eq!(*outbox.0.lock().unwrap(), [email]);
        assert!(service.send_next_email(&outbox).await.unwrap().is_none());
    });
}

#[test]
fn an_order_that_the_table_refuses_leaves_no_email() {
    on_a_database(async |database| {
        let service = open(database).await;
        let refused = service.place_order(NewOrder { quantity: 0, ..TEA }).await.unwrap_err();
        let refused: &diesel::result::Error = refused.downcast_ref().unwrap();
        assert!(
            matches!(refused, diesel::result::Error::DatabaseError(DatabaseErrorKind::CheckViolation, _)),
            "{refused:?}"
        );
        assert_eq!(contents(&service).await, (vec![], 0));
    });
}

#[test]
fn an_email_that_cannot_be_written_leaves_no_order() {
    on_a_database(async |database| {
        let service = open(database).await;
        service.queue().drop_queue(EMAILS).await.unwrap();
        let refused = service.place_order(TEA).await.unwrap_err();
        let refused: &pgmq_diesel_async::Error = refused.downcast_ref().unwrap();
        assert_eq!(refused.kind(), ErrorKind::QueueNotFound);
        assert!(service.orders().await.unwrap().is_empty());
    });
}

#[test]
fn a_mailer_that_fails_leaves_the_order_unchanged_and_the_email_in_the_queue() {
    on_a_database(async |database| {
        let service = open(database).await;
        service.place_order(TEA).await.unwrap();
        for attempts in 1..=2 {
            let failed = service.send_next_email(&Down).await.unwrap_err();
            assert_eq!(failed.to_string(), "the mail server is down");
            assert_eq!(contents(&service).await, (vec![State::Placed], 1));
            let waiting = service.queue().peek::<Email>(EMAILS, 1).await.unwrap();
            assert_eq!(waiting[0].read_ct, attempts);
        }
        service.send_next_email(&Outbox::default()).await.unwrap().unwrap();
        assert_eq!(contents(&service).await, (vec![State::Confirmed], 0));
    });
}

#[test]
fn a_session_that_is_terminated_before_the_commit_leaves_neither_row_nor_message() {
    on_a_database(async |database| {
        let service = open(database).await;
        let killed: Result<(), Error> = service
            .queue()
            .transaction(async |connection| {
                service.write_order(connection, TEA).await?;
                Ok(database.execute(TERMINATE_THE_TRANSACTION)?)
            })
            .await;
        let killed = killed.unwrap_err();
        let killed: &pgmq_diesel_async::Error = killed.downcast_ref().unwrap();
        assert_eq!(killed.kind(), ErrorKind::Connection, "{killed:?}");
        assert_eq!(contents(&service).await, (vec![], 0));
        service.place_order(TEA).await.unwrap();
        assert_eq!(contents(&service).await, (vec![State::Placed], 1));
    });
}

#[test]
fn a_session_that_is_terminated_while_an_email_is_sent_leaves_the_email_in_the_queue() {
    on_a_database(async |database| {
        let service = open(database).await;
        service.place_order(TEA).await.unwrap();
        service.send_next_email(&Killer(database)).await.unwrap_err();
        assert_eq!(contents(&service).await, (vec![State::Placed], 1));
        service.send_next_email(&Outbox::default()).await.unwrap().unwrap();
        assert_eq!(contents(&service).await, (vec![State::Confirmed], 0));
    });
}

#[test]
fn the_story_of_the_example_runs_to_its_end() {
    on_a_database(async |database| {
        let mut lines = Vec::new();
        story::run(database.url(), &mut |line| lines.push(line)).await.unwrap();
        let expected = [
            "order 1: ada@example.org wants 2 tea",
            "order 2: grace@example.org wants 1 sugar",
            "an order of nothing is refused: true",
            "2 e-mails are to be sent",
            "the mail server is down: connection refused",
            "2 e-mails are still to be sent",
            "order 1 is Confirmed, and ada@example.org was informed",
            "order 2 is Confirmed, and grace@example.org was informed",
            "0 e-mails are to be sent",
            "2 orders are in the table",
        ];
        assert_eq!(lines, expected);
    });
}
