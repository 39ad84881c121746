//! The databases of tests.

use std::{
    collections::HashSet,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError, Weak},
    thread,
};

use pgmq_test_server::Server;
use postgres::{Client, NoTls};

use crate::support::databases;

/// Returns a server that concurrent tests share, and that ends with the last of them.
fn server() -> Arc<Server> {
    static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let server = Arc::new(Server::obtain().unwrap());
        *shared = Arc::downgrade(&server);
        server
    })
}

fn exists(server: &Server, name: &str) -> bool {
    databases(server.url()).iter().any(|database| database == name)
}

#[test]
fn a_database_has_pgmq_and_an_empty_database_does_not() {
    let server = server();
    let database = server.create_database().unwrap();
    database.execute("SELECT pgmq.create('q'); SELECT pgmq.send('q', '1')").unwrap();
    let mut client = Client::connect(database.url(), NoTls).unwrap();
    let version: String =
        client.query_one("SELECT max(version) FROM pgmq.__pgmq_migrations", &[]).unwrap().get(0);
    assert_eq!(version, "1.13.0");

    let empty = server.create_empty_database().unwrap();
    assert!(empty.execute("SELECT pgmq.create('q')").is_err());
}

#[test]
fn databases_are_isolated_from_each_other() {
    let server = server();
    let (first, second) = (server.create_database().unwrap(), server.create_database().unwrap());
    first.execute("SELECT pgmq.create('q')").unwrap();
    assert!(second.execute("SELECT pgmq.send('q', '1')").is_err());
    assert_eq!(second.url(), server.url_of(second.name()));
}

#[test]
fn many_threads_create_databases_at_the_same_time() {
    let server = server();
    let names = Mutex::new(HashSet::new());
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..4 {
                    let database = server.create_database().unwrap();
                    database.execute("SELECT pgmq.create('q')").unwrap();
                    assert!(database.name().starts_with(server.run()));
                    assert!(names.lock().unwrap().insert(database.name().to_owned()));
                }
            });
        }
    });
    let names = names.into_inner().unwrap();
    assert_eq!(names.len(), 32);
    assert!(databases(server.url()).iter().all(|name| !names.contains(name)));
}

#[test]
fn a_database_is_dropped_while_panicking_and_with_clients_connected() {
    let server = server();
    let mut name = String::new();
    let mut client = None;
    let panic = catch_unwind(AssertUnwindSafe(|| {
        let database = server.create_database().unwrap();
        database.name().clone_into(&mut name);
        client = Some(Client::connect(database.url(), NoTls).unwrap());
        assert!(exists(&server, database.name()));
        panic!("on purpose");
    }));
    assert!(panic.is_err());
    assert!(!exists(&server, &name));
}

#[test]
fn a_database_may_be_dropped_inside_a_runtime() {
    let server = server();
    let database = server.create_database().unwrap();
    let name = database.name().to_owned();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async move { drop(database) });
    assert!(!exists(&server, &name));
}

#[test]
fn the_template_accepts_no_connections() {
    let server = server();
    let template = server.template().unwrap();
    assert_eq!(server.template().unwrap(), template);
    assert!(Client::connect(&server.url_of(template), NoTls).is_err());
}

#[test]
fn partitioned_queues_work_with_pg_partman() {
    let server = server();
    let database = server.create_database().unwrap();
    let created = database.execute("SELECT pgmq.create_partitioned('p1')");
    assert_eq!(created.is_ok(), server.has_partman());
}
