//! The phases: pausing and stopping.

use std::time::Duration;

use crate::machine::command::{CancelReason, Notice, Settlement, Unfinished};
use crate::machine::config::Config;
use crate::machine::event::{Event, Fault, StopLimits, Verdict, Wake};
use crate::machine::phase::Phase;
use crate::machine::tests::commands::Command;
use crate::machine::tests::config;
use crate::machine::tests::rig::{
    Rig, batch, cancel, claimed, extended, first, firsts, limits, ms, s, settlements, started, tell,
};

/// The release of messages.
fn release(ids: impl IntoIterator<Item = i64>) -> Settlement {
    Settlement::Hold(ids.into_iter().map(|id| (first(id), Duration::ZERO)).collect())
}

/// The end, with nothing left.
fn clean() -> Command {
    Command::Stopped(Unfinished::default())
}

#[test]
fn a_pause_releases_what_waits_and_lets_handlers_go_on() {
    let config = Config { concurrency: 1, ..config() };
    let (mut rig, _) = Rig::with(config, firsts(1..=3));
    let commands = rig.on(Event::Pause);
    assert_eq!(commands.len(), 1);
    assert_eq!(settlements(&commands), [release(2..=3)]);
    rig.settled(batch(&commands), &[2, 3]);
    assert_eq!(rig.on(Event::Woken(Wake::Kicked)), []);
    let commands = rig.pass(s(10));
    assert_eq!(extended(&commands), firsts([1]));
    assert_eq!(commands.len(), 1);
    assert_eq!(settlements(&rig.returns(1, Verdict::Delete)), [Settlement::Delete(firsts([1]))]);
    assert_eq!(claimed(&rig.on(Event::Resume)), Some(5));
}

#[test]
fn an_idle_machine_stops_at_once() {
    let (mut rig, _) = Rig::with(config(), vec![]);
    assert_eq!(rig.on(Event::Stop(limits(20, 5, 3))), [clean()]);
    assert_eq!(rig.machine.snapshot().phase, Phase::Stopped);
    assert_eq!(rig.machine.wake_at(rig.now), None);
}

#[test]
fn a_stop_releases_what_waits_and_drains_what_runs() {
    let config = Config { concurrency: 1, ..config() };
    let (mut rig, _) = Rig::with(config, firsts(1..=3));
    let commands = rig.on(Event::Stop(limits(20, 5, 3)));
    assert_eq!(settlements(&commands), [release(2..=3)]);
    rig.settled(batch(&commands), &[2, 3]);
    let commands = rig.pass(s(10));
    assert_eq!(extended(&commands), firsts([1]), "leases are extended while handlers drain");
    rig.extended(batch(&commands), &[1]);
    let commands = rig.returns(1, Verdict::Delete);
    assert_eq!(settlements(&commands), [Settlement::Delete(firsts([1]))]);
    assert_eq!(rig.settled(batch(&commands), &[1]), [clean()]);
    assert_eq!(rig.on(Event::Woken(Wake::Kicked)), []);
}

#[test]
fn handlers_are_cancelled_after_the_drain_and_abandoned_after_the_grace() {
    let mut rig = Rig::running(config(), &[1, 2]);
    rig.on(Event::Stop(limits(5, 2, 3)));
    assert_eq!(rig.pass(ms(4_999)), []);
    let commands = rig.pass(ms(1));
    assert_eq!(commands, [cancel(1, CancelReason::Shutdown), cancel(2, CancelReason::Shutdown)]);
    assert_eq!(rig.pass(ms(1_999)), []);
    assert_eq!(rig.pass(ms(1)), [Command::Abandon(first(1)), Command::Abandon(first(2))]);
    let commands = rig.on(Event::Abandoned { claim: first(1), is_stopped: true });
    assert_eq!(settlements(&commands), [release([1])]);
    rig.settled(batch(&commands), &[1]);
    // A thread may still write, so its message is not released.
    let commands = rig.on(Event::Abandoned { claim: first(2), is_stopped: false });
    assert_eq!(commands, [Command::Stopped(Unfinished { running: firsts([2]), unsettled: vec![] })]);
}

#[test]
fn the_lease_of_a_handler_that_is_left_behind_runs_out() {
    let mut rig = Rig::running(Config { grace: s(60), ..config() }, &[1, 2]);
    rig.returns(1, Verdict::Delete);
    rig.on(Event::Stop(limits(0, 0, 60)));
    rig.on(Event::Abandoned { claim: first(2), is_stopped: false });
    assert_eq!(extended(&rig.pass(s(10))), firsts([1]), "the deletion is still to be answered");
}

