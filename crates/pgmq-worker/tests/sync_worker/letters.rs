//! Dead letters.

use pgmq_postgres::{PGMQueue, RawJson};

/// The dead letters of `q`, as their payloads with the reasons, in order.
pub(crate) fn dead_letters(queue: &PGMQueue) -> Vec<(String, String)> {
    let letters = queue.peek::<RawJson>("q_dlq", 10).unwrap();
    let mut dead: Vec<_> = letters
        .into_iter()
        .map(|message| {
            let headers: serde_json::Value = message.headers.unwrap().parse().unwrap();
            (message.message.get().to_owned(), headers["x-dlq-reason"].as_str().unwrap().to_owned())
        })
        .collect();
    dead.sort();
    dead
}
