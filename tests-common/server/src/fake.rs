//! A fake server, which answers as a test demands.
//!
//! It speaks as much of the protocol as a log-in and simple queries take, and counts the connections: with
//! that, a test sees how a client treats a server that accepts connections and is of no use otherwise.
//! Connect with `sslmode=disable`.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
};

/// The behaviour of a [`FakeServer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// Completes the log-in, and answers simple queries as if they returned nothing.
    Serve,
    /// Completes the log-in, answers `SET`, and ends the session at any other request, with SQLSTATE `08P01`.
    /// A pooler does this while its server is down.
    RefuseRequests,
    /// Completes the log-in, and reports at the first request that the session ends. The connection stays
    /// open, as if the network had lost the server's last packets.
    EndSession {
        /// The SQLSTATE of the report.
        sqlstate: &'static str,
        /// The message of the report.
        message: &'static str,
    },
    /// Refuses the log-in, with SQLSTATE `28P01`.
    RefuseLogin,
    /// Accepts the TCP connection, and never sends anything.
    Silent,
}

/// A fake server that runs until it is dropped.
#[derive(Debug)]
pub struct FakeServer {
    addr: SocketAddr,
    shared: Arc<Shared>,
    listener: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    behaviour: Mutex<Behaviour>,
    accepted: AtomicUsize,
    stopped: AtomicBool,
    streams: Mutex<Vec<TcpStream>>,
}

impl FakeServer {
    /// Listens on a free port of 127.0.0.1.
    ///
    /// # Errors
    ///
    /// If there is no free port.
    pub fn start(behaviour: Behaviour) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared {
            behaviour: Mutex::new(behaviour),
            accepted: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
            streams: Mutex::default(),
        });
        let accepting = Arc::clone(&shared);
        let listener = thread::spawn(move || accept(&listener, &accepting));
        Ok(Self { addr, shared, listener: Some(listener) })
    }

    /// The URL that clients connect to.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://nobody:none@{}/none?sslmode=disable", self.addr)
    }

    /// Changes the behaviour, also on the connections that are open.
    pub fn set(&self, behaviour: Behaviour) {
        *lock(&self.shared.behaviour) = behaviour;
    }

    /// The number of connections that were made so far.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::Acquire)
    }

    /// Closes all present connections.
    pub fn cut(&self) {
        for stream in lock(&self.shared.streams).drain(..) {
            // Fails if the client has closed the connection first.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Release);
        // The listener blocks in `accept`, and a connection wakes it.
        let woken = TcpStream::connect(self.addr).is_ok();
        if let Some(listener) = self.listener.take().filter(|_| woken) {
            // A panic of the listener has been printed already.
            let _ = listener.join();
        }
        self.cut();
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming().flatten() {
        if shared.stopped.load(Ordering::Acquire) {
            return;
        }
        let Ok(kept) = stream.try_clone() else { continue };
        lock(&shared.streams).push(kept);
        shared.accepted.fetch_add(1, Ordering::AcqRel);
        let shared = Arc::clone(shared);
        // An error means that the client has closed the connection.
        thread::spawn(move || drop(serve(stream, &shared)));
    }
}

/// The request codes that come in place of a protocol version: encryption by TLS or by GSSAPI.
const ENCRYPTION: [u32; 2] = [80_877_103, 80_877_104];

fn serve(mut stream: TcpStream, shared: &Shared) -> io::Result<()> {
    let behaviour = || *lock(&shared.behaviour);
    stream.set_nodelay(true)?;
    loop {
        let startup = body(&mut stream)?;
        let code = startup.first_chunk().map_or(0, |code| u32::from_be_bytes(*code));
        if !ENCRYPTION.contains(&code) {
            break;
        }
        stream.write_all(b"N")?;
    }
    match behaviour() {
        Behaviour::Silent => return drain(&mut stream),
        Behaviour::RefuseLogin => {
            stream.write_all(&fatal("28P01", "password authentication failed for user \"nobody\""))?;
            return stream.shutdown(Shutdown::Both);
        }
        Behaviour::Serve | Behaviour::RefuseRequests | Behaviour::EndSession { .. } => {
            let mut greeting = message(b'R', &0_u32.to_be_bytes());
            greeting.extend(message(b'S', b"server_version\x0015.0\0"));
            greeting.extend(message(b'S', b"client_encoding\0UTF8\0"));
            greeting.extend(message(b'S', b"standard_conforming_strings\0on\0"));
            greeting.extend(message(b'K', &[0; 8]));
            greeting.extend(READY);
            stream.write_all(&greeting)?;
        }
    }
    loop {
        let mut kind = [0];
        stream.read_exact(&mut kind)?;
        let request = body(&mut stream)?;
        let is_query = kind == *b"Q";
        match behaviour() {
            _ if kind == *b"X" => return stream.shutdown(Shutdown::Both),
            Behaviour::Silent => return drain(&mut stream),
            Behaviour::RefuseRequests if !(is_query && request.starts_with(b"SET")) => {
                stream.write_all(&fatal("08P01", "server login has been failing"))?;
                return stream.shutdown(Shutdown::Both);
            }
            Behaviour::EndSession { sqlstate, message } => {
                stream.write_all(&fatal(sqlstate, message))?;
                return drain(&mut stream);
            }
            _ if is_query => {
                let mut answer = if request == b"\0" { message(b'I', b"") } else { message(b'C', b"SET\0") };
                answer.extend(READY);
                stream.write_all(&answer)?;
            }
            _ => {}
        }
    }
}

const READY: [u8; 6] = *b"Z\0\0\0\x05I";

/// Reads the length of a message, and the rest of it.
fn body(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or_default();
    let mut body = vec![0; length.saturating_sub(4)];
    stream.read_exact(&mut body)?;
    Ok(body)
}

/// Reads until the client closes the connection.
fn drain(stream: &mut TcpStream) -> io::Result<()> {
    io::copy(stream, &mut io::sink()).map(drop)
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap_or_default();
    let mut message = vec![kind];
    message.extend(length.to_be_bytes());
    message.extend(body);
    message
}

fn fatal(sqlstate: &str, text: &str) -> Vec<u8> {
    message(b'E', format!("SFATAL\0VFATAL\0C{sqlstate}\0M{text}\0\0").as_bytes())
}

/// Locks, and ignores poisoning: every update under these locks is a single assignment or push.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
