//! The example of a web service with a worker, as its users and its orchestrator see it.

#![allow(clippy::unwrap_used, reason = "a failed test panics")]

#[path = "../examples/axum_service/service.rs"]
mod service;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use pgmq_sqlx::PGMQueue;
use pgmq_test_server::Server;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// The status and the body of the answer to a request.
async fn request(to: SocketAddr, method: &str, path: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(to).await.unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_confirmed_and_the_service_stops_in_order() {
    let server = tokio::task::block_in_place(Server::obtain).unwrap();
    let database = tokio::task::block_in_place(|| server.create_database()).unwrap();
    let queue = PGMQueue::builder().url(database.url()).pool_size(5).connect().await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(service::run(queue, listener, async { drop(stopped.await) }));

    let begun = Instant::now();
    let (status, body) = request(at, "POST", "/orders", r#"{"item": "tea"}"#).await;
    assert_eq!(status, 202, "{body}");
    let order: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((order["item"].as_str(), order["is_confirmed"].as_bool()), (Some("tea"), Some(false)));
    let path = format!("/orders/{}", order["id"]);
    loop {
        let (status, body) = request(at, "GET", &path, "").await;
        assert_eq!(status, 200);
        if body.contains(r#""is_confirmed":true"#) {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "the order is never confirmed");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(request(at, "GET", "/orders/99", "").await.0, 404);
    assert_eq!(request(at, "GET", "/health/live", "").await.0, 200);
    assert_eq!(request(at, "GET", "/health/ready", "").await.0, 200);

    // A request that is under way when the stop begins comes to its end.
    let mut slow = TcpStream::connect(at).await.unwrap();
    let head = "GET /health/ready HTTP/1.1\r\nhost: localhost\r\n";
    slow.write_all(head.as_bytes()).await.unwrap();
    // The server has accepted the connection once it answers another request.
    request(at, "GET", "/health/live", "").await;
    stop.send(()).unwrap();
    while TcpStream::connect(at).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    slow.write_all(b"connection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503"), "it is not ready while it stops: {answer}");

    let report = running.await.unwrap().unwrap();
    assert!(report.is_clean(), "{report}");
    let queue = PGMQueue::connect(database.url()).await.unwrap();
    assert_eq!(queue.metrics(service::ORDERS).await.unwrap().queue_length, 0);
    queue.close().await;
    tokio::task::block_in_place(|| drop(database));
}
