//! Sessions that the server, or a pooler in front of it, ends.

#![allow(clippy::unwrap_used, reason = "a failed test panics")]

use pgmq_postgres::{Error, ErrorKind, PGMQueue};
use pgmq_test_server::fake::{Behaviour, FakeServer};

/// A server that ends each session at its first request, and a queue on it with one connection.
/// The server is dropped first, so that a connection that was not discarded can be closed.
fn ending(sqlstate: &'static str, message: &'static str) -> (PGMQueue, FakeServer) {
    let server = FakeServer::start(Behaviour::EndSession { sqlstate, message }).unwrap();
    let builder = PGMQueue::builder().url(server.url()).install_extension(false).pool_size(1);
    let queue = builder.connect().unwrap();
    (queue, server)
}

/// Reports that end a session, and `true` if they leave open if the server has done what was asked.
const REPORTS: [(&str, &str, bool); 9] = [
    // PgBouncer has not sent the request to a server.
    ("08P01", "query_wait_timeout", false),
    // PgBouncer passes on that a server has refused its log-in.
    ("28P01", "password authentication failed for user \"app\"", false),
    ("28000", "role \"app\" is not permitted to log in", false),
    ("3D000", "database \"shop\" does not exist", false),
    ("42501", "permission denied for database \"shop\"", false),
    ("53300", "sorry, too many clients already", false),
    ("08P01", "query_timeout", true),
    ("57P01", "terminating connection due to administrator command", true),
    ("XX000", "invalid memory", true),
];

#[test]
fn an_operation_is_in_doubt_unless_the_report_proves_that_nothing_was_done() {
    for (sqlstate, message, is_in_doubt) in REPORTS {
        let (queue, server) = ending(sqlstate, message);
        let before = server.accepted();
        let error = queue.send("q", &1).unwrap_err();
        assert_eq!(error.sqlstate(), Some(sqlstate), "{error}");
        assert_eq!(error.is_in_doubt(), is_in_doubt, "{sqlstate} {message}");
        assert_eq!(server.accepted() - before, 1, "{sqlstate} {message}: the operation is not repeated");
        assert_eq!(queue.pool().state().connections, 0, "{sqlstate} {message}");
    }
}

#[test]
fn a_session_whose_begin_fails_is_discarded() {
    for (sqlstate, message, _) in REPORTS {
        let (queue, _server) = ending(sqlstate, message);
        let begun = queue.transaction(|_| -> Result<(), Error> { panic!("nothing has begun") });
        assert_eq!(begun.unwrap_err().sqlstate(), Some(sqlstate), "{message}");
        assert_eq!(queue.pool().state().connections, 0, "{sqlstate} {message}");
    }
}

#[test]
fn a_loss_that_only_the_check_of_a_failed_transaction_finds_casts_doubt_on_the_other_sessions() {
    let server = FakeServer::start(Behaviour::Serve).unwrap();
    let builder = PGMQueue::builder().url(server.url()).install_extension(false).pool_size(2);
    let queue = builder.connect().unwrap();
    drop([queue.session().unwrap(), queue.session().unwrap()]);
    let failed = queue.transaction(|transaction| {
        server.cut();
        // The name is refused before anything is sent.
        queue.with(transaction).send("", &1)
    });
    assert_eq!(failed.unwrap_err().kind(), ErrorKind::InvalidArgument);
    // The other session was used a moment ago, and would not be checked otherwise.
    queue.session().unwrap().batch_execute("").unwrap();
}
