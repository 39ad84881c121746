//! Several messages in the hands of one handler.

use std::collections::HashMap;
use std::ops::Deref;

use crate::failure::Failure;
use crate::finished::Finished;
use crate::meta::Meta;
use crate::outcome::{IntoOutcome, Outcome};

/// A job of either sort.
pub trait AnyJob {
    #[doc(hidden)]
    fn any_meta(&self) -> &Meta;
}

/// Several jobs in the hands of one handler: a slice of them, see [`Batch`](crate::Batch).
///
/// ```
/// use pgmq_worker::{Batch, BatchOutcome, Outcome};
///
/// async fn index(batch: Batch<String>) -> Result<BatchOutcome, std::io::Error> {
///     let refused = bulk(batch.iter().map(|document| document.as_str()))?;
///     Ok(batch.outcomes(|document| match refused.contains(&document.id()) {
///         true => Outcome::retry(),
///         false => Outcome::Done,
///     }))
/// }
/// # fn bulk<'a>(_: impl Iterator<Item = &'a str>) -> Result<Vec<i64>, std::io::Error> { Ok(vec![]) }
/// # let _ = index;
/// ```
#[derive(Debug, Clone)]
pub struct Jobs<J>(Vec<J>);

impl<J> Jobs<J> {
    pub(crate) fn new(jobs: Vec<J>) -> Self {
        Self(jobs)
    }

    /// The jobs by value.
    pub fn into_vec(self) -> Vec<J> {
        self.0
    }
}

impl<J: AnyJob> Jobs<J> {
    /// Decides on each job.
    pub fn outcomes<O: IntoOutcome>(&self, mut decide: impl FnMut(&J) -> O) -> BatchOutcome {
        self.0.iter().map(|job| (job.any_meta().id(), decide(job).into_outcome())).collect()
    }
}

impl<J> Deref for Jobs<J> {
    type Target = [J];

    fn deref(&self) -> &[J] {
        &self.0
    }
}

impl<J> IntoIterator for Jobs<J> {
    type Item = J;
    type IntoIter = std::vec::IntoIter<J>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a, J> IntoIterator for &'a Jobs<J> {
    type Item = &'a J;
    type IntoIter = std::slice::Iter<'a, J>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

/// The outcomes of the messages of a batch, by their ids. A message that has none counts as failed.
///
/// ```
/// use pgmq_worker::{BatchOutcome, Outcome};
///
/// let outcomes: BatchOutcome = [(7, Outcome::Done), (8, Outcome::retry())].into_iter().collect();
/// assert_eq!(outcomes.get(7), Some(&Outcome::Done));
/// assert_eq!(outcomes.get(9), None);
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BatchOutcome {
    each: HashMap<i64, Outcome>,
    all: Option<Outcome>,
}

impl BatchOutcome {
    /// Creates a batch outcome in which all messages count as failed.
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates a batch outcome in which all messages have the same outcome.
    pub fn all(outcome: impl IntoOutcome) -> Self {
        Self { each: HashMap::new(), all: Some(outcome.into_outcome()) }
    }

    /// Sets the outcome of a message, by its id.
    pub fn set(&mut self, msg_id: i64, outcome: impl IntoOutcome) {
        self.each.insert(msg_id, outcome.into_outcome());
    }

    /// The outcome of a message, if there is one.
    pub fn get(&self, msg_id: i64) -> Option<&Outcome> {
        self.each.get(&msg_id).or(self.all.as_ref())
    }

    /// The outcome of a message, by value. Without one, the message has failed.
    pub(crate) fn take(&mut self, msg_id: i64) -> Outcome {
        self.each.remove(&msg_id).or_else(|| self.all.clone()).unwrap_or_else(|| Outcome::Retry {
            after: None,
            why: Failure::from("the handler of the batch returned no outcome for this message"),
        })
    }
}

impl FromIterator<(i64, Outcome)> for BatchOutcome {
    fn from_iter<I: IntoIterator<Item = (i64, Outcome)>>(outcomes: I) -> Self {
        Self { each: outcomes.into_iter().collect(), all: None }
    }
}

impl FromIterator<Finished> for BatchOutcome {
    /// Collects the receipts of messages that the handler has finished in its own transaction.
    fn from_iter<I: IntoIterator<Item = Finished>>(receipts: I) -> Self {
        receipts.into_iter().map(|receipt| (receipt.msg_id(), receipt.into_outcome())).collect()
    }
}

/// A value that a handler of batches can return.
#[diagnostic::on_unimplemented(
    message = "a handler of batches cannot return `{Self}`",
    label = "not the outcome of a batch",
    note = "return `()`, `BatchOutcome`, or a `Result` of these whose error converts to a `Failure`"
)]
pub trait IntoBatchOutcome {
    /// Converts the value.
    fn into_batch_outcome(self) -> BatchOutcome;
}

impl IntoBatchOutcome for () {
    fn into_batch_outcome(self) -> BatchOutcome {
        BatchOutcome::all(Outcome::Done)
    }
}

impl IntoBatchOutcome for BatchOutcome {
    fn into_batch_outcome(self) -> BatchOutcome {
        self
    }
}

impl<T: IntoBatchOutcome, E: Into<Failure>> IntoBatchOutcome for Result<T, E> {
    fn into_batch_outcome(self) -> BatchOutcome {
        self.map_or_else(|error| BatchOutcome::all(Outcome::from(error.into())), T::into_batch_outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_without_an_outcome_has_failed() {
        let mut outcome = BatchOutcome::from_iter([(7, Outcome::Done)]);
        assert_eq!(outcome.take(7), Outcome::Done);
        let Outcome::Retry { why, .. } = outcome.take(8) else { panic!("the message is retried") };
        assert_eq!(why.to_string(), "the handler of the batch returned no outcome for this message");
    }

    #[test]
    fn an_error_counts_for_all_messages_and_no_result_for_none() {
        let mut outcome = Err::<(), _>(Failure::from("no").permanent()).into_batch_outcome();
        assert!(matches!(outcome.take(7), Outcome::DeadLetter { .. }));
        assert!(matches!(outcome.take(8), Outcome::DeadLetter { .. }));
        assert_eq!(().into_batch_outcome().take(7), Outcome::Done);
    }

    #[test]
    fn one_outcome_takes_the_place_of_that_of_all() {
        let mut outcome = BatchOutcome::all(());
        outcome.set(8, Err::<(), _>("no"));
        assert_eq!(outcome.get(7), Some(&Outcome::Done));
        assert!(matches!(outcome.take(8), Outcome::Retry { .. }));
    }

    #[test]
    fn receipts_finish_their_messages_only() {
        let mut outcome: BatchOutcome = [Finished::new(7, None)].into_iter().collect();
        assert_eq!(outcome.take(7), Outcome::Finished(Finished::new(7, None)));
        assert!(matches!(outcome.take(8), Outcome::Retry { .. }));
    }
}
