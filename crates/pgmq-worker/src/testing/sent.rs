//! A look at the messages that were sent.

use std::panic::Location;

use pgmq_core::{AsyncQueue, Message, RawJson, statement};
use serde::de::DeserializeOwned;

/// The number of messages that are looked at in one statement.
pub(crate) const LOOK: u32 = 1000;
/// The number of messages that a panic shows.
const SHOWN: usize = 20;

/// Looks for a message in a queue, visible or not, and returns the first that matches. It looks without a
/// read, so the message stays as it is.
///
/// ```
/// use pgmq_core::AsyncQueue;
/// use pgmq_worker::testing::{MemoryQueue, assert_not_sent, assert_sent};
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct Email {
///     to: String,
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), pgmq_core::Error> {
/// let queue = MemoryQueue::new();
/// queue.create_queue("emails").await?;
/// queue.send("emails", &serde_json::json!({"to": "ada@example.org"})).await?;
///
/// let message = assert_sent(&queue, "emails", |email: &Email| email.to == "ada@example.org").await?;
/// assert_eq!(message.read_ct, 0);
/// assert_not_sent(&queue, "emails", |email: &Email| email.to.is_empty()).await?;
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
pub fn assert_sent<Q: AsyncQueue, T: DeserializeOwned>(
    queue: &Q,
    name: &str,
    mut matches: impl FnMut(&T) -> bool,
) -> impl Future<Output = Result<Message<T>, Q::Error>> {
    let caller = Location::caller();
    async move {
        let mut search = Search::new(name, caller);
        loop {
            match search.page(queue.run(statement::peek_all(name, search.last, LOOK)).await?, &mut matches) {
                Page::Found(message) => return Ok(message),
                Page::More => {}
                Page::Last => search.has_failed(),
            }
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
pub fn assert_not_sent<Q: AsyncQueue, T: DeserializeOwned>(
    queue: &Q,
    name: &str,
    mut matches: impl FnMut(&T) -> bool,
) -> impl Future<Output = Result<(), Q::Error>> {
    let caller = Location::caller();
    async move {
        let mut search = Search::new(name, caller);
        loop {
            match search.page(queue.run(statement::peek_all(name, search.last, LOOK)).await?, &mut matches) {
                Page::Found(_) => search.has_found(),
                Page::More => {}
                Page::Last => return Ok(()),
            }
        }
    }
}

/// A search for a message, a page after the other.
pub(crate) struct Search<'a> {
    queue: &'a str,
    caller: &'static Location<'static>,
    /// The last id that was looked at.
    pub(crate) last: i64,
    count: usize,
    shown: Vec<String>,
}

/// The result of a look at a page.
pub(crate) enum Page<T> {
    Found(Message<T>),
    More,
    Last,
}

impl<'a> Search<'a> {
    pub(crate) fn new(queue: &'a str, caller: &'static Location<'static>) -> Self {
        Self { queue, caller, last: 0, count: 0, shown: Vec::new() }
    }

    pub(crate) fn page<T: DeserializeOwned>(
        &mut self,
        messages: Vec<Message<RawJson>>,
        matches: &mut impl FnMut(&T) -> bool,
    ) -> Page<T> {
        if messages.is_empty() {
            return Page::Last;
        }
        for message in messages {
            self.last = message.msg_id;
            self.count += 1;
            let parsed = message.parse::<T>();
            if self.shown.len() < SHOWN {
                self.shown.push(shown(&message, parsed.as_ref().err()));
            }
            match parsed {
                Ok(parsed) if matches(&parsed.message) => {
                    self.shown = vec![shown(&message, None)];
                    return Page::Found(parsed);
                }
                _ => {}
            }
        }
        Page::More
    }

    /// Fails, as nothing was found.
    pub(crate) fn has_failed(&self) -> ! {
        let Self { queue, caller, count, shown, .. } = self;
        match count {
            0 => panic!("{caller}: queue {queue:?} is empty, and a message was to be there"),
            _ => {
                let rest = match count.saturating_sub(shown.len()) {
                    0 => String::new(),
                    rest => format!("\n  and {rest} more"),
                };
                let list = shown.join("\n  ");
                panic!("{caller}: none of the {count} messages of queue {queue:?} matches:\n  {list}{rest}")
            }
        }
    }

    /// Fails, as something was found.
    pub(crate) fn has_found(&self) -> ! {
        let Self { queue, caller, shown, .. } = self;
        panic!("{caller}: queue {queue:?} has a message that must not be there:\n  {}", shown.join("\n  "))
    }
}

fn shown(message: &Message<RawJson>, error: Option<&serde_json::Error>) -> String {
    let mut text = format!("message {}: {}", message.msg_id, message.message);
    if let Some(headers) = &message.headers {
        text = format!("{text} with headers {headers}");
    }
    match error {
        Some(error) => format!("{text} (of another type: {error})"),
        None => text,
    }
}
