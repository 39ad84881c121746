//! The verdict on a message, for the machine, and the things that the shell keeps until it is settled.

use std::time::Duration;

use pgmq_core::{RawJson, SendOptions};

use crate::dead_letter::Burial;
use crate::failure::{Failure, Reason};
use crate::headers::Headers;
use crate::machine::command::CancelReason;
use crate::machine::event::Verdict;
use crate::meta::{ATTEMPTS, Meta};
use crate::outcome::Outcome;
use crate::panics::caught_in;
use crate::retry::{Decision, Dice, Failed, RetryPolicy};

/// The rules by which an outcome becomes a verdict.
#[derive(Clone, Copy)]
pub(crate) struct Policy<'a> {
    pub(crate) retry: &'a dyn RetryPolicy,
    pub(crate) max_reads: u32,
    pub(crate) vt: Duration,
    /// `true` if a snooze must not count as a read.
    pub(crate) exact_attempts: bool,
}

/// A verdict, and what goes with it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ruling {
    /// The verdict, for the machine.
    pub(crate) verdict: Verdict,
    /// The reason of a failure, which the shell logs. It is there for retries as well.
    pub(crate) failure: Option<Failure>,
    /// The things that the shell keeps until the message is settled.
    pub(crate) kept: Kept,
}

/// The things that the statement of a settlement needs besides the claim.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kept {
    /// Nothing.
    Nothing,
    /// The reason of a dead letter: for `Settlement::Bury`. A retry has one too, as the machine makes it a
    /// dead letter at its own limit of reads.
    Burial(Burial),
    /// The headers of the message: for `Settlement::Resend`.
    Headers(Headers),
    /// The next step's message: for `Settlement::Forward`.
    Forward {
        /// The queue.
        to: String,
        /// The message.
        message: RawJson,
        /// Its delay and headers.
        options: SendOptions,
    },
}

impl Ruling {
    fn new(verdict: Verdict, kept: Kept) -> Self {
        Self { verdict, failure: None, kept }
    }

    fn failed(self, why: Failure) -> Self {
        Self { failure: Some(why), ..self }
    }
}

/// Decides on a message whose handler has ended. A pure function of its arguments.
///
/// It calls code of the user: the policy, its classifiers, and the text of the error. A panic in these is a
/// failure, with which the message is retried after the visibility timeout.
pub(crate) fn rule(outcome: Outcome, job: &Meta, policy: Policy<'_>, dice: &mut Dice) -> Ruling {
    caught_in(|| decide(outcome, job, policy, dice)).unwrap_or_else(|panic| {
        log::error!("the retry policy of queue {:?} failed: {panic}", job.queue());
        at_limit_or(policy.vt, panic, job, policy)
    })
}

fn decide(outcome: Outcome, job: &Meta, policy: Policy<'_>, dice: &mut Dice) -> Ruling {
    match outcome {
        Outcome::Done => Ruling::new(Verdict::Delete, Kept::Nothing),
        Outcome::Archive => Ruling::new(Verdict::Archive, Kept::Nothing),
        Outcome::Discard { why } => Ruling::new(Verdict::Delete, Kept::Nothing).failed(why),
        Outcome::DeadLetter { why } => buried(Burial::asked_for(&why), why),
        Outcome::Retry { after, why } => retried(after, why, job, policy, dice),
        Outcome::Snooze { after } => snoozed(after, job, policy),
        Outcome::Forward { to, message, options } => {
            Ruling::new(Verdict::Forward, Kept::Forward { to, message, options })
        }
        Outcome::Finished(receipt) if receipt.msg_id() == job.id() => {
            Ruling::new(Verdict::Finished, Kept::Nothing)
        }
        Outcome::Finished(receipt) => {
            let why = format!("the handler returned the receipt of message {}", receipt.msg_id());
            retried(None, Failure::from(why), job, policy, dice)
        }
    }
}

