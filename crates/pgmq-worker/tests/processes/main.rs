//! Workers in processes of their own, which are killed, suspended, and looked at from outside.
//!
//! An ordinary run does each trial in its short form. With `PGMQ_TEST_FAULTS` set, the trials have their full
//! length, and print their figures.

#![allow(clippy::unwrap_used, reason = "a failed trial panics")]

mod bed;
mod child;
mod figures;
mod memory;
mod poison;
mod process;
mod soak;
mod suspension;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use pgmq_test_server::Server;

fn main() -> ExitCode {
    if child::run() {
        return ExitCode::SUCCESS;
    }
    let trial = |name: &str, run: fn()| {
        Trial::test(name, move || {
            run();
            Ok(())
        })
    };
    let mut trials = vec![
        trial("soak::no_message_is_lost_when_workers_are_killed", soak::kill_workers),
        trial("suspension::an_async_worker_that_was_suspended_touches_nothing", || {
            suspension::retry("async");
        }),
        trial("suspension::a_sync_worker_that_was_suspended_touches_nothing", || suspension::retry("sync")),
        trial("suspension::an_async_transaction_that_is_late_is_rolled_back", || suspension::finish("async")),
        trial("suspension::a_sync_transaction_that_is_late_is_rolled_back", || suspension::finish("sync")),
        trial("poison::a_message_that_ends_the_async_worker_takes_no_other_with_it", || poison::run("async")),
        trial("poison::a_message_that_ends_the_sync_worker_takes_no_other_with_it", || poison::run("sync")),
        trial("memory::an_async_worker_stays_as_it_is", || memory::run("async")),
        trial("memory::a_sync_worker_stays_as_it_is", || memory::run("sync")),
    ];
    // Needs the server programs on this machine.
    if Server::can_be_durable().unwrap() {
        trials.push(trial("soak::no_message_is_lost_when_the_server_crashes", soak::crash_the_server));
    }
    let conclusion = libtest_mimic::run(&Arguments::from_args(), trials);
    figures::print();
    conclusion.exit_code()
}
