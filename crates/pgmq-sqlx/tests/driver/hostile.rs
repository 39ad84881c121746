//! A server that sends what no server sends.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use pgmq_sqlx::{ErrorKind, PGMQueue};
use sqlx::postgres::PgPoolOptions;

use crate::support::runtime;

/// A message that is too short to contain its own length.
const TOO_SHORT: &[u8] = b"Z\0\0\0\x03";
/// The log-in is complete, and the server is ready.
const WELCOME: &[u8] = b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I";

/// Starts a server that answers each message of each client by the next of these answers, and returns its
/// URL. Its threads end with the process.
fn server(answers: &'static [&'static [u8]]) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            thread::spawn(move || {
                for answer in answers {
                    if !matches!(client.read(&mut [0; 4096]), Ok(1..)) || client.write_all(answer).is_err() {
                        return;
                    }
                }
                // Keeps the connection open.
                let _ = client.read(&mut [0; 4096]);
            });
        }
    });
    format!("postgres://app@127.0.0.1:{port}/shop?sslmode=disable")
}

#[test]
fn a_message_that_makes_the_driver_panic_is_an_error() {
    let url = server(&[WELCOME, TOO_SHORT]);
    runtime().block_on(async {
        let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(Duration::from_secs(5));
        let queue = PGMQueue::from(pool.connect_lazy(&url).unwrap());
        for _ in 0..2 {
            let error = queue.send("q", &1).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Connection, "{error:?}");
        }
        let error = queue.transaction(async |_| Ok::<_, pgmq_sqlx::Error>(())).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Connection, "{error:?}");
        let mut session = queue.session().await.unwrap();
        let error = queue.with(&mut session).send("q", &1).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Connection, "{error:?}");
    });
}

#[test]
fn a_message_that_makes_the_driver_panic_while_connecting_is_an_error() {
    let url = server(&[TOO_SHORT]);
    runtime().block_on(async {
        let error = PGMQueue::connect(&url).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Connection, "{error:?}");
        let queue = PGMQueue::from(PgPoolOptions::new().connect_lazy(&url).unwrap());
        for error in [queue.send("q", &1).await.unwrap_err(), queue.listen(&["q"]).await.unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::Connection, "{error:?}");
        }
    });
}
