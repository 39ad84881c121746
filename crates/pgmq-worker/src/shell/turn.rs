//! Turns of tasks that share a thread.

use std::future::poll_fn;
use std::mem::replace;
use std::task::Poll;

/// Lets the other tasks of the thread run that can, and then goes on.
pub(crate) async fn next_turn() {
    let mut has_yielded = false;
    poll_fn(|context| match replace(&mut has_yielded, true) {
        true => Poll::Ready(()),
        false => {
            context.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await;
}
