//! What becomes of messages, and of the client, when something goes wrong around them.
//!
//! For each fault there is a trial. Producers and consumers work on a queue and a listener listens, while the fault strikes again
//! and again. A ledger knows what was confirmed to them and what was left in doubt, and shows in the end:
//!
//! - nothing that was confirmed is lost: it was read, or is still there. A pop whose answer was lost may have lost its message;
//! - nothing is there twice: neither was a message sent more than once, nor was one read by two;
//! - every error says that a connection was lost or that something took too long, or is what the server says of the fault;
//! - every worker works again soon after each fault, and the listener hears again, on the same queue;
//! - nothing is left over: connections, tasks, threads, open files, memory.
//!
//! A trial runs in a process of its own, for only its own threads to be counted, and on a server of its own. In an ordinary
//! run each fault strikes a few times; with `PGMQ_TEST_FAULTS` set there is nothing but these trials, at full length, and they
//! tell what they counted.

#![allow(clippy::expect_used, reason = "a panic is how a test fails")]

mod census;
mod child;
mod load;
mod model;
mod stage;
mod strikes;
mod tally;
mod trial;

use std::env;

use crate::{
    conformance::{Backend, CaseInfo, Outcome, Runs, Trials},
    server::{Poolers, Server},
};

pub(crate) use self::child::{run as run_child, run_in_child};
use self::stage::{Stage, Way};
pub use self::tally::Tally;

const FULL: &str = "PGMQ_TEST_FAULTS";

/// What the numbers of a trial are printed behind.
const TALLY: &str = "faults: ";

const MISSING: &str = "\
the faults need a Postgres of their own to strike; install its server programs, pg_basebackup included:
  Debian, Ubuntu:  apt-get install postgresql
  Fedora:          dnf install postgresql-server
  macOS:           brew install postgresql@17";

/// Something that goes wrong.
struct Fault {
    name: &'static str,
    /// How the queue connects.
    way: Way,
    /// How often it strikes: in an ordinary run, and in a full one.
    rounds: (u32, u32),
    /// The SQLSTATEs by which the server says what is wrong, beside those of connections and time-outs.
    reports: &'static [&'static str],
    /// The kinds of errors that there have to be.
    says: &'static [&'static str],
    /// Whether nothing needs to fail of it.
    is_gentle: bool,
    /// Strikes, and heals.
    strike: fn(&Stage, round: u32) -> Outcome,
}

/// All of them.
const FAULTS: &[Fault] = &[
    Fault::new("the_server_ends_sessions", Way::Direct, (5, 40), strikes::end_sessions),
    Fault::new("a_process_of_the_server_is_killed", Way::Direct, (1, 8), strikes::kill_a_process),
    Fault::new("the_server_crashes_and_starts_again", Way::Direct, (1, 6), strikes::crash),
    Fault::new("the_server_is_frozen", Way::Direct, (1, 4), strikes::freeze_the_server),
    Fault::new("the_network_is_cut", Way::Proxied, (5, 25), strikes::cut_the_network),
    Fault {
        is_gentle: true,
        ..Fault::new("the_network_is_slow", Way::Proxied, (1, 5), strikes::slow_the_network)
    },
    Fault::new("the_network_is_silent", Way::Proxied, (1, 4), strikes::silence_the_network),
    Fault::new("connections_are_half_closed", Way::Proxied, (4, 20), strikes::half_close_connections),
    Fault {
        says: &["Timeout"],
        ..Fault::new("the_pool_is_exhausted", Way::Direct, (1, 5), strikes::exhaust_the_pool)
    },
    Fault {
        // The system calls it a file that is too large, and the server has no SQLSTATE of its own for that.
        reports: &["53100", "XX000"],
        says: &["Database"],
        ..Fault::new("the_disk_is_full", Way::Direct, (1, 5), strikes::fill_the_disk)
    },
    // There and back: in the end the first server is the primary again, and drops the database.
    Fault::new("a_standby_takes_over", Way::TwoHosts, (2, 4), strikes::fail_over),
];

impl Fault {
    const fn new(
        name: &'static str,
        way: Way,
        rounds: (u32, u32),
        strike: fn(&Stage, u32) -> Outcome,
    ) -> Self {
        Self { name, way, rounds, reports: &[], says: &[], is_gentle: false, strike }
    }

    /// Whether this machine can do it and the driver can take it.
    fn suits<B: Backend>(&self) -> bool {
        match self.way {
            Way::TwoHosts => B::FOLLOWS_THE_PRIMARY,
            Way::Direct | Way::Proxied => true,
        }
    }
}

/// Prints the numbers of trials, a line each.
pub(crate) fn print(tallies: &[Tally]) {
    for tally in tallies {
        println!("{TALLY}{}", serde_json::to_string(tally).expect("numbers and names are JSON"));
    }
}

/// Reads such a line; `None` if it is another one.
#[must_use]
pub fn read(line: &str) -> Option<Tally> {
    serde_json::from_str(line.strip_prefix(TALLY)?).ok()
}

/// The trials, as cases of the suite.
pub(crate) const CASES: &[CaseInfo] = &{
    let mut cases =
        [CaseInfo { group: "faults", name: "", operations: &[], runs: Runs::alone }; FAULTS.len()];
    let mut next = 0;
    while next < FAULTS.len() {
        cases[next].name = FAULTS[next].name;
        next += 1;
    }
    cases
};

/// Whether only these trials are to run, and at full length.
pub(crate) fn are_asked_for() -> bool {
    env::var_os(FULL).is_some()
}

/// Adds the trials to the suite. They have nothing to do with poolers, and need the newest PGMQ.
pub(crate) fn add<B: Backend>(trials: &mut Trials<B>) {
    if !Poolers::are_asked_for() && !Server::is_pgmq_chosen() {
        trials.faults();
    }
}

/// The names of the trials that a back end can run on this machine.
///
/// # Errors
///
/// When they are asked for and there is nothing to run them on.
pub(crate) fn names<B: Backend>() -> Result<Vec<&'static str>, String> {
    match Server::can_be_durable() {
        Ok(true) => Ok(FAULTS.iter().filter(|fault| fault.suits::<B>()).map(|fault| fault.name).collect()),
        Ok(false) if !are_asked_for() => Ok(Vec::new()),
        Ok(false) => Err(MISSING.to_owned()),
        Err(error) => Err(format!("{error:?}")),
    }
}
