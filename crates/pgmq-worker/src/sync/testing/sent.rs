//! A look at the messages that were sent.

use std::panic::Location;

use pgmq_core::{Message, Queue, statement};
use serde::de::DeserializeOwned;

use crate::testing::sent::{LOOK, Page, Search};

/// Looks for a message in a queue, visible or not, and returns the first that matches. It looks without a
/// read, so the message stays as it is.
///
/// ```
/// use pgmq_core::Queue;
/// use pgmq_worker::sync::testing::{assert_not_sent, assert_sent};
/// use pgmq_worker::testing::MemoryQueue;
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct Email {
///     to: String,
/// }
///
/// # fn main() -> Result<(), pgmq_core::Error> {
/// let queue = MemoryQueue::new();
/// queue.create_queue("emails")?;
/// queue.send("emails", &serde_json::json!({"to": "ada@example.org"}))?;
///
/// let message = assert_sent(&queue, "emails", |email: &Email| email.to == "ada@example.org")?;
/// assert_eq!(message.read_ct, 0);
/// assert_not_sent(&queue, "emails", |email: &Email| email.to.is_empty())?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// Returns the same errors as `peek`, but for payloads that do not decode, which do not match.
///
/// # Panics
///
/// If no message matches. The text lists the messages that are there.
#[track_caller]
pub fn assert_sent<Q: Queue, T: DeserializeOwned>(
    queue: &Q,
    name: &str,
    mut matches: impl FnMut(&T) -> bool,
) -> Result<Message<T>, Q::Error> {
    let mut search = Search::new(name, Location::caller());
    loop {
        match search.page(queue.run(statement::peek_all(name, search.last, LOOK))?, &mut matches) {
            Page::Found(message) => return Ok(message),
            Page::More => {}
            Page::Last => search.has_failed(),
        }
    }
}

/// Looks for a message in a queue, visible or not, that must not be there. The opposite of [`assert_sent`].
///
/// # Errors
///
/// Returns the same errors as `peek`, but for payloads that do not decode, which do not match.
///
/// # Panics
///
/// If a message matches. The text shows it.
#[track_caller]
pub fn assert_not_sent<Q: Queue, T: DeserializeOwned>(
    queue: &Q,
    name: &str,
    mut matches: impl FnMut(&T) -> bool,
) -> Result<(), Q::Error> {
    let mut search = Search::new(name, Location::caller());
    loop {
        match search.page(queue.run(statement::peek_all(name, search.last, LOOK))?, &mut matches) {
            Page::Found(_) => search.has_found(),
            Page::More => {}
            Page::Last => return Ok(()),
        }
    }
}
