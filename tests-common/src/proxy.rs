//! A TCP proxy that stands between a client and a server and records who speaks when.
//!
//! A test uses it to show how many round trips an operation takes:
//!
//! ```no_run
//! # fn main() -> std::io::Result<()> {
//! # let upstream = ([127, 0, 0, 1], 5432).into();
//! # fn connect(_: std::net::SocketAddr) {}
//! # fn send() {}
//! let proxy = tests_common::proxy::Proxy::start(upstream)?;
//! let client = connect(proxy.addr());
//! proxy.reset(); // what came before is the log-in
//! send();
//! assert_eq!(proxy.round_trips(), 1);
//! # Ok(())
//! # }
//! ```
//!
//! It does not read TLS, so connect with `sslmode=disable`. Bytes are recorded before they are passed on: whoever has
//! received an answer finds it among the flights.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client.
    ToServer,
    /// From the server.
    ToClient,
}

/// What went one way before anything went the other way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flight {
    /// Which way it went.
    pub direction: Direction,
    /// All of its bytes, in however many pieces they came.
    pub bytes: Vec<u8>,
}

impl Flight {
    /// Returns the type of each message that begins in this flight, such as `Q` or `P`, `B`, `E`, `S`.
    ///
    /// It holds only for flights that begin with a message, which they do once the log-in is over: not for the
    /// messages of a log-in, of which the first has no type.
    #[must_use]
    pub fn messages(&self) -> Vec<char> {
        let mut types = Vec::new();
        let mut rest = self.bytes.as_slice();
        while let Some((head, _)) = rest.split_first_chunk::<5>() {
            let [kind, length @ ..] = *head;
            types.push(char::from(kind));
            // The length counts itself but not the type.
            let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
            rest = length.checked_add(1).and_then(|end| rest.get(end..)).unwrap_or_default();
        }
        types
    }
}

/// A proxy that runs until it is dropped.
#[derive(Debug)]
pub struct Proxy {
    addr: SocketAddr,
    shared: Arc<Shared>,
    listener: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    flights: Mutex<Vec<Flight>>,
    connections: Mutex<Vec<Connection>>,
    stopped: AtomicBool,
    frozen: Mutex<bool>,
    thawed: Condvar,
    /// How long each piece is held back, in milliseconds.
    delay: AtomicU64,
}

/// The two streams of a connection and the threads that copy between them.
#[derive(Debug)]
struct Connection {
    streams: [TcpStream; 2],
    copiers: [JoinHandle<()>; 2],
}

impl Proxy {
    /// Listens on a free port of 127.0.0.1 and passes connections on to a server.
    ///
    /// # Errors
    ///
    /// When there is no port to listen on.
    pub fn start(upstream: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let accepting = Arc::clone(&shared);
        let listener = thread::spawn(move || accept(&listener, upstream, &accepting));
        Ok(Self { addr, shared, listener: Some(listener) })
    }

    /// Returns where clients connect to.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Returns what was recorded since the start or the last [`reset`](Self::reset), all connections together.
    #[must_use]
    pub fn flights(&self) -> Vec<Flight> {
        lock(&self.shared.flights).clone()
    }

    /// Forgets what was recorded.
    pub fn reset(&self) {
        lock(&self.shared.flights).clear();
    }

    /// Counts how often the client spoke and then had to listen.
    ///
    /// What it has said without an answer so far counts as well.
    #[must_use]
    pub fn round_trips(&self) -> usize {
        let to_server = |flight: &&Flight| flight.direction == Direction::ToServer;
        lock(&self.shared.flights).iter().filter(to_server).count()
    }

    /// Holds back all bytes in both directions, as a server that is frozen would: connections are taken, and stay silent.
    pub fn freeze(&self) {
        *lock(&self.shared.frozen) = true;
    }

    /// Lets the bytes go on that were held back.
    pub fn thaw(&self) {
        *lock(&self.shared.frozen) = false;
        self.shared.thawed.notify_all();
    }

    /// Holds each piece of bytes back for this long from now on, as a network that is slow would.
    pub fn delay(&self, delay: Duration) {
        self.shared.delay.store(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Ends all present connections in one direction: whoever is there sees the end of what it is sent, and may go on sending.
    pub fn half_close(&self, direction: Direction) {
        for Connection { streams: [client, server], .. } in &*lock(&self.shared.connections) {
            let to = if direction == Direction::ToServer { server } else { client };
            // It fails if the connection has ended.
            let _ = to.shutdown(Shutdown::Write);
        }
    }

    /// Closes all present connections, as a network that breaks would. New ones are accepted. A frozen proxy thaws.
    pub fn cut(&self) {
        self.thaw();
        let connections = std::mem::take(&mut *lock(&self.shared.connections));
        for connection in connections {
            connection.close();
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Release);
        // Accepting blocks; a connection is what wakes it.
        let woken = TcpStream::connect(self.addr).is_ok();
        if let Some(listener) = self.listener.take().filter(|_| woken) {
            // A panic there has been printed already.
            let _ = listener.join();
        }
        self.cut();
    }
}

impl Connection {
    fn open(client: TcpStream, upstream: SocketAddr, shared: &Arc<Shared>) -> io::Result<Self> {
        let server = TcpStream::connect(upstream)?;
        // Nothing may be held back to be sent together with something later.
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let copiers = [
            copier(client.try_clone()?, server.try_clone()?, Direction::ToServer, Arc::clone(shared)),
            copier(server.try_clone()?, client.try_clone()?, Direction::ToClient, Arc::clone(shared)),
        ];
        Ok(Self { streams: [client, server], copiers })
    }

    fn close(self) {
        for stream in &self.streams {
            // It fails if the other side was faster.
            let _ = stream.shutdown(Shutdown::Both);
        }
        for copier in self.copiers {
            let _ = copier.join();
        }
    }
}

fn accept(listener: &TcpListener, upstream: SocketAddr, shared: &Arc<Shared>) {
    for client in listener.incoming().flatten() {
        if shared.stopped.load(Ordering::Acquire) {
            return;
        }
        // Locked meanwhile, so that whoever has had an answer through a connection can cut it.
        let mut connections = lock(&shared.connections);
        // Without a server the client sees its connection closed.
        if let Ok(connection) = Connection::open(client, upstream, shared) {
            connections.push(connection);
        }
    }
}

/// Copies one way on a thread of its own until either side ends.
fn copier(
    mut from: TcpStream,
    mut to: TcpStream,
    direction: Direction,
    shared: Arc<Shared>,
) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut buffer = [0; 16 * 1024];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            let Some(chunk) = buffer.get(..length) else { break };
            record(&shared, direction, chunk);
            thread::sleep(Duration::from_millis(shared.delay.load(Ordering::Relaxed)));
            drop(shared.thawed.wait_while(lock(&shared.frozen), |frozen| *frozen));
            if to.write_all(chunk).is_err() {
                break;
            }
        }
        // The end is passed on in this direction only, so that an answer under way still arrives.
        let _ = to.shutdown(Shutdown::Write);
    })
}

fn record(shared: &Shared, direction: Direction, chunk: &[u8]) {
    let mut flights = lock(&shared.flights);
    match flights.last_mut().filter(|flight| flight.direction == direction) {
        Some(flight) => flight.bytes.extend_from_slice(chunk),
        None => flights.push(Flight { direction, bytes: chunk.to_vec() }),
    }
}

/// Locks, also after a panic elsewhere: every change under these locks is a single one.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