fn retried(after: Option<Duration>, why: Failure, job: &Meta, policy: Policy<'_>, dice: &mut Dice) -> Ruling {
    let why = match job.cancel_reason() {
        Some(CancelReason::TimedOut) if why.reason().is_none() => why.because(Reason::Timeout),
        _ => why,
    };
    // The handler did not fail by itself, so the next worker begins at once, and the message is not at fault.
    if job.cancel_reason() == Some(CancelReason::Shutdown) && why.reason().is_none() {
        return Ruling::new(Verdict::Hold(Duration::ZERO), Kept::Nothing).failed(why);
    }
    let decision = match after {
        Some(after) => Decision::After(after),
        None => policy.retry.decide(&Failed::new(job.reads(), job.attempt(), &why), dice),
    };
    let after = match decision {
        Decision::After(after) => after,
        Decision::DeadLetter => return buried(Burial::asked_for(&why), why),
    };
    at_limit_or(after, why, job, policy)
}

/// A retry after this time, or a dead letter if the message has no reads left.
fn at_limit_or(after: Duration, why: Failure, job: &Meta, policy: Policy<'_>) -> Ruling {
    let burial = Burial::exhausted(&why);
    if job.reads().unsigned_abs() >= policy.max_reads {
        return buried(burial, why);
    }
    Ruling::new(Verdict::Retry(after), Kept::Burial(burial)).failed(why)
}

fn buried(burial: Burial, why: Failure) -> Ruling {
    Ruling::new(Verdict::Bury, Kept::Burial(burial)).failed(why)
}

