//! The list of all faults.

use pgmq_test_server::Server;

use crate::{
    faults::{
        fault::{Detection, Fault, are_asked_for},
        inject,
        test_bed::ConnectVia,
    },
    kit::{
        backend::Backend,
        case::{CaseInfo, Runs},
    },
};

/// The group of the faults among the cases.
pub(crate) const GROUP: &str = "faults";

const MISSING: &str = "\
the faults need a private Postgres; install its server programs, including pg_basebackup:
  Debian, Ubuntu:  apt-get install postgresql
  Fedora:          dnf install postgresql-server
  macOS:           brew install postgresql@17";

/// All faults.
pub(crate) const FAULTS: &[Fault] = &[
    Fault::new("the_server_ends_sessions", ConnectVia::Server, (5, 40), inject::end_sessions),
    Fault::new("a_process_of_the_server_is_killed", ConnectVia::Server, (1, 8), inject::kill_a_process),
    Fault::new("the_server_crashes_and_starts_again", ConnectVia::Server, (1, 6), inject::crash),
    Fault::new("the_server_is_frozen", ConnectVia::Server, (1, 4), inject::freeze_the_server),
    Fault::new("the_network_is_cut", ConnectVia::Proxy, (5, 25), inject::cut_the_network),
    Fault {
        is_gentle: true,
        ..Fault::new("the_network_is_slow", ConnectVia::Proxy, (1, 5), inject::slow_the_network)
    },
    Fault::new("the_network_is_silent", ConnectVia::Proxy, (1, 4), inject::silence_the_network),
    Fault::new("connections_are_half_closed", ConnectVia::Proxy, (4, 20), inject::half_close_connections),
    Fault {
        detection: Detection::Quick,
        ..Fault::new("the_network_swallows", ConnectVia::Proxy, (1, 4), inject::swallow_the_network)
    },
    Fault {
        detection: Detection::Default,
        ..Fault::new(
            "the_network_swallows_under_default_settings",
            ConnectVia::Proxy,
            (0, 1),
            inject::swallow_the_network,
        )
    },
    Fault {
        expected: &["Timeout"],
        ..Fault::new("the_pool_is_exhausted", ConnectVia::Server, (1, 5), inject::exhaust_the_pool)
    },
    Fault {
        // The system reports a file that is too large, for which the server has no specific SQLSTATE.
        sqlstates: &["53100", "XX000"],
        expected: &["Database"],
        ..Fault::new("the_disk_is_full", ConnectVia::Server, (1, 5), inject::fill_the_disk)
    },
    Fault {
        sqlstates: &["25006"],
        expected: &["ReadOnly"],
        ..Fault::new("the_server_is_read_only", ConnectVia::Server, (2, 10), inject::refuse_writes)
    },
    // An even number of rounds: at the end the first server is the primary again, and drops the database.
    Fault::new("a_standby_takes_over", ConnectVia::TwoHosts, (2, 4), inject::fail_over),
];

/// The faults, as cases of the suite.
pub(crate) const CASES: &[CaseInfo] = &{
    let mut cases = [CaseInfo::new(GROUP, "", &[], Runs::child_process); FAULTS.len()];
    let mut next = 0;
    while next < FAULTS.len() {
        cases[next].name = FAULTS[next].name;
        next += 1;
    }
    cases
};

/// The names of the faults that can be injected for a back end on this machine.
///
/// # Errors
///
/// If `PGMQ_TEST_FAULTS` is set and there are no server programs.
pub(crate) fn names<B: Backend>() -> Result<Vec<&'static str>, String> {
    match Server::can_be_durable() {
        Ok(true) => Ok(FAULTS
            .iter()
            .filter(|fault| fault.suits::<B>() && fault.rounds() > 0)
            .map(|fault| fault.name)
            .collect()),
        Ok(false) if !are_asked_for() => Ok(Vec::new()),
        Ok(false) => Err(MISSING.to_owned()),
        Err(error) => Err(format!("{error:?}")),
    }
}
