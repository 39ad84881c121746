//! Handlers with a timeout of their own.

use std::time::Duration;

use crate::machine::command::{CancelReason, Notice};
use crate::machine::config::Config;
use crate::machine::event::{Event, Verdict};
use crate::machine::tests::config;
use crate::machine::tests::rig::{Rig, cancel, first, ms, s, tell};

/// A machine with handlers of these messages, the first of which has a timeout of its own.
fn with_own_timeout(of_queue: Option<Duration>, own: Duration, ids: &[i64]) -> Rig {
    let mut rig = Rig::running(Config { timeout: of_queue, ..config() }, ids);
    assert_eq!(rig.on(Event::Timeout { claim: first(ids[0]), timeout: own }), []);
    rig
}

#[test]
fn a_timeout_of_its_own_comes_earlier_than_that_of_the_queue() {
    let mut rig = with_own_timeout(Some(s(3)), s(1), &[1, 2]);
    assert_eq!(rig.pass(ms(999)), []);
    assert_eq!(rig.pass(ms(1)), [cancel(1, CancelReason::TimedOut)]);
    assert_eq!(rig.pass(s(2)), [cancel(2, CancelReason::TimedOut)]);
    assert_eq!(rig.pass(s(3)), [tell(Notice::Stuck(first(1)))]);
    assert_eq!(rig.pass(s(2)), [tell(Notice::Stuck(first(2)))]);
}

#[test]
fn a_timeout_of_its_own_comes_later_than_that_of_the_queue() {
    let mut rig = with_own_timeout(Some(s(1)), s(3), &[1, 2]);
    assert_eq!(rig.pass(s(1)), [cancel(2, CancelReason::TimedOut)]);
    assert_eq!(rig.pass(ms(1_999)), []);
    assert_eq!(rig.pass(ms(1)), [cancel(1, CancelReason::TimedOut)]);
}

#[test]
fn a_handler_has_a_timeout_of_its_own_where_the_queue_has_none() {
    let mut rig = with_own_timeout(None, s(3), &[1, 2]);
    assert_eq!(rig.pass(s(3)), [cancel(1, CancelReason::TimedOut)]);
    assert_eq!(rig.pass(s(5)), [tell(Notice::Stuck(first(1)))]);
}

#[test]
fn a_timeout_that_comes_after_the_end_of_its_handler_has_no_effect() {
    let mut rig = Rig::running(config(), &[1]);
    rig.returns(1, Verdict::Delete);
    assert_eq!(rig.on(Event::Timeout { claim: first(1), timeout: s(1) }), []);
    assert_eq!(rig.pass(s(2)), []);
}