fn snoozed(after: Duration, job: &Meta, policy: Policy<'_>) -> Ruling {
    // A message that is held counts one read more. The last one is kept for the handler.
    let has_reads_left = job.reads().unsigned_abs() < policy.max_reads;
    if after <= policy.vt && has_reads_left && !policy.exact_attempts {
        return Ruling::new(Verdict::Hold(after), Kept::Nothing);
    }
    let mut headers = job.headers().clone();
    let earlier = job.attempt().saturating_sub(1);
    headers.set(ATTEMPTS, RawJson::from(serde_json::Value::from(earlier)));
    Ruling::new(Verdict::Resend(after), Kept::Headers(headers))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finished::Finished;
    use crate::meta::tests::{job_of, message};
    use crate::retry::Retry;

    const MINUTE: Duration = Duration::from_secs(60);

    fn job(reads: i32) -> std::sync::Arc<Meta> {
        let mut message = message("1", Some(r#"{"n": 1.10}"#));
        message.read_ct = reads;
        job_of(message)
    }

    fn ruled_by(retry: &Retry, outcome: Outcome, job: &Meta) -> Ruling {
        let policy = Policy { retry, max_reads: 10, vt: Duration::from_secs(30), exact_attempts: false };
        rule(outcome, job, policy, &mut Dice::new(0))
    }

    fn ruled(outcome: Outcome, job: &Meta) -> Ruling {
        ruled_by(&Retry::fixed(MINUTE), outcome, job)
    }

    fn reason(ruling: &Ruling) -> Option<(Verdict, Reason)> {
        match &ruling.kept {
            Kept::Burial(burial) => Some((ruling.verdict, burial.reason)),
            _ => None,
        }
    }

    fn failed(why: impl Into<Failure>) -> Outcome {
        Outcome::from(why.into())
    }

    #[test]
    fn each_outcome_has_its_verdict() {
        let job = job(1);
        let verdict = |outcome| ruled(outcome, &job).verdict;
        assert_eq!(verdict(Outcome::Done), Verdict::Delete);
        assert_eq!(verdict(Outcome::Archive), Verdict::Archive);
        assert_eq!(verdict(Outcome::discard("old")), Verdict::Delete);
        assert_eq!(verdict(Outcome::retry()), Verdict::Retry(MINUTE));
        assert_eq!(verdict(Outcome::retry_after(MINUTE * 2)), Verdict::Retry(MINUTE * 2));
        assert_eq!(verdict(Outcome::dead_letter("no")), Verdict::Bury);
        assert_eq!(verdict(Outcome::forward("next", &1)), Verdict::Forward);
        assert_eq!(verdict(Outcome::Finished(Finished::new(7, None))), Verdict::Finished);
    }

    #[test]
    fn a_failure_at_the_limit_of_reads_is_a_dead_letter() {
        assert_eq!(
            reason(&ruled(failed("no"), &job(9))),
            Some((Verdict::Retry(MINUTE), Reason::Exhausted)),
            "the machine may have a limit of its own"
        );
        assert_eq!(reason(&ruled(failed("no"), &job(10))), Some((Verdict::Bury, Reason::Exhausted)));
        let panic = Failure::from("panicked").because(Reason::Panic);
        assert_eq!(reason(&ruled(failed(panic), &job(10))), Some((Verdict::Bury, Reason::Panic)));
    }

    #[test]
    fn a_permanent_failure_is_a_dead_letter_at_once() {
        let why = Failure::from("no such address").permanent();
        let ruling = ruled(failed(why), &job(1));
        assert_eq!(reason(&ruling), Some((Verdict::Bury, Reason::Permanent)));
        assert_eq!(ruling.failure.unwrap().to_string(), "no such address");
        let ruling = ruled_by(&Retry::none(), failed("no"), &job(1));
        assert_eq!(reason(&ruling), Some((Verdict::Bury, Reason::Permanent)));
    }

    #[test]
    fn a_failure_after_the_timeout_has_that_reason() {
        let job = job(10);
        job.cancel(CancelReason::TimedOut);
        assert_eq!(reason(&ruled(failed("cancelled"), &job)), Some((Verdict::Bury, Reason::Timeout)));
    }

    #[test]
    fn a_handler_that_the_stop_has_cancelled_releases_its_message() {
        let job = job(10);
        job.cancel(CancelReason::Shutdown);
        assert_eq!(ruled(failed("cancelled"), &job).verdict, Verdict::Hold(Duration::ZERO));
        assert_eq!(ruled(Outcome::Done, &job).verdict, Verdict::Delete);
        let permanent = Failure::from("no").permanent();
        assert_eq!(ruled(failed(permanent), &job).verdict, Verdict::Bury);
    }

    #[test]
    fn a_short_snooze_holds_the_message_and_a_long_one_sends_it_again() {
        let snooze = |seconds, reads| ruled(Outcome::snooze(Duration::from_secs(seconds)), &job(reads));
        assert_eq!(snooze(30, 1).verdict, Verdict::Hold(Duration::from_secs(30)));
        assert_eq!(snooze(31, 1).verdict, Verdict::Resend(Duration::from_secs(31)));
        assert_eq!(snooze(5, 9).verdict, Verdict::Hold(Duration::from_secs(5)));
        assert_eq!(snooze(5, 10).verdict, Verdict::Resend(Duration::from_secs(5)), "no read would be left");
    }

    #[test]
    fn a_message_that_is_sent_again_keeps_its_headers_and_its_failed_attempts() {
        let Kept::Headers(headers) = ruled(Outcome::snooze(MINUTE), &job(4)).kept else {
            panic!("the headers are kept")
        };
        assert_eq!(RawJson::new(&headers).unwrap().get(), r#"{"n":1.10,"x-attempts":3}"#);
    }

    #[test]
    fn the_receipt_of_another_message_is_a_failure() {
        let ruling = ruled(Outcome::Finished(Finished::new(8, None)), &job(1));
        assert_eq!(ruling.verdict, Verdict::Retry(MINUTE));
        assert_eq!(ruling.failure.unwrap().to_string(), "the handler returned the receipt of message 8");
    }

    #[test]
    fn a_policy_that_panics_costs_a_retry_and_not_the_worker() {
        let retry = Retry::none().classify_by(|_| panic!("broken"));
        let ruling = ruled_by(&retry, failed("no"), &job(1));
        assert_eq!(reason(&ruling), Some((Verdict::Retry(Duration::from_secs(30)), Reason::Panic)));
        assert_eq!(reason(&ruled_by(&retry, failed("no"), &job(10))), Some((Verdict::Bury, Reason::Panic)));
    }

    #[test]
    fn a_message_that_is_no_json_cannot_be_forwarded() {
        let keys = std::collections::BTreeMap::from([((1, 2), 3)]);
        assert_eq!(ruled(Outcome::forward("next", &keys), &job(1)).verdict, Verdict::Bury);
    }
}
