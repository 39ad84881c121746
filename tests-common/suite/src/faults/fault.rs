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
pub(crate) const PRODUCERS: usize = 3;

const FULL: &str = "PGMQ_TEST_FAULTS";

/// The settings by which the client detects that a server has disappeared without a word.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detection {
    /// The fault ends the connections, so the client need not detect anything.
    NotNeeded,
    /// Settings for seconds.
    Quick,
    /// The default settings, which take about a minute.
    Default,
}

impl Detection {
    /// The time that the detection may take.
    pub(crate) fn limit(self) -> Duration {
        match self {
            Self::NotNeeded | Self::Quick => Duration::ZERO,
            Self::Default => Duration::from_secs(80),
        }
    }
}

/// A fault that can be injected.
pub(crate) struct Fault {
    pub(crate) name: &'static str,
    /// The way that the queue connects.
    pub(crate) via: ConnectVia,
    /// Number of injections: in an ordinary run, and in a full run. An ordinary run omits a fault without
    /// injections.
    pub(crate) rounds: (u32, u32),
    /// SQLSTATEs by which the server reports the fault, in addition to errors of connections and timeouts.
    pub(crate) sqlstates: &'static [&'static str],
    /// Kinds of errors that have to occur.
    pub(crate) expected: &'static [&'static str],
    /// `true` if no call needs to fail because of the fault.
    pub(crate) is_gentle: bool,
    /// The settings by which the client detects a server that has disappeared.
    pub(crate) detection: Detection,
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
        Self {
            name,
            via,
            rounds,
            sqlstates: &[],
            expected: &[],
            is_gentle: false,
            detection: Detection::NotNeeded,
            inject,
        }
    }

    /// The number of injections in this run.
    pub(crate) fn rounds(&self) -> u32 {
        if are_asked_for() { self.rounds.1 } else { self.rounds.0 }
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
