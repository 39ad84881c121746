//! The service of the example, on a server: its rows and messages are committed together, or not at all.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "../examples/order_service/service.rs"]
mod service;
#[path = "../examples/order_service/story.rs"]
mod story;

use std::sync::Mutex;

use diesel::result::DatabaseErrorKind;
use pgmq_diesel::{ErrorKind, PGMQueue};
use pgmq_test_server::{Database, Server};
use service::{EMAILS, Email, Error, Mailer, NewOrder, OrderService, State};

const TEA: NewOrder<'static> = NewOrder { customer: "ada@example.org", item: "tea", quantity: 2 };

/// Runs a test on a database with PGMQ in it.
fn on_a_database(test: impl FnOnce(&Database)) {
    let server = Server::obtain().unwrap_or_else(|error| panic!("{error:?}"));
    let database = server.create_database().unwrap();
    test(&database);
}

fn open(database: &Database) -> OrderService {
    OrderService::open(PGMQueue::connect(database.url()).unwrap()).unwrap()
}

/// The states of the orders, and the number of messages.
fn orders_and_emails(service: &OrderService) -> (Vec<State>, i64) {
    let orders = service.orders().unwrap();
    (orders.iter().map(|order| order.state).collect(), service.emails_to_send().unwrap())
}

/// Terminates the session that is in a transaction, as an administrator would.
const END_THE_TRANSACTION: &str = "DO $$ BEGIN \
     PERFORM pg_terminate_backend(pid, 10000) FROM pg_stat_activity \
       WHERE datname = current_database() AND state LIKE 'idle in transaction%'; \
     IF NOT FOUND THEN RAISE 'there is no transaction'; END IF; END $$";

/// A mailer that keeps the e-mails that it sends.
#[derive(Default)]
struct Outbox(Mutex<Vec<Email>>);

impl Mailer for Outbox {
    fn send(&self, email: &Email) -> Result<(), Error> {
        self.0.lock().unwrap().push(email.clone());
        Ok(())
    }
}

/// A mailer that fails.
struct Down;

impl Mailer for Down {
    fn send(&self, _: &Email) -> Result<(), Error> {
        Err("the mail server is down".into())
    }
}

/// A mailer that ends the service's connection to the database before it returns.
struct Killer<'d>(&'d Database);

impl Mailer for Killer<'_> {
    fn send(&self, _: &Email) -> Result<(), Error> {
        Ok(self.0.execute(END_THE_TRANSACTION)?)
    }
}

#[test]
fn an_order_is_written_with_its_email_and_confirmed_when_the_email_is_sent() {
    on_a_database(|database| {
        let service = open(database);
        let order = service.place_order(TEA).unwrap();
        assert_eq!((order.quantity, order.state), (2, State::Placed));
        assert_eq!(orders_and_emails(&service), (vec![State::Placed], 1));

        let outbox = Outbox::default();
        let confirmed = service.send_next_email(&outbox).unwrap().unwrap();
        assert_eq!((confirmed.id, confirmed.state), (order.id, State::Confirmed));
        assert_eq!(orders_and_emails(&service), (vec![State::Confirmed], 0));
        let text = "your order of 2 tea".to_owned();
        let email = Email { order_id: order.id, to: order.customer, text };
        assert_eq!(*outbox.0.lock().unwrap(), [email]);
        assert!(service.send_next_email(&outbox).unwrap().is_none());
    });
}

#[test]
fn an_order_that_the_table_refuses_leaves_no_email() {
    on_a_database(|database| {
        let service = open(database);
        let refused = service.place_order(NewOrder { quantity: 0, ..TEA }).unwrap_err();
        let refused: &diesel::result::Error = refused.downcast_ref().unwrap();
        assert!(
            matches!(refused, diesel::result::Error::DatabaseError(DatabaseErrorKind::CheckViolation, _)),
            "{refused:?}"
        );
        assert_eq!(orders_and_emails(&service), (vec![], 0));
    });
}

#[test]
fn an_email_that_cannot_be_written_leaves_no_order() {
    on_a_database(|database| {
        let service = open(database);
        service.queue().drop_queue(EMAILS).unwrap();
        let refused = service.place_order(TEA).unwrap_err();
        let refused: &pgmq_diesel::Error = refused.downcast_ref().unwrap();
        assert_eq!(refused.kind(), ErrorKind::QueueNotFound);
        assert!(service.orders().unwrap().is_empty());
    });
}

#[test]
fn a_failing_mailer_leaves_the_order_unconfirmed_and_the_email_in_the_queue() {
    on_a_database(|database| {
        let service = open(database);
        service.place_order(TEA).unwrap();
        for attempts in 1..=2 {
            let failed = service.send_next_email(&Down).unwrap_err();
            assert_eq!(failed.to_string(), "the mail server is down");
            assert_eq!(orders_and_emails(&service), (vec![State::Placed], 1));
            let waiting = service.queue().peek::<Email>(EMAILS, 1).unwrap();
            assert_eq!(waiting[0].read_ct, attempts);
        }
        service.send_next_email(&Outbox::default()).unwrap().unwrap();
        assert_eq!(orders_and_emails(&service), (vec![State::Confirmed], 0));
    });
}

#[test]
fn a_session_that_is_killed_before_the_commit_leaves_neither_row_nor_message() {
    on_a_database(|database| {
        let service = open(database);
        let killed: Result<(), Error> = service.queue().transaction(|connection| {
            service.write_order(connection, TEA)?;
            Ok(database.execute(END_THE_TRANSACTION)?)
        });
        let killed = killed.unwrap_err();
        let killed: &pgmq_diesel::Error = killed.downcast_ref().unwrap();
        assert_eq!(killed.kind(), ErrorKind::Connection, "{killed:?}");
        assert_eq!(orders_and_emails(&service), (vec![], 0));
        service.place_order(TEA).unwrap();
        assert_eq!(orders_and_emails(&service), (vec![State::Placed], 1));
    });
}

#[test]
fn a_session_that_is_killed_while_an_email_is_sent_leaves_it_in_the_queue() {
    on_a_database(|database| {
        let service = open(database);
        service.place_order(TEA).unwrap();
        service.send_next_email(&Killer(database)).unwrap_err();
        assert_eq!(orders_and_emails(&service), (vec![State::Placed], 1));
        service.send_next_email(&Outbox::default()).unwrap().unwrap();
        assert_eq!(orders_and_emails(&service), (vec![State::Confirmed], 0));
    });
}

#[test]
fn the_example_runs_to_its_end() {
    on_a_database(|database| {
        let mut lines = Vec::new();
        story::run(database.url(), &mut |line| lines.push(line)).unwrap();
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
