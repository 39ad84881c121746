//! The calls of handlers that are in progress.

/// The calls, each of which occupies a slot until all of its messages have returned.
#[derive(Debug, Default)]
pub(super) struct Calls {
    /// The numbers of messages of the calls that have not returned; 0 for an unused place.
    left: Vec<usize>,
    /// The unused places.
    unused: Vec<usize>,
}

impl Calls {
    /// The number of calls in progress.
    pub(super) fn len(&self) -> usize {
        self.left.len() - self.unused.len()
    }

    /// Begins a call with this number of messages, at least 1.
    pub(super) fn begin(&mut self, messages: usize) -> usize {
        match self.unused.pop() {
            Some(call) => {
                self.left[call] = messages;
                call
            }
            None => {
                self.left.push(messages);
                self.left.len() - 1
            }
        }
    }

    /// Takes a message out of a call. The index is one that `begin` returned, so it is in range.
    pub(super) fn leave(&mut self, call: usize) {
        self.left[call] -= 1;
        if self.left[call] == 0 {
            self.unused.push(call);
        }
    }
}
