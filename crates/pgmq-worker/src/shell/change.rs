//! A change of messages in one statement, with all that the machine does not know.

use std::time::Duration;

use pgmq_core::{Claim, Move, RawJson, SendOptions};

use crate::dead_letter::{Burial, buried_headers};
use crate::machine::command::Settlement;
use crate::meta::{Meta, Source};
use crate::shell::requests::Settling;
use crate::verdict::Kept;

/// A change of messages.
#[derive(Debug)]
pub(crate) enum Change {
    Delete(Vec<i64>),
    Archive(Vec<i64>),
    Hold(Vec<(Claim, Duration)>),
    Move { to: String, moves: Vec<Move>, after: Duration },
    Forward { claim: Claim, to: String, message: RawJson, options: SendOptions },
}

impl Change {
    /// The change of a settlement.
    pub(crate) fn of(settling: &Settling, source: &Source) -> Self {
        let Source { queue, dead_letter_queue, .. } = source;
        let moves = |moved: fn(&Meta, &Kept) -> Move| {
            settling.held.iter().map(|(job, kept)| moved(job, kept)).collect::<Vec<_>>()
        };
        match &settling.what {
            Settlement::Delete(claims) => Self::Delete(ids(claims)),
            Settlement::Archive(claims) => Self::Archive(ids(claims)),
            Settlement::Hold(holds) => Self::Hold(holds.clone()),
            Settlement::Resend { after, .. } => {
                Self::Move { to: queue.to_string(), moves: moves(resent), after: *after }
            }
            Settlement::Bury(_) => {
                Self::Move { to: dead_letter_queue.to_string(), moves: moves(buried), after: Duration::ZERO }
            }
            Settlement::Forward(claim) => match settling.held.first() {
                Some((_, Kept::Forward { to, message, options })) => Self::Forward {
                    claim: *claim,
                    to: to.clone(),
                    message: message.clone(),
                    options: options.clone(),
                },
                // The verdict came with the message, so this is not reached. The message comes again.
                _ => Self::Hold(vec![(*claim, Duration::ZERO)]),
            },
        }
    }
}

fn resent(job: &Meta, kept: &Kept) -> Move {
    match kept {
        Kept::Headers(headers) => Move::new(job.claim()).headers(headers),
        _ => Move::new(job.claim()),
    }
}

fn buried(job: &Meta, kept: &Kept) -> Move {
    let headers = match kept {
        Kept::Burial(burial) => buried_headers(job, burial, job.source().clock.utc()),
        _ => buried_headers(job, &Burial::unfinished(job), job.source().clock.utc()),
    };
    Move::new(job.claim()).headers(&headers)
}

fn ids(claims: &[Claim]) -> Vec<i64> {
    claims.iter().map(|claim| claim.msg_id).collect()
}
