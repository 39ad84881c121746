//! A TCP proxy between a client and a server, which records the traffic.
//!
//! With a proxy, a test can count the round trips of an operation:
//!
//! ```no_run
//! # fn main() -> std::io::Result<()> {
//! # let upstream = ([127, 0, 0, 1], 5432).into();
//! # fn connect(_: std::net::SocketAddr) {}
//! # fn send() {}
//! let proxy = pgmq_test_server::proxy::Proxy::start(upstream)?;
//! let client = connect(proxy.addr());
//! proxy.reset(); // forget the log-in
//! send();
//! assert_eq!(proxy.round_trips(), 1);
//! # Ok(())
//! # }
//! ```
//!
//! The proxy cannot read TLS, so connect with `sslmode=disable`. Bytes are recorded before they are
//! forwarded: when a client has received an answer, the answer is among the flights.

mod flight;
mod traps;

use std::{
    fs,
    io::{self, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

#[cfg(target_os = "linux")]
use socket2::SockFilter;
use socket2::SockRef;

pub use self::flight::{Direction, Flight};
pub use self::traps::Moment;
use self::traps::{Fate, Traps};
use crate::shared::lock;

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
    /// Delay of each chunk, in milliseconds.
    delay: AtomicU64,
    /// `true` while new connections are closed at once.
    is_down: AtomicBool,
    traps: Traps,
}

/// The two streams of a connection and the threads that copy between them.
#[derive(Debug)]
struct Connection {
    streams: [TcpStream; 2],
    copiers: [JoinHandle<()>; 2],
    /// `true` if no byte that arrives from now on may be passed on, nor the end of a stream.
    is_swallowed: Arc<AtomicBool>,
}

impl Proxy {
    /// Listens on a free port of 127.0.0.1 and forwards connections to a server.
    ///
    /// # Errors
    ///
    /// If there is no free port.
    pub fn start(upstream: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let accepting = Arc::clone(&shared);
        let listener = thread::spawn(move || accept(&listener, upstream, &accepting));
        Ok(Self { addr, shared, listener: Some(listener) })
    }

    /// The address that clients connect to.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The traffic of all connections since the start or the last [`reset`](Self::reset).
    #[must_use]
    pub fn flights(&self) -> Vec<Flight> {
        lock(&self.shared.flights).clone()
    }

    /// Discards the recorded traffic.
    pub fn reset(&self) {
        lock(&self.shared.flights).clear();
    }

    /// The number of times that the client sent and then waited for an answer.
    ///
    /// A request without an answer so far counts as well.
    #[must_use]
    pub fn round_trips(&self) -> usize {
        let to_server = |flight: &&Flight| flight.direction == Direction::ToServer;
        lock(&self.shared.flights).iter().filter(to_server).count()
    }

    /// Holds back all bytes in both directions, as a frozen server would: connections are accepted, and stay
    /// silent.
    pub fn freeze(&self) {
        *lock(&self.shared.frozen) = true;
    }

    /// Forwards the bytes that were held back.
    pub fn thaw(&self) {
        *lock(&self.shared.frozen) = false;
        self.shared.thawed.notify_all();
    }

    /// Delays each later chunk by `delay`, as a slow network would.
    pub fn delay(&self, delay: Duration) {
        self.shared.delay.store(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Closes all present connections in one direction: the receiver sees the end of the stream, and may go
    /// on sending.
    pub fn half_close(&self, direction: Direction) {
        for Connection { streams: [client, server], .. } in &*lock(&self.shared.connections) {
            let to = if direction == Direction::ToServer { server } else { client };
            // Fails if the connection has ended.
            let _ = to.shutdown(Shutdown::Write);
        }
    }

    /// Swallows all traffic of the present connections, as a network would that has lost the route between
    /// the two sides: neither side receives anything again, not even an acknowledgement or the end of the
    /// stream. New connections work.
    ///
    /// # Errors
    ///
    /// If the system cannot drop the packets of a connection; only Linux can.
    pub fn swallow(&self) -> io::Result<()> {
        lock(&self.shared.connections).iter().try_for_each(Connection::swallow)
    }

    /// The number of connections whose traffic was [swallowed](Self::swallow) and that the client has not
    /// closed. The proxy does not learn of their end, but the system knows.
    ///
    /// The client has to be on this machine.
    ///
    /// # Errors
    ///
    /// If the system does not list its connections as Linux does.
    pub fn swallowed(&self) -> io::Result<usize> {
        let connections = lock(&self.shared.connections);
        let swallowed = connections.iter().filter(|connection| connection.is_swallowed());
        let clients: Vec<_> =
            swallowed.filter_map(|connection| connection.streams[0].peer_addr().ok()).collect();
        if clients.is_empty() { Ok(0) } else { established(self.addr, &clients) }
    }

    /// Closes the connections whose traffic was [swallowed](Self::swallow). Other connections stay open.
    pub fn close_swallowed(&self) {
        let mut connections = lock(&self.shared.connections);
        let swallowed: Vec<_> = connections.extract_if(.., |connection| connection.is_swallowed()).collect();
        drop(connections);
        swallowed.into_iter().for_each(Connection::close);
    }

    /// Cuts the connection of each of the next `times` requests whose bytes contain `text`, such as a part of
    /// a statement. Replaces the trap that was set before.
    pub fn cut_at(&self, text: &str, moment: Moment, times: usize) {
        self.shared.traps.set(text, moment, times);
    }

    /// The number of connections that were cut at the requests of [`cut_at`](Self::cut_at).
    #[must_use]
    pub fn cuts(&self) -> usize {
        self.shared.traps.cuts()
    }

    /// Closes all present connections and every new one, as if the server had ended.
    pub fn shut(&self) {
        self.shared.is_down.store(true, Ordering::Release);
        self.cut();
    }

    /// Accepts connections again after [`shut`](Self::shut).
    pub fn reopen(&self) {
        self.shared.is_down.store(false, Ordering::Release);
    }

    /// Closes all present connections, as a broken network would. New connections are accepted. A frozen
    /// proxy thaws.
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
        // The listener blocks in `accept`, and a connection wakes it.
        let woken = TcpStream::connect(self.addr).is_ok();
        if let Some(listener) = self.listener.take().filter(|_| woken) {
            // A panic of the listener has been printed already.
            let _ = listener.join();
        }
        self.cut();
    }
}

impl Connection {
    fn open(client: TcpStream, upstream: SocketAddr, shared: &Arc<Shared>) -> io::Result<Self> {
        let server = TcpStream::connect(upstream)?;
        // Nagle's algorithm would hold bytes back and merge them with later ones.
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let is_swallowed = Arc::new(AtomicBool::new(false));
        let loses_answer = Arc::new(AtomicBool::new(false));
        let copy = |from: &TcpStream, to: &TcpStream, direction| {
            let wire = Wire {
                from: from.try_clone()?,
                to: to.try_clone()?,
                direction,
                shared: Arc::clone(shared),
                is_swallowed: Arc::clone(&is_swallowed),
                loses_answer: Arc::clone(&loses_answer),
            };
            Ok::<_, io::Error>(thread::spawn(move || wire.copy()))
        };
        let copiers =
            [copy(&client, &server, Direction::ToServer)?, copy(&server, &client, Direction::ToClient)?];
        Ok(Self { streams: [client, server], copiers, is_swallowed })
    }

    fn is_swallowed(&self) -> bool {
        self.is_swallowed.load(Ordering::Acquire)
    }

    fn swallow(&self) -> io::Result<()> {
        // The copiers may hold bytes that arrived before the system drops packets.
        self.is_swallowed.store(true, Ordering::Release);
        self.streams.iter().try_for_each(drop_packets)
    }

    fn close(self) {
        for stream in &self.streams {
            if self.is_swallowed() {
                // A reset. The end of the stream would wait for bytes before it that were swallowed, and are
                // repeated after ever longer pauses.
                let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
            }
            // Fails if the other side closed first.
            let _ = stream.shutdown(Shutdown::Both);
        }
        for copier in self.copiers {
            let _ = copier.join();
        }
    }
}

/// Makes the system drop all packets that arrive for a stream, before it acknowledges them.
#[cfg(target_os = "linux")]
fn drop_packets(stream: &TcpStream) -> io::Result<()> {
    /// The instruction "return a constant": the number of bytes to keep of a packet.
    const RETURN: u16 = 0x06;
    SockRef::from(stream).attach_filter(&[SockFilter::new(RETURN, 0, 0, 0)])
}

#[cfg(not(target_os = "linux"))]
fn drop_packets(_: &TcpStream) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "only Linux can drop the packets of a single connection"))
}

