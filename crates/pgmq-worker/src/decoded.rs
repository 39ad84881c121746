//! The messages of a batch, of which some may not decode.

use std::sync::Arc;

use crate::batch::{BatchOutcome, Jobs};
use crate::failure::Failure;
use crate::meta::Meta;
use crate::outcome::Outcome;
use crate::panics::caught_in;

/// The decoded jobs of a batch, and the outcomes of the messages that did not decode.
pub(crate) struct Decoded<J> {
    jobs: Vec<J>,
    /// The ids in the order of the messages, with the outcome of those that did not decode.
    ids: Vec<(i64, Option<Outcome>)>,
}

impl<J> Decoded<J> {
    /// Decodes each message by itself, also where decoding panics.
    pub(crate) fn new(messages: Vec<Arc<Meta>>, decode: impl Fn(Arc<Meta>) -> Result<J, Failure>) -> Self {
        let mut decoded = Self { jobs: Vec::with_capacity(messages.len()), ids: Vec::new() };
        for meta in messages {
            let id = meta.id();
            let outcome = match caught_in(|| decode(meta)).and_then(|result| result) {
                Ok(job) => {
                    decoded.jobs.push(job);
                    None
                }
                Err(failure) => Some(Outcome::from(failure)),
            };
            decoded.ids.push((id, outcome));
        }
        decoded
    }

    /// The jobs, for the handler.
    pub(crate) fn take(&mut self) -> Jobs<J> {
        Jobs::new(std::mem::take(&mut self.jobs))
    }

    /// One outcome for each message, in the order of the messages.
    pub(crate) fn outcomes(self, mut outcome: BatchOutcome) -> Vec<Outcome> {
        self.ids.into_iter().map(|(id, failed)| failed.unwrap_or_else(|| outcome.take(id))).collect()
    }
}
