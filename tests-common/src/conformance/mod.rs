//! What every back end has to do, written once and run against each of them.
//!
//! A case is an async function over [`AsyncQueue`](pgmq_core::AsyncQueue), or over a whole [`Backend`] where it is about
//! connecting. There is a file per group of operations; at its top stands a table of its cases: where each runs, and which
//! operations it covers. A case [`everywhere`](Runs::everywhere) runs twice, on a pool and on a connection inside a
//! transaction that is rolled back.
//!
//! With poolers in front of the server (see [`Poolers`](crate::server::Poolers)), a case works through one of them, and what it does
//! beside its queue goes directly. Those that are [`direct`](Runs::direct) go round it, and so does all that needs
//! [settings](World::url_with) of its own for its sessions, which PgBouncer refuses or ignores.
//!
//! Cases about [TLS](Runs::tls) run where the variable `PGMQ_TEST_TLS` says that it is compiled in, and by which library.
//!
//! The last group has the trials of [`faults`], which have no world: each makes its own.
//!
//! A back end runs the suite from a test without a harness of its own:
//!
//! ```text
//! fn main() -> std::process::ExitCode {
//!     tests_common::conformance::run::<Tokio>()
//! }
//! ```
//!
//! Blocking back ends are adapted by doing the work before the future is made, which is then ready at once. So the same
//! functions serve both sorts, and no runtime is around a client that blocks on its own.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a test fails")]
#![allow(clippy::missing_errors_doc, reason = "an error is a failed case, whatever it was")]
#![allow(
    clippy::extra_unused_type_parameters,
    reason = "cases that run in a child process leave the back end to it"
)]

mod adapt;
mod adapters;
mod backend;
mod case;
mod check;
mod child;
mod every_operation;
mod failure;
mod harness;
mod older;
mod world;

mod cancellation;
mod concurrency;
mod errors;
mod finish;
mod hostile;
mod listen;
mod look;
mod nonsense;
mod notify;
mod pooler;
mod prepared;
mod queues;
mod read;
mod round_trips;
mod send;
mod setup;
mod tls;
mod topics;
mod transactions;
mod undecoded;

use crate::faults;

pub use adapt::poll_once;
pub use backend::{Backend, Builder, Listener, Pooled, Step, UserError, Work};
pub use case::{CaseInfo, QueueCase, Runs};
pub(crate) use check::beside;
pub(crate) use failure::chain;
pub use failure::{Failure, Outcome};
pub(crate) use harness::Trials;
pub use harness::run;
pub use world::{Q, Subject, World};

/// Calls a macro with the groups, in the order of the documentation.
macro_rules! groups {
    ($then:ident) => {
        $then! {
            setup transactions queues send topics read undecoded nonsense finish look notify listen errors hostile concurrency
            cancellation prepared round_trips tls pooler faults
        }
    };
}

/// All cases, for those who check that there is one for every operation.
pub fn cases() -> impl Iterator<Item = CaseInfo> {
    macro_rules! all {
        ($($group:ident)*) => { [$($group::CASES),*] };
    }
    groups!(all).into_iter().flatten().copied()
}

fn add_all<B: Backend>(trials: &mut harness::Trials<B>) {
    macro_rules! add {
        ($($group:ident)*) => { $($group::add(trials);)* };
    }
    groups!(add);
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    macro_rules! names {
        ($($(#[$doc:meta])* fn $name:ident $(<$T:ident: ($($bound:tt)+)>)? ($($arg:ident: $type:ty),* $(,)?) -> $output:ty;)*) => {
            [$(stringify!($name)),*]
        };
    }

    #[test]
    fn every_operation_has_a_case_and_every_case_knows_its_operations() {
        let table: HashSet<_> = HashSet::from(pgmq_core::operations!(names));
        let covered: HashSet<_> = super::cases().flat_map(|case| case.operations).copied().collect();
        let missing: Vec<_> = table.difference(&covered).collect();
        let unknown: Vec<_> = covered.difference(&table).collect();
        assert!(
            missing.is_empty() && unknown.is_empty(),
            "without a case: {missing:?}; not in the table: {unknown:?}"
        );
    }

    #[test]
    fn every_case_has_a_name_of_its_own() {
        let mut seen = HashSet::new();
        let twice: Vec<_> =
            super::cases().filter(|case| !seen.insert(case.name)).map(|case| case.name).collect();
        assert!(twice.is_empty(), "{twice:?}");
    }
}
