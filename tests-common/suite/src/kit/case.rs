//! A case, and its description.

use std::future::Future;

use pgmq_core::AsyncQueue;

use crate::kit::{context::QueueUnderTest, failure::Outcome};

/// The description of a case.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct CaseInfo {
    /// The group, which is the name of the file.
    pub group: &'static str,
    /// The name, which is a sentence.
    pub name: &'static str,
    /// The operations that the case covers.
    pub operations: &'static [&'static str],
    /// The places where the case runs.
    pub runs: Runs,
}

impl CaseInfo {
    pub(crate) const fn new(
        group: &'static str,
        name: &'static str,
        operations: &'static [&'static str],
        runs: Runs,
    ) -> Self {
        Self { group, name, operations, runs }
    }
}

/// The places where a case runs.
#[allow(non_camel_case_types, reason = "the tables of the cases use these words")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runs {
    /// On a pool, and on a connection inside a transaction.
    everywhere,
    /// On a pool, and on a pool that keeps statements prepared if that is not the default.
    pool,
    /// On a connection inside a transaction, and on a connection of a pool that keeps statements prepared if
    /// that is not the default.
    transaction,
    /// Once: the case connects on its own.
    standalone,
    /// Like `standalone`, and never through a pooler, since the case is about the connections.
    direct,
    /// Like `standalone`, and only if there are poolers.
    pooler,
    /// Like `standalone`, on a server that speaks TLS, and only if TLS is compiled in.
    tls,
    /// Like `standalone`, and only if TLS is not compiled in.
    without_tls,
    /// In a child process with its own server.
    child_process,
}

/// A case that runs on any queue.
pub trait QueueCase: 'static {
    /// Runs the case.
    fn run(&self, queue: &QueueUnderTest<'_, impl AsyncQueue>) -> impl Future<Output = Outcome>;
}
