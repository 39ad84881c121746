//! Traps: requests at which the proxy cuts the connection that they come on.

use std::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering},
};

use crate::{proxy::flight::Direction, shared::lock};

/// The last message of each answer of Postgres, without the byte that says whether a transaction is open.
const READY: &[u8] = b"Z\0\0\0\x05";

/// The side of a request on which its connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The server does not get the request.
    Before,
    /// The server has done what was asked for, and its answer is lost.
    After,
}

/// The traps of a proxy.
#[derive(Debug, Default)]
pub(super) struct Traps(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    set: Option<Trap>,
    /// The number of connections that were cut.
    cuts: usize,
}

#[derive(Debug)]
struct Trap {
    text: String,
    moment: Moment,
    left: usize,
}

/// The fate of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    PassOn,
    /// The chunk belongs to an answer that is lost.
    Lose,
    /// The connection ends, and the chunk is lost.
    Cut,
}

impl Traps {
    pub(super) fn set(&self, text: &str, moment: Moment, times: usize) {
        lock(&self.0).set = Some(Trap { text: text.to_owned(), moment, left: times });
    }

    pub(super) fn cuts(&self) -> usize {
        lock(&self.0).cuts
    }

    /// Decides on a chunk. `loses_answer` belongs to the connection, and is `true` while an answer is lost.
    pub(super) fn judge(&self, direction: Direction, chunk: &[u8], loses_answer: &AtomicBool) -> Fate {
        match direction {
            Direction::ToServer => match self.spring(chunk) {
                Some(Moment::Before) => {
                    lock(&self.0).cuts += 1;
                    Fate::Cut
                }
                Some(Moment::After) => {
                    loses_answer.store(true, Ordering::Release);
                    Fate::PassOn
                }
                None => Fate::PassOn,
            },
            Direction::ToClient if !loses_answer.load(Ordering::Acquire) => Fate::PassOn,
            Direction::ToClient if is_last(chunk) => {
                lock(&self.0).cuts += 1;
                Fate::Cut
            }
            Direction::ToClient => Fate::Lose,
        }
    }

    /// Springs the trap if it is set for this request.
    fn spring(&self, request: &[u8]) -> Option<Moment> {
        let mut state = lock(&self.0);
        let text = |trap: &&mut Trap| {
            trap.left > 0 && request.windows(trap.text.len()).any(|part| part == trap.text.as_bytes())
        };
        let trap = state.set.as_mut().filter(text)?;
        trap.left -= 1;
        Some(trap.moment)
    }
}

/// Returns `true` for the last chunk of an answer. The server says that it is ready once the transaction is
/// over.
fn is_last(chunk: &[u8]) -> bool {
    chunk.split_last().is_some_and(|(_, rest)| rest.ends_with(READY))
}
