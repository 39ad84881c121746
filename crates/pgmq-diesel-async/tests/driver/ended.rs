//! Requests at which the server ends the session.

use std::sync::atomic::Ordering;

use pgmq_diesel_async::{Error, ErrorKind};

use crate::fake_server::{End, FakeServer};
use crate::support::{LIMIT, runtime};

/// The fields of a report with the severity FATAL.
fn fatal(sqlstate: &str, reason: &str) -> String {
    format!("SFATAL\0VFATAL\0C{sqlstate}\0M{reason}\0")
}

async fn within_limit<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, work).await.unwrap()
}

const CONFLICT: (&str, &str) = ("40001", "terminating connection due to conflict with recovery");

#[test]
fn a_session_that_the_server_ends_at_begin_is_discarded() {
    for ((sqlstate, reason), kind) in [
        (("08P01", "query_wait_timeout"), ErrorKind::Timeout),
        (CONFLICT, ErrorKind::Conflict),
        (("XX000", "invalid memory"), ErrorKind::Database),
    ] {
        let server = FakeServer::start(End { word: "BEGIN", report: fatal(sqlstate, reason), closes: false });
        runtime().block_on(async {
            let queue = within_limit(server.builder().connect()).await.unwrap();
            let begun = queue.transaction(async |_| -> Result<(), Error> { panic!("nothing was begun") });
            let error = within_limit(begun).await.unwrap_err();
            assert_eq!(error.kind(), kind, "{error}");
            assert_eq!(queue.pool().state().connections, 0, "{reason}");
        });
    }
}

#[test]
fn a_session_that_the_server_ends_is_discarded_and_the_call_is_not_repeated_on_it() {
    for (sqlstate, reason) in [
        CONFLICT,
        ("08P01", "query_wait_timeout"),
        ("28P01", "password authentication failed for user \"app\""),
        ("53300", "sorry, too many clients already"),
        ("57P03", "the database system is starting up"),
    ] {
        let server = FakeServer::start(End { word: "pgmq", report: fatal(sqlstate, reason), closes: false });
        runtime().block_on(async {
            let queue = within_limit(server.builder().connect()).await.unwrap();
            let error = within_limit(queue.send("q", &1)).await.unwrap_err();
            assert_eq!((error.sqlstate(), error.is_in_doubt()), (Some(sqlstate), false), "{error}");
            assert_eq!(server.logins.load(Ordering::Relaxed), 1, "{reason}");
            assert_eq!(queue.pool().state().connections, 0, "{reason}");
        });
    }
}

#[test]
fn a_commit_at_which_the_server_ends_the_session_is_in_doubt() {
    for closes in [false, true] {
        for (sqlstate, reason) in [("XX000", "invalid memory"), ("57P01", "ended")] {
            let server = FakeServer::start(End { word: "COMMIT", report: fatal(sqlstate, reason), closes });
            runtime().block_on(async {
                let queue = within_limit(server.builder().connect()).await.unwrap();
                let work = queue.transaction(async |_| Ok::<_, Error>(()));
                let error = within_limit(work).await.unwrap_err();
                assert!(error.is_in_doubt(), "{error}");
            });
        }
    }
}
