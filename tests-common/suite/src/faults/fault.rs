//! A fault, and the limits that experiments share.

use std::{env, time::Duration};

use crate::{
    faults::test_bed::{ConnectVia, TestBed},
    kit::{backend::Backend, failure::Outcome},
};

/// Time limit of a worker's call, where the call need not block.
pub(crate) const LIMIT_OF_CALLS: Duration = Duration::from_millis(1500);
/// Time limit of the pool for handing out a connection, and for opening one.
pub(crate) const LIMIT_OF_WAITS: Duration = Duration::from_millis(1000);
/// Time limit after a fault until every worker has succeeded again. A frozen server has a backlog.
pub(crate) const USABLE: Duration = Duration::from_secs(20);
/// Number of workers that send.
pub(crate) const PRODUCERS: usize = 2;

const FULL: &str = "PGMQ_TEST_FAULTS";

/// A fault that can be injected.
pub(crate) struct Fault {
    pub(crate) name: &'static str,
    /// The way that the queue connects.
    pub(crate) via: ConnectVia,
    /// Number of injections: in an ordinary run, and in a full run.
    pub(crate) rounds: (u32, u32),
    /// SQLSTATEs by which the server reports the fault, in addition to errors of connections and timeouts.
    pub(crate) sqlstates: &'static [&'static str],
    /// Kinds of errors that have to occur.
    pub(crate) expected: &'static [&'static str],
    /// `true` if no call needs to fail because of the fault.
    pub(crate) is_gentle: bool,
    /// Injects the fault, and repairs it.
    pub(crate) inject: fn(&TestBed, round: u32) -> Outcome,
}

impl Fault {
    pub(crate) const fn new(
        name: &'static str,
        via: ConnectVia,
        rounds: (u32, u32),
        inject: fn(&TestBed, u32) -> Outcome,
    ) -> Self {
        Self { name, via, rounds, sqlstates: &[], expected: &[], is_gentle: false, inject }
    }

    /// Returns `true` if the driver supports the way to connect.
    pub(crate) fn suits<B: Backend>(&self) -> bool {
        match self.via {
            ConnectVia::TwoHosts => B::FOLLOWS_THE_PRIMARY,
            ConnectVia::Server | ConnectVia::Proxy => true,
        }
    }
}

/// Returns `true` if only the experiments have to run, at full length.
pub(crate) fn are_asked_for() -> bool {
    env::var_os(FULL).is_some()
}
