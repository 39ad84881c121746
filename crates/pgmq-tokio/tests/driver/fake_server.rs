//! A server that logs clients in, and gives the same answers to the first requests of each.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use pgmq_tokio::{Builder, PGMQueue};

use crate::support::LIMIT;

/// A server that answers the first requests of each session, and nothing else. It leaves the connections
/// open, and runs until the process ends.
pub(crate) struct FakeServer {
    port: u16,
    /// The number of clients that have logged in.
    pub(crate) logins: Arc<AtomicUsize>,
    /// The number of clients that have closed the connection since.
    logouts: Arc<AtomicUsize>,
}

impl FakeServer {
    /// Starts a server with this answer to the first request.
    pub(crate) fn start(answer: Vec<u8>) -> Self {
        Self::answering(vec![answer])
    }

    /// Starts a server with these answers, one for each request.
    pub(crate) fn answering(answers: Vec<Vec<u8>>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (logins, logouts) = <(Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
        let (counted, ended) = (Arc::clone(&logins), Arc::clone(&logouts));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (counted, ended, answers) = (Arc::clone(&counted), Arc::clone(&ended), answers.clone());
                thread::spawn(move || {
                    serve(client, &answers, &counted);
                    ended.fetch_add(1, Ordering::Relaxed);
                });
            }
        });
        Self { port, logins, logouts }
    }

    /// A builder that connects to the server, with one connection.
    pub(crate) fn builder(&self) -> Builder {
        let builder = PGMQueue::builder().host("127.0.0.1").port(self.port).username("app").pool_size(1);
        builder.install_extension(false)
    }

    /// Waits until this many clients have closed the connection.
    pub(crate) async fn until_logouts(&self, clients: usize) {
        let started = Instant::now();
        while self.logouts.load(Ordering::Relaxed) < clients {
            assert!(started.elapsed() < LIMIT, "a connection is still open");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Serves one client until it closes the connection.
fn serve(mut client: TcpStream, answers: &[Vec<u8>], logins: &AtomicUsize) -> Option<()> {
    read_startup(&mut client)?;
    logins.fetch_add(1, Ordering::Relaxed);
    // The login is accepted, the key of cancel requests, and the server is ready.
    client.write_all(&message(b'R', &[0; 4])).ok()?;
    client.write_all(&message(b'K', &[0; 8])).ok()?;
    client.write_all(&message(b'Z', b"I")).ok()?;
    let mut request = [0; 4096];
    for answer in answers {
        if client.read(&mut request).ok()? == 0 {
            return None;
        }
        client.write_all(answer).ok()?;
    }
    while client.read(&mut request).ok()? > 0 {}
    Some(())
}

/// Reads the first message, which has no type.
fn read_startup(client: &mut TcpStream) -> Option<()> {
    let mut length = [0; 4];
    client.read_exact(&mut length).ok()?;
    let mut rest = vec![0; usize::try_from(u32::from_be_bytes(length)).ok()?.checked_sub(4)?];
    client.read_exact(&mut rest).ok()
}

/// A message of the server.
pub(crate) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
    [&[kind][..], &length, body].concat()
}
