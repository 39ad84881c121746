//! Moving dead letters back.

use pgmq_core::{Queue, RawJson};

use crate::redrive::{Progress, VT, differ, moves};

/// Moves up to `limit` dead letters to the queue `to`, oldest first, and returns the number of moved ones. It
/// is the twin of the async [`redrive`](crate::redrive).
///
/// ```no_run
/// # fn example(queue: pgmq_diesel::PGMQueue) -> Result<(), pgmq_diesel::Error> {
/// let moved = pgmq_worker::sync::redrive(&queue, "emails_dlq", "emails", 1000)?;
/// println!("{moved} messages are tried again");
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// Returns the same errors as the async [`redrive`](crate::redrive).
pub fn redrive<Q: Queue>(
    queue: &Q,
    dead_letter_queue: &str,
    to: &str,
    limit: u32,
) -> Result<usize, Q::Error> {
    differ(dead_letter_queue, to)?;
    let mut progress = Progress::new(limit);
    while let Some(qty) = progress.next() {
        let letters = queue.read_batch::<RawJson>(dead_letter_queue, VT, qty)?;
        if letters.is_empty() {
            break;
        }
        let moved = queue.move_batch(dead_letter_queue, to, &moves(&letters), 0)?;
        progress.add(letters.len(), moved.len());
    }
    Ok(progress.moved)
}
