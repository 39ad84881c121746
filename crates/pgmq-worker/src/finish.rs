//! Finishing a message in a transaction of the user: the statements, and what their results mean.
//!
//! Deleting and archiving need no claim: the lock of the row lets one transaction wait for the other, and the
//! second finds the message gone.

use pgmq_core::statement::{self, Statement};
use pgmq_core::{Move, Moved, SendOptions};
use serde::Serialize;

use crate::dead_letter::{Burial, buried_headers};
use crate::failure::Failure;
use crate::finished::{AlreadyGone, Finished};
use crate::meta::Meta;

pub(crate) fn delete(job: &Meta) -> Statement<'_, bool> {
    statement::delete(job.queue(), job.id())
}

pub(crate) fn archive(job: &Meta) -> Statement<'_, bool> {
    statement::archive(job.queue(), job.id())
}

pub(crate) fn bury<'a>(job: &'a Meta, why: &Failure) -> Statement<'a, Vec<Moved>> {
    let headers = buried_headers(job, &Burial::asked_for(why), job.source().clock.utc());
    let moves = [Move::new(job.claim()).headers(&headers)];
    statement::move_batch(job.queue(), &job.source().dead_letter_queue, &moves, 0)
}

pub(crate) fn forward<'a, M: Serialize + ?Sized>(
    job: &'a Meta,
    to: &str,
    message: &M,
    options: &SendOptions,
) -> Statement<'a, Option<i64>> {
    statement::forward(job.queue(), job.claim(), to, message, options)
}

/// The receipt of a message that was deleted or archived.
pub(crate) fn removed<E: From<pgmq_core::Error>>(job: &Meta, was_there: bool) -> Result<Finished, E> {
    match was_there {
        true => Ok(Finished::new(job.id(), None)),
        false => Err(gone(job)),
    }
}

/// The receipt of a message that another one has replaced.
pub(crate) fn replaced<E: From<pgmq_core::Error>>(job: &Meta, new_id: Option<i64>) -> Result<Finished, E> {
    match new_id {
        Some(new_id) => Ok(Finished::new(job.id(), Some(new_id))),
        None => Err(gone(job)),
    }
}

/// The new id of a message that was moved alone.
pub(crate) fn moved_to(moved: &[Moved]) -> Option<i64> {
    moved.first().map(|moved| moved.new_id)
}

fn gone<E: From<pgmq_core::Error>>(job: &Meta) -> E {
    pgmq_core::Error::from(AlreadyGone::new(job.queue(), job.id())).into()
}
