//! Fault injection on a private server.

use std::{thread, time::Duration};

use pgmq_test_server::Server;
use postgres::{Client, NoTls};

use crate::support::wait_until;

const INSERT: &str = "INSERT INTO t SELECT repeat('x', 1000) FROM generate_series(1, 20000)";

fn durable() -> Option<(Server, Client)> {
    let server = Server::durable().unwrap()?;
    let mut client = Client::connect(server.url(), NoTls).unwrap();
    client.batch_execute("CREATE TABLE t (x text)").unwrap();
    Some((server, client))
}

fn count(server: &Server) -> i64 {
    let mut client = Client::connect(server.url(), NoTls).unwrap();
    client.query_one("SELECT count(*) FROM t", &[]).unwrap().get(0)
}

#[test]
fn confirmed_data_outlives_a_crash() {
    let Some((server, mut client)) = durable() else { return };
    client.batch_execute("INSERT INTO t VALUES ('kept')").unwrap();
    server.stop_at_once().unwrap();
    assert!(client.is_valid(Duration::from_secs(10)).is_err());
    server.start().unwrap();
    assert_eq!(count(&server), 1);
}

#[test]
fn killing_a_process_ends_all_sessions_and_loses_no_data() {
    let Some((server, mut client)) = durable() else { return };
    client.batch_execute("INSERT INTO t VALUES ('kept')").unwrap();
    let mut other = Client::connect(server.url(), NoTls).unwrap();
    let process: i32 = client.query_one("SELECT pg_backend_pid()", &[]).unwrap().get(0);
    server.kill(process).unwrap();
    assert!(other.batch_execute("SELECT").is_err());
    assert_eq!(count(&server), 1);
}

#[test]
fn a_frozen_server_answers_once_it_is_thawed() {
    let Some((server, mut client)) = durable() else { return };
    server.freeze().unwrap();
    let waiting = thread::spawn(move || client.batch_execute("SELECT"));
    thread::sleep(Duration::from_millis(200));
    assert!(!waiting.is_finished());
    server.thaw().unwrap();
    waiting.join().unwrap().unwrap();
}

#[test]
fn a_frozen_server_is_removed_as_well() {
    let Some((server, _client)) = durable() else { return };
    let folder = server.folder().unwrap();
    server.freeze().unwrap();
    drop(server);
    wait_until("the folder is gone", || !folder.exists());
}

#[test]
fn a_file_that_may_not_grow_is_an_error_until_it_may() {
    let Some((server, mut client)) = durable() else { return };
    client.batch_execute(INSERT).unwrap();
    // The limit is larger than a file of the write-ahead log, which must not fail.
    server.limit_files(&(20 << 20).to_string()).unwrap();
    assert!(client.batch_execute(INSERT).is_err());
    server.limit_files("unlimited").unwrap();
    client.batch_execute(INSERT).unwrap();
}

#[test]
fn a_standby_takes_over_with_all_confirmed_data_and_back() {
    if !Server::can_be_durable().unwrap() {
        eprintln!("skipped: there is no pg_basebackup on this machine");
        return;
    }
    let Some((first, mut client)) = durable() else { return };
    let second = first.standby().unwrap();
    first.commit_on_standby().unwrap();
    client.batch_execute("INSERT INTO t VALUES ('one')").unwrap();
    first.stop_at_once().unwrap();
    second.promote().unwrap();
    assert_eq!(count(&second), 1);

    first.follow(&second).unwrap();
    second.commit_on_standby().unwrap();
    let mut client = Client::connect(second.url(), NoTls).unwrap();
    client.batch_execute("INSERT INTO t VALUES ('two')").unwrap();
    second.stop_at_once().unwrap();
    first.promote().unwrap();
    assert_eq!(count(&first), 2);
}
