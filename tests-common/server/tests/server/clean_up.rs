//! No process leaves a server or a database behind.

use std::{
    net::{SocketAddr, TcpStream},
    process::Stdio,
};

use postgres::Config;

use crate::support::{Holder, command, databases, private, runs, wait_until};

const URL: &str = "PGMQ_TEST_DATABASE_URL";
const RUN: &str = "PGMQ_TEST_RUN";
const TEMPLATE: &str = "PGMQ_TEST_TEMPLATE";

/// Kills a process that has started a server, and waits until the server is gone.
fn server_is_removed_after(signal: &str) {
    if private().is_none() {
        return;
    }
    let mut holder = Holder::start(&[]);
    let postmaster = holder.postmaster();
    let port = holder.url.parse::<Config>().unwrap().get_ports()[0];
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    assert!(TcpStream::connect(address).is_ok());
    holder.kill(signal);
    wait_until("the folder is gone", || !holder.folder.exists());
    wait_until("the server is gone", || !runs(&postmaster));
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn a_server_is_removed_when_its_process_is_killed() {
    server_is_removed_after("KILL");
}

#[test]
fn a_server_is_removed_when_its_process_is_interrupted() {
    server_is_removed_after("INT");
}

#[test]
fn a_server_is_removed_before_its_process_ends() {
    if private().is_none() {
        return;
    }
    // The variable names a database on a server that is given by URL, and is ignored here.
    let holder = Holder::start(&[(TEMPLATE, "elsewhere")]);
    let folder = holder.folder.clone();
    holder.finish();
    assert!(!folder.exists());
}

#[test]
fn a_server_given_by_url_is_used_and_left_unchanged() {
    let Some(server) = private() else { return };
    let config: Config = server.url().parse().unwrap();
    let password = String::from_utf8(config.get_password().unwrap().to_vec()).unwrap();
    let pairs = format!(
        "host=127.0.0.1 port={} user=postgres password={password} dbname=postgres",
        config.get_ports()[0]
    );
    for address in [server.url(), &pairs] {
        let holder = Holder::start(&[(URL, address)]);
        assert_eq!(holder.url, address);
        assert_eq!(holder.folder.as_os_str(), "");
        let during = databases(server.url());
        assert_eq!(during.len(), 2, "a template and a database");
        assert!(during.contains(&holder.database));
        holder.finish();
        assert!(databases(server.url()).is_empty());
    }
}

#[test]
fn the_next_run_drops_the_databases_of_a_killed_run() {
    let Some(server) = private() else { return };
    let mut killed = Holder::start(&[(URL, server.url())]);
    let alive = Holder::start(&[(URL, server.url())]);
    killed.kill("KILL");
    assert!(databases(server.url()).contains(&killed.database));
    // The killed run's sessions end once the server notices.
    wait_until("the killed run's databases are gone", || {
        Holder::start(&[(URL, server.url())]).finish();
        !databases(server.url()).contains(&killed.database)
    });
    assert!(databases(server.url()).contains(&alive.database));
    alive.finish();
    assert!(databases(server.url()).is_empty());
}

#[test]
fn the_processes_of_a_run_share_a_template() {
    let Some(server) = private() else { return };
    let template = server.template().unwrap();
    let variables = [(URL, server.url()), (RUN, server.run()), (TEMPLATE, template)];
    let mut first = Holder::start(&variables);
    let second = Holder::start(&variables);
    for holder in [&first, &second] {
        assert!(holder.database.starts_with(server.run()));
    }
    assert_eq!(databases(server.url()).len(), 3);
    second.finish();
    assert_eq!(databases(server.url()).len(), 2);

    first.kill("KILL");
    assert_eq!(databases(server.url()).len(), 2);
    server.drop_leftovers().unwrap();
    assert!(databases(server.url()).is_empty());
}

#[test]
fn invalid_variables_are_errors() {
    for (name, value, expected) in [
        (URL, "nonsense", "the database URL cannot be read"),
        ("PGMQ_TEST_POSTGRES_BIN", "/nowhere", "PGMQ_TEST_POSTGRES_BIN is /nowhere"),
        ("PGMQ_TEST_PGBOUNCER", "/nowhere/pgbouncer", "apt-get install pgbouncer"),
    ] {
        let output = command(&[(name, value)]).stdin(Stdio::null()).output().unwrap();
        assert!(!output.status.success());
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(message.contains(expected), "{message}");
    }
}