#[test]
fn the_machine_stops_in_time_without_any_answer() {
    let mut rig = Rig::running(Config { grace: s(60), ..config() }, &[1, 2]);
    let commands = rig.returns(1, Verdict::Delete);
    assert_eq!(settlements(&commands).len(), 1);
    let commands = rig.on(Event::Stop(limits(1, 2, 3)));
    assert!(commands.is_empty());
    let commands = rig.pass(ms(5_999));
    assert!(!commands.iter().any(|command| matches!(command, Command::Stopped(_))));
    let unfinished = Unfinished { running: firsts([2]), unsettled: firsts([1]) };
    assert_eq!(rig.pass(ms(1)), [Command::Stopped(unfinished)]);
}

#[test]
fn settlements_are_repeated_while_the_machine_flushes() {
    let mut rig = Rig::running(config(), &[1]);
    rig.on(Event::Stop(limits(1, 2, 3)));
    let commands = rig.returns(1, Verdict::Delete);
    assert_eq!(rig.settle_fails(batch(&commands), Fault::Transient), []);
    let commands = rig.pass(ms(50));
    assert_eq!(settlements(&commands), [Settlement::Delete(firsts([1]))]);
    assert_eq!(rig.settled(batch(&commands), &[1]), [clean()]);
}

#[test]
fn a_stop_settles_first_what_others_can_go_on_with() {
    let config = Config { concurrency: 6, ..config() };
    let mut rig = Rig::running(config, &[1, 2, 3, 4, 5, 6]);
    let first_batch = batch(&rig.returns(1, Verdict::Delete));
    rig.returns(2, Verdict::Archive);
    rig.returns(3, Verdict::Delete);
    rig.returns(4, Verdict::Bury);
    rig.returns(5, Verdict::Retry(s(1)));
    rig.on(Event::Stop(limits(1, 2, 3)));
    let commands = rig.settled(first_batch, &[1]);
    assert_eq!(settlements(&commands), [Settlement::Hold(vec![(first(5), s(1))])]);
    assert_eq!(settlements(&rig.settled(batch(&commands), &[5])), [Settlement::Bury(firsts([4]))]);
}

#[test]
fn a_second_stop_only_shortens_the_limits() {
    let mut rig = Rig::running(config(), &[1]);
    rig.on(Event::Stop(limits(20, 5, 3)));
    rig.on(Event::Stop(limits(100, 100, 100)));
    assert_eq!(rig.machine.snapshot().phase, Phase::Draining { until: rig.now + s(20) });
    let commands = rig.on(Event::Stop(limits(0, 1, 1)));
    assert_eq!(commands, [cancel(1, CancelReason::Shutdown)]);
    assert_eq!(rig.pass(s(1)), [Command::Abandon(first(1))]);
    assert_eq!(rig.pass(s(1)), [Command::Stopped(Unfinished { running: firsts([1]), unsettled: vec![] })]);
}

#[test]
fn a_handler_is_cancelled_once() {
    let config = Config { timeout: Some(s(1)), ..config() };
    let mut rig = Rig::running(config, &[1]);
    assert_eq!(rig.pass(s(1)), [cancel(1, CancelReason::TimedOut)]);
    let commands = rig.on(Event::Stop(limits(0, 60, 1)));
    assert_eq!(commands, []);
    let commands = rig.leap(s(29));
    assert!(commands.contains(&tell(Notice::Lost(first(1)))));
    assert!(!commands.iter().any(|command| matches!(command, Command::Cancel { .. })));
}

#[test]
fn the_limits_of_a_stop_may_be_endless() {
    let mut rig = Rig::running(Config { timeout: Some(Duration::MAX), ..config() }, &[1]);
    let endless = StopLimits { drain: Duration::MAX, grace: Duration::MAX, flush: Duration::MAX };
    assert_eq!(rig.on(Event::Stop(endless)), []);
    let commands = rig.returns(1, Verdict::Hold(Duration::MAX));
    let longest = Duration::from_secs(i32::MAX as u64);
    assert_eq!(
        settlements(&commands),
        [Settlement::Hold(vec![(first(1), longest)])],
        "the server counts so far"
    );
    assert_eq!(rig.settled(batch(&commands), &[1]), [clean()]);
}

#[test]
fn nothing_starts_after_a_stop() {
    let mut rig = Rig::new(config());
    rig.poll();
    let answer = rig.answer(firsts([1]));
    rig.machine.on(rig.now, answer);
    let commands = rig.on(Event::Stop(limits(1, 1, 1)));
    assert_eq!(started(&commands), []);
    assert_eq!(settlements(&commands), [release([1])]);
}
