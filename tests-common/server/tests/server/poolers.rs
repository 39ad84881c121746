//! Poolers for a server, if `PGMQ_TEST_PGBOUNCER` is set.

use std::{env, net::TcpStream};

use postgres::{Client, Config, NoTls};

use crate::support::{Holder, wait_until};

const PROGRAM: &str = "PGMQ_TEST_PGBOUNCER";

/// Starts a process with a pooler. Returns `None`, with a message, if no pooler is wanted.
fn holder() -> Option<Holder> {
    let program = env::var(PROGRAM).ok();
    if program.is_none() {
        eprintln!("skipped: PGMQ_TEST_PGBOUNCER is not set");
    }
    Some(Holder::start(&[(PROGRAM, &program?)]))
}

fn is_open(pooler: &str) -> bool {
    TcpStream::connect(("127.0.0.1", pooler.parse::<Config>().unwrap().get_ports()[0])).is_ok()
}

#[test]
fn a_pooler_forwards_to_the_server_and_checks_the_password() {
    let Some(holder) = holder() else { return };
    let mut client = Client::connect(&holder.pooler, NoTls).unwrap();
    let row = client.query_typed("SELECT current_database()::text", &[]).unwrap().remove(0);
    assert_eq!(row.get::<_, String>(0), holder.database);
    let mut config: Config = holder.pooler.parse().unwrap();
    assert!(config.password("wrong").connect(NoTls).is_err());
}

#[test]
fn a_pooler_is_removed_when_its_process_ends() {
    for signal in ["KILL", "INT"] {
        let Some(mut holder) = holder() else { return };
        assert!(is_open(&holder.pooler));
        holder.kill(signal);
        wait_until("the pooler is gone", || !is_open(&holder.pooler));
    }
    let Some(holder) = holder() else { return };
    let pooler = holder.pooler.clone();
    holder.finish();
    assert!(!is_open(&pooler));
}

#[test]
fn there_are_no_poolers_unless_the_variable_is_set() {
    assert_eq!(Holder::start(&[]).pooler, "");
}