/// The number of these clients' connections to `server` that the client regards as open.
fn established(server: SocketAddr, clients: &[SocketAddr]) -> io::Result<usize> {
    /// The column of the state, and the value of an open connection.
    const ESTABLISHED: &str = "01";
    let table = fs::read_to_string("/proc/net/tcp")?;
    let is_open = |line: &&str| {
        let mut columns = line.split_whitespace().skip(1);
        let mut port = || u16::from_str_radix(columns.next()?.rsplit(':').next()?, 16).ok();
        let ends = (port(), port());
        let is_between = |client: &SocketAddr| ends == (Some(client.port()), Some(server.port()));
        columns.next() == Some(ESTABLISHED) && clients.iter().any(is_between)
    };
    Ok(table.lines().filter(is_open).count())
}

fn accept(listener: &TcpListener, upstream: SocketAddr, shared: &Arc<Shared>) {
    for client in listener.incoming().flatten() {
        if shared.stopped.load(Ordering::Acquire) {
            return;
        }
        // Locked meanwhile, so that `cut` includes every connection that has passed on an answer.
        let mut connections = lock(&shared.connections);
        // If the server is not reachable, the client sees its connection closed.
        if shared.is_down.load(Ordering::Acquire) {
            continue;
        }
        if let Ok(connection) = Connection::open(client, upstream, shared) {
            connections.push(connection);
        }
    }
}

