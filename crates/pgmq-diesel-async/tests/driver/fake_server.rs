//! A server that completes every request, except for one that it ends the session at.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use pgmq_diesel_async::{Builder, PGMQueue};

/// A server that runs until the process ends.
pub(crate) struct FakeServer {
    port: u16,
    /// The number of clients that have logged in.
    pub(crate) logins: Arc<AtomicUsize>,
}

/// The end of each session.
#[derive(Clone)]
pub(crate) struct End {
    /// A word of the SQL at which the session ends.
    pub(crate) word: &'static str,
    /// The fields of the server's report.
    pub(crate) report: String,
    /// `true` if the server then closes the connection. Otherwise it falls silent.
    pub(crate) closes: bool,
}

impl FakeServer {
    pub(crate) fn start(end: End) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let logins = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&logins);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (counted, end) = (Arc::clone(&counted), end.clone());
                thread::spawn(move || serve(client, &end, &counted));
            }
        });
        Self { port, logins }
    }

    /// A builder that connects to the server, with one connection.
    pub(crate) fn builder(&self) -> Builder {
        let builder = PGMQueue::builder().host("127.0.0.1").port(self.port).username("app").pool_size(1);
        builder.install_extension(false)
    }
}

/// Serves one client until it closes the connection.
fn serve(mut client: TcpStream, end: &End, logins: &AtomicUsize) -> Option<()> {
    // The first message has no type. A cancel request, which is as short as this, asks for no answer.
    if read_body(&mut client)?.len() <= 12 {
        return None;
    }
    logins.fetch_add(1, Ordering::Relaxed);
    // The login is accepted, the key of cancel requests, and the server is ready.
    let greeting = [message(b'R', &[0; 4]), message(b'K', &[0; 8]), message(b'Z', b"I")];
    client.write_all(&greeting.concat()).ok()?;
    loop {
        let mut kind = [0];
        client.read_exact(&mut kind).ok()?;
        let body = read_body(&mut client)?;
        if body.windows(end.word.len()).any(|text| text == end.word.as_bytes()) {
            client.write_all(&message(b'E', format!("{}\0", end.report).as_bytes())).ok()?;
            if end.closes {
                return client.shutdown(Shutdown::Both).ok();
            }
            return std::io::copy(&mut client, &mut std::io::sink()).ok().map(drop);
        }
        let answer = match kind[0] {
            b'P' => message(b'1', b""),
            // A statement without parameters and rows.
            b'D' => [message(b't', &[0; 2]), message(b'n', b"")].concat(),
            b'B' => message(b'2', b""),
            b'E' => message(b'C', b"SET\0"),
            b'C' => message(b'3', b""),
            b'S' => message(b'Z', b"I"),
            b'Q' => [message(b'C', b"SET\0"), message(b'Z', b"I")].concat(),
            _ => Vec::new(),
        };
        client.write_all(&answer).ok()?;
    }
}

/// Reads the length of a message, and the rest of it.
fn read_body(client: &mut TcpStream) -> Option<Vec<u8>> {
    let mut length = [0; 4];
    client.read_exact(&mut length).ok()?;
    let mut rest = vec![0; usize::try_from(u32::from_be_bytes(length)).ok()?.checked_sub(4)?];
    client.read_exact(&mut rest).ok()?;
    Some(rest)
}

/// A message of the server.
fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
    [&[kind][..], &length, body].concat()
}
