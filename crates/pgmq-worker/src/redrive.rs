//! Moving dead letters back.

use std::time::Duration;

use pgmq_core::{AsyncQueue, Error, ErrorKind, Message, Move, RawJson};

use crate::dead_letter::strip;

/// The largest number of messages that are moved in one statement.
const AT_ONCE: u32 = 100;
/// The time for which messages are hidden that were read and could not be moved.
pub(crate) const VT: Duration = Duration::from_secs(30);

/// Moves up to `limit` dead letters to the queue `to`, oldest first, and returns the number of moved ones.
///
/// The messages get the headers back that they had before, and the header `x-dlq-redriven`, which counts.
/// They are as if never read. A failure leaves each message in one of the two queues, and the call can be
/// repeated.
///
/// ```no_run
/// # async fn example(queue: pgmq_tokio::PGMQueue) -> Result<(), pgmq_tokio::Error> {
/// let moved = pgmq_worker::redrive(&queue, "emails_dlq", "emails", 1000).await?;
/// println!("{moved} messages are tried again");
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// Returns the same errors as `read_batch` and `move_batch`, among them [`ErrorKind::QueueNotFound`] and,
/// before PGMQ 1.5, [`ErrorKind::Unsupported`]. An error of kind [`ErrorKind::InvalidArgument`] says that the
/// two queues are the same.
pub async fn redrive<Q: AsyncQueue>(
    queue: &Q,
    dead_letter_queue: &str,
    to: &str,
    limit: u32,
) -> Result<usize, Q::Error> {
    differ(dead_letter_queue, to)?;
    let mut progress = Progress::new(limit);
    while let Some(qty) = progress.next() {
        let letters = queue.read_batch::<RawJson>(dead_letter_queue, VT, qty).await?;
        if letters.is_empty() {
            break;
        }
        let moved = queue.move_batch(dead_letter_queue, to, &moves(&letters), 0).await?;
        progress.add(letters.len(), moved.len());
    }
    Ok(progress.moved)
}

pub(crate) fn differ(dead_letter_queue: &str, to: &str) -> Result<(), Error> {
    match dead_letter_queue.to_lowercase() == to.to_lowercase() {
        true => {
            let text = format!("cannot move the dead letters of {to:?} to the same queue; name another one");
            Err(Error::new(ErrorKind::InvalidArgument, text))
        }
        false => Ok(()),
    }
}

pub(crate) fn moves(letters: &[Message<RawJson>]) -> Vec<Move> {
    letters.iter().map(|letter| Move::new(letter.claim()).headers(&strip(letter.headers.as_ref()))).collect()
}

/// The part of a limit that is left, in steps.
pub(crate) struct Progress {
    left: u32,
    pub(crate) moved: usize,
}

impl Progress {
    pub(crate) fn new(limit: u32) -> Self {
        Self { left: limit, moved: 0 }
    }

    /// The number of messages to read; `None` at the limit.
    pub(crate) fn next(&self) -> Option<u32> {
        Some(self.left.min(AT_ONCE)).filter(|&qty| qty > 0)
    }

    pub(crate) fn add(&mut self, read: usize, moved: usize) {
        self.left = self.left.saturating_sub(u32::try_from(read).unwrap_or(u32::MAX));
        self.moved += moved;
    }
}
