//! The example of a web service with a worker, as its users and its orchestrator see it: a process that
//! answers HTTP, and that SIGTERM stops.

#![allow(clippy::unwrap_used, reason = "a failed trial panics")]

#[path = "../examples/axum_service/service.rs"]
mod service;

use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdout, Command, ExitCode, Stdio};
use std::sync::LazyLock;
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Trial};
use pgmq_postgres::PGMQueue;
use pgmq_test_server::{Database, Server};
use serde_json::Value;

/// Set in the process of the service, which is this program once more.
const IS_SERVICE: &str = "PGMQ_TEST_AXUM_SERVICE";
/// The longest time that a trial waits for a condition.
const LIMIT: Duration = Duration::from_secs(30);
const HEAD: &str = "GET /health/ready HTTP/1.1\r\nhost: localhost\r\n";

fn main() -> ExitCode {
    if env::var_os(IS_SERVICE).is_some() {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(service::serve("127.0.0.1:0")).unwrap();
        return ExitCode::SUCCESS;
    }
    let trial = |name: &str, run: fn()| {
        Trial::test(name, move || {
            run();
            Ok(())
        })
    };
    let trials = vec![
        trial("orders_are_confirmed", orders_are_confirmed),
        trial("readiness_follows_the_queue", readiness_follows_the_queue),
        trial("sigterm_lets_requests_end", sigterm_lets_requests_end),
        trial("a_client_that_hangs_does_not_hold_up_the_stop", a_client_that_hangs_does_not_hold_up_the_stop),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// The process of the service, which is killed when it is dropped.
struct Service {
    child: Child,
    output: BufReader<ChildStdout>,
    at: SocketAddr,
    queue: PGMQueue,
    // Dropped last, as the drop needs a database without sessions.
    _database: Database,
}

impl Service {
    fn start() -> Self {
        static SERVER: LazyLock<Server> =
            LazyLock::new(|| Server::obtain().unwrap_or_else(|error| panic!("{error:?}")));
        let database = SERVER.create_database().unwrap();
        let queue = PGMQueue::builder().url(database.url()).pool_size(1).connect().unwrap();
        let mut command = Command::new(env::current_exe().unwrap());
        command.env(IS_SERVICE, "1").env("DATABASE_URL", database.url()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let at = line.trim_end().strip_prefix("listening on ").unwrap().parse().unwrap();
        Self { child, output, at, queue, _database: database }
    }

    /// The status and the body of the answer to a request.
    fn request(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let mut stream = self.connect();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        answer(stream)
    }

    fn status(&self, path: &str) -> u16 {
        self.request("GET", path, "").0
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.at).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream
    }

    /// A connection that the service has accepted, with a request that is not complete.
    fn half_a_request(&self) -> TcpStream {
        let mut stream = self.connect();
        stream.write_all(HEAD.as_bytes()).unwrap();
        // Connections are accepted in their order.
        self.status("/health/live");
        stream
    }

    fn terminate(&self) {
        // `kill` is built into every shell, but is not a program on every system.
        let status = Command::new("sh").args(["-c", &format!("kill -TERM {}", self.child.id())]).status();
        assert!(status.unwrap().success());
    }

    /// Waits until the process has ended by itself, in order.
    fn ends(&mut self) {
        let child = &mut self.child;
        wait_until("the process has ended", || child.try_wait().unwrap().is_some());
        let mut output = String::new();
        self.output.read_to_string(&mut output).unwrap();
        assert!(self.child.wait().unwrap().success(), "{output}");
        assert_eq!(output, "the worker has stopped\n");
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Fails if the process has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn answer(mut stream: TcpStream) -> (u16, String) {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < LIMIT, "never came true: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn orders_are_confirmed() {
    let mut service = Service::start();
    let (status, body) = service.request("POST", "/orders", r#"{"item": "tea"}"#);
    assert_eq!(status, 202, "{body}");
    let order: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((order["item"].as_str(), order["is_confirmed"].as_bool()), (Some("tea"), Some(false)));
    let path = format!("/orders/{}", order["id"]);
    wait_until("the order is confirmed", || {
        let (status, body) = service.request("GET", &path, "");
        assert_eq!(status, 200, "{body}");
        serde_json::from_str::<Value>(&body).unwrap()["is_confirmed"] == true
    });
    assert_eq!(service.queue.metrics(service::ORDERS).unwrap().queue_length, 0);
    assert_eq!(service.status("/orders/99"), 404);
    assert_eq!(service.request("POST", "/orders", "tea").0, 400);
    service.terminate();
    service.ends();
}

fn readiness_follows_the_queue() {
    let mut service = Service::start();
    assert_eq!((service.status("/health/live"), service.status("/health/ready")), (200, 200));
    service.queue.drop_queue(service::ORDERS).unwrap();
    wait_until("it is not ready without its queue", || service.status("/health/ready") == 503);
    // A restart would not bring the queue back.
    assert_eq!(service.status("/health/live"), 200);
    service.queue.create_queue(service::ORDERS).unwrap();
    wait_until("it is ready with its queue", || service.status("/health/ready") == 200);
    service.terminate();
    service.ends();
}

fn sigterm_lets_requests_end() {
    let mut service = Service::start();
    let mut request = service.half_a_request();
    service.terminate();
    wait_until("nothing more is accepted", || TcpStream::connect(service.at).is_err());
    request.write_all(b"connection: close\r\n\r\n").unwrap();
    assert_eq!(answer(request).0, 503, "it is not ready while it stops");
    service.ends();
}

fn a_client_that_hangs_does_not_hold_up_the_stop() {
    let mut service = Service::start();
    let request = service.half_a_request();
    service.terminate();
    service.ends();
    drop(request);
}