/// One direction of a connection.
struct Wire {
    from: TcpStream,
    to: TcpStream,
    direction: Direction,
    shared: Arc<Shared>,
    is_swallowed: Arc<AtomicBool>,
    loses_answer: Arc<AtomicBool>,
}

impl Wire {
    /// Copies until either side ends.
    fn copy(mut self) {
        let Self { from, to, direction, shared, is_swallowed, loses_answer } = &mut self;
        let mut buffer = [0; 16 * 1024];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            let Some(chunk) = buffer.get(..length) else { break };
            record(shared, *direction, chunk);
            thread::sleep(Duration::from_millis(shared.delay.load(Ordering::Relaxed)));
            drop(shared.thawed.wait_while(lock(&shared.frozen), |frozen| *frozen));
            if is_swallowed.load(Ordering::Acquire) {
                continue;
            }
            match shared.traps.judge(*direction, chunk, loses_answer) {
                Fate::PassOn if to.write_all(chunk).is_ok() => {}
                Fate::PassOn => break,
                Fate::Lose => {}
                Fate::Cut => {
                    // Fails if the other side closed first.
                    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
                    return;
                }
            }
        }
        if is_swallowed.load(Ordering::Acquire) {
            return;
        }
        // Only this direction is closed, so that an answer in flight still arrives.
        let _ = to.shutdown(Shutdown::Write);
    }
}

fn record(shared: &Shared, direction: Direction, chunk: &[u8]) {
    let mut flights = lock(&shared.flights);
    match flights.last_mut().filter(|flight| flight.direction == direction) {
        Some(flight) => flight.bytes.extend_from_slice(chunk),
        None => flights.push(Flight { direction, bytes: chunk.to_vec() }),
    }
}
