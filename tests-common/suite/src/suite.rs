//! The suite: all groups of cases, the faults, and how they are run.

use std::{
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
};

use pgmq_test_server::{Poolers, Server};

use crate::{
    conformance::{
        browse, cancellation, claims, concurrency, connect, connection_strings, env, errors, finish, hostile,
        install, listen, malformed_rows, notify, observer, pool, pooler, prepared, queues, read, read_only,
        round_trips, send, timeouts, tls, topics, transactions, undecoded,
    },
    faults::{catalog, child as experiments, fault::are_asked_for, report},
    kit::{
        backend::Backend,
        case::CaseInfo,
        child,
        harness::{Trials, print_and_exit},
    },
};

/// Calls a macro with the groups of cases, in the order of the documentation.
macro_rules! groups {
    ($then:ident) => {
        $then! {
            connect connection_strings env pool install timeouts transactions queues send topics read undecoded malformed_rows finish claims
            browse notify listen observer errors read_only hostile concurrency cancellation prepared round_trips tls pooler
        }
    };
}

/// All cases, in the order of their groups. The faults are the last group.
pub fn cases() -> impl Iterator<Item = CaseInfo> {
    macro_rules! all {
        ($($group:ident)*) => { [$($group::CASES),*] };
    }
    groups!(all).into_iter().chain([catalog::CASES]).flatten().copied()
}

/// Runs the cases and faults that the command line selects, and prints the results.
///
/// With `PGMQ_TEST_FAULTS` set, only the faults run, at full length, and their reports are printed.
pub fn run<B: Backend>() -> ExitCode {
    if let Some(code) = child::run::<B>().or_else(experiments::run::<B>) {
        return code;
    }
    let mut trials = Trials::<B>::new();
    let reports = Arc::default();
    if !are_asked_for() {
        add_cases(&mut trials);
    }
    // The faults do not involve poolers, and need the newest PGMQ.
    if are_asked_for() || !Poolers::are_asked_for() && !Server::is_pgmq_chosen() {
        add_faults(&mut trials, &reports);
    }
    let conclusion = trials.run();
    if are_asked_for() {
        report::print(&reports.lock().unwrap_or_else(PoisonError::into_inner));
    }
    conclusion.exit_code()
}

fn add_cases<B: Backend>(trials: &mut Trials<B>) {
    macro_rules! add {
        ($($group:ident)*) => { $($group::add(trials);)* };
    }
    groups!(add);
}

/// Adds the faults that can be injected on this machine.
fn add_faults<B: Backend>(trials: &mut Trials<B>, reports: &Arc<Mutex<Vec<report::Report>>>) {
    trials.begin_group(catalog::GROUP);
    for name in catalog::names::<B>().unwrap_or_else(|error| print_and_exit(&error)) {
        let reports = Arc::clone(reports);
        trials.isolated(name, move || {
            let report = experiments::run_in_child(name)?;
            reports.lock().unwrap_or_else(PoisonError::into_inner).push(report);
            Ok(())
        });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::cases;

    #[test]
    fn every_case_has_a_unique_name() {
        let mut seen = HashSet::new();
        let repeated: Vec<_> = cases().map(|case| case.name).filter(|name| !seen.insert(*name)).collect();
        assert!(repeated.is_empty(), "{repeated:?}");
    }
}
