//! Poolers before a server, where they are asked for.

use std::{env, net::TcpStream};

use postgres::{Client, Config, NoTls};

use crate::support::{Holder, wait_until};

const PROGRAM: &str = "PGMQ_TEST_PGBOUNCER";

/// Starts a process with a pooler, or says that the test cannot run.
fn holder() -> Option<Holder> {
    let program = env::var(PROGRAM).ok();
    if program.is_none() {
        eprintln!("skipped: no poolers are asked for");
    }
    Some(Holder::start(&[(PROGRAM, &program?)]))
}

fn is_open(pooler: &str) -> bool {
    TcpStream::connect(("127.0.0.1", pooler.parse::<Config>().unwrap().get_ports()[0])).is_ok()
}

#[test]
fn a_pooler_leads_to_the_server_and_wants_the_password() {
    let Some(holder) = holder() else { return };
    let mut client = Client::connect(&holder.pooler, NoTls).unwrap();
    let row = client.query_typed("SELECT current_database()::text", &[]).unwrap().remove(0);
    assert_eq!(row.get::<_, String>(0), holder.database);
    let mut config: Config = holder.pooler.parse().unwrap();
    assert!(config.password("wrong").connect(NoTls).is_err());
}

#[test]
fn a_pooler_goes_with_its_process() {
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
fn nobody_has_poolers_who_did_not_ask_for_them() {
    assert_eq!(Holder::start(&[]).pooler, "");
}
