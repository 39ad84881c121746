//! Cases, and the tables that list them.

use std::future::Future;

use pgmq_core::AsyncQueue;

use super::{Outcome, Subject};

/// What is known of a case without running it.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct CaseInfo {
    /// The group, which is the file that it stands in.
    pub group: &'static str,
    /// The name, which is a sentence.
    pub name: &'static str,
    /// The operations that it covers.
    pub operations: &'static [&'static str],
    /// Where it runs.
    pub runs: Runs,
}

/// Where a case runs.
#[allow(non_camel_case_types, reason = "they are the words of the tables")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runs {
    /// On a pool, and on a connection inside a transaction.
    everywhere,
    /// On a pool; and on one whose statements stay prepared, where that is not the same.
    pool,
    /// On a connection inside a transaction; and on one of a pool whose statements stay prepared, where that is not the same.
    transaction,
    /// On its own: the case makes its connections itself.
    setup,
    /// The same, and never through a pooler, as it is about the connections.
    direct,
    /// The same, and only where there are poolers.
    pooler,
    /// On its own, on a server that speaks TLS, and only where TLS is compiled in.
    tls,
    /// On its own, and only where TLS is not compiled in.
    without_tls,
    /// In a process of its own, with a server of its own.
    alone,
}

/// A case over any queue.
pub trait QueueCase: 'static {
    /// Runs it.
    fn run(&self, queue: &Subject<'_, impl AsyncQueue>) -> impl Future<Output = Outcome>;
}

/// The table of the cases in a file: where each runs, the operations that it covers, its name.
macro_rules! cases {
    ($group:ident: $($runs:ident [$($operation:ident),*] $name:ident;)*) => {
        pub(super) const CASES: &[$crate::conformance::CaseInfo] = &[$($crate::conformance::CaseInfo {
            group: stringify!($group),
            name: stringify!($name),
            operations: &[$(stringify!($operation)),*],
            runs: $crate::conformance::Runs::$runs,
        }),*];

        pub(super) fn add<B: $crate::conformance::Backend>(trials: &mut $crate::conformance::harness::Trials<B>) {
            $($crate::conformance::case::cases!(@$runs trials $name);)*
        }
    };
    (@everywhere $trials:ident $name:ident) => {
        $crate::conformance::case::cases!(@pool $trials $name);
        $crate::conformance::case::cases!(@transaction $trials $name);
    };
    (@pool $trials:ident $name:ident) => {
        $trials.on_pool(stringify!($name), $crate::conformance::case::case!($name));
        $trials.on_prepared(stringify!($name), $crate::conformance::case::case!($name));
    };
    (@transaction $trials:ident $name:ident) => {
        $trials.in_transaction(stringify!($name), $crate::conformance::case::case!($name));
        $trials.in_prepared_transaction(stringify!($name), $crate::conformance::case::case!($name));
    };
    (@$alone:ident $trials:ident $name:ident) => {
        $trials.$alone(stringify!($name), |world| B::block_on($name::<B>(world)));
    };
}

/// A function over a queue as a [`QueueCase`].
macro_rules! case {
    ($name:ident) => {{
        struct Case;
        impl $crate::conformance::QueueCase for Case {
            async fn run(
                &self,
                queue: &$crate::conformance::Subject<'_, impl ::pgmq_core::AsyncQueue>,
            ) -> $crate::conformance::Outcome {
                $name(queue).await
            }
        }
        Case
    }};
}

pub(super) use {case, cases};
