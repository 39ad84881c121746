//! Private servers: log-in, stopping and starting.

use postgres::{Client, Config, NoTls, error::SqlState};

use crate::support::{databases, private};

#[test]
fn a_wrong_password_is_refused() {
    let Some(server) = private() else { return };
    let mut config: Config = server.url().parse().unwrap();
    let error = config.password("wrong").connect(NoTls).err().unwrap();
    assert_eq!(error.code(), Some(&SqlState::INVALID_PASSWORD));
}

#[test]
fn a_socket_in_the_folder_works_as_well() {
    let Some(server) = private() else { return };
    let given: Config = server.url().parse().unwrap();
    let mut config = Config::new();
    config.host_path(server.folder().unwrap()).port(given.get_ports()[0]).dbname("postgres");
    config.user(given.get_user().unwrap()).password(given.get_password().unwrap());
    config.connect(NoTls).unwrap().batch_execute("SELECT 1").unwrap();
}

#[test]
fn a_restart_closes_connections_and_keeps_data() {
    let Some(server) = private() else { return };
    assert!(server.can_restart());
    let database = server.create_database().unwrap();
    database.execute("SELECT pgmq.create('q')").unwrap();
    let mut client = Client::connect(database.url(), NoTls).unwrap();
    server.restart().unwrap();
    assert!(client.simple_query("SELECT 1").is_err());
    database.execute("SELECT pgmq.send('q', '1')").unwrap();
    server.create_database().unwrap();
}

#[test]
fn a_stopped_server_refuses_until_it_is_started() {
    let Some(server) = private() else { return };
    server.stop().unwrap();
    server.stop().unwrap();
    assert!(Client::connect(server.url(), NoTls).is_err());
    server.start().unwrap();
    server.start().unwrap();
    server.create_empty_database().unwrap();
}

#[test]
fn two_servers_run_at_the_same_time_and_leave_nothing() {
    let (Some(first), Some(second)) = (private(), private()) else { return };
    let folders = [first.folder().unwrap(), second.folder().unwrap()];
    assert_ne!(first.url(), second.url());
    let database = first.create_empty_database().unwrap();
    assert_eq!(databases(first.url()), [database.name()]);
    assert!(databases(second.url()).is_empty());

    // The database keeps its server.
    drop((first, second));
    assert!(folders[0].exists() && !folders[1].exists());
    drop(database);
    assert!(!folders[0].exists());
}

#[test]
fn a_stopped_server_is_removed_as_well() {
    let Some(server) = private() else { return };
    let folder = server.folder().unwrap();
    server.stop().unwrap();
    drop(server);
    assert!(!folder.exists());
}
