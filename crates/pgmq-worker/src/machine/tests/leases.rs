//! The rules on leases and on statements in flight.

use std::time::Duration;

use crate::machine::command::Settlement;
use crate::machine::config::Config;
use crate::machine::event::{Event, Fault, Verdict};
use crate::machine::tests::commands::Command;
use crate::machine::tests::config;
use crate::machine::tests::rig::{Rig, batch, extended, first, firsts, ms, s, settlements, started};

#[test]
fn a_lease_is_counted_from_the_moment_at_which_the_claim_was_given() {
    let mut rig = Rig::new(config());
    rig.poll();
    rig.now += s(2);
    rig.claimed(firsts([1]));
    assert_eq!(rig.machine.lease_left(first(1), rig.now), Some(s(28)));
    assert_eq!(rig.machine.lease_left(first(2), rig.now), None);
}

#[test]
fn messages_that_wait_run_and_are_finished_are_extended_after_a_third_of_the_lease() {
    let config = Config { concurrency: 3, ..config() };
    let (mut rig, _) = Rig::with(config, firsts(1..=5));
    rig.on(Event::Due(None));
    // One settlement is in flight, and one waits after a failure.
    rig.returns(1, Verdict::Delete);
    let commands = rig.returns(2, Verdict::Retry(s(100)));
    let failed = batch(&commands);
    rig.pass(ms(9_990));
    rig.settle_fails(failed, Fault::Transient);
    let commands = rig.pass(ms(10));
    let mut claims = extended(&commands);
    claims.sort_unstable();
    assert_eq!(claims, firsts(1..=5));
    let ids: Vec<i64> = (1..=5).collect();
    rig.extended(batch(&commands), &ids);
    assert_eq!(rig.machine.lease_left(first(1), rig.now), Some(s(30)));
}

#[test]
fn leases_that_are_due_soon_are_extended_together() {
    let config = Config { max_claim: 1, ..config() };
    let mut rig = Rig::new(config);
    rig.poll();
    rig.claimed(firsts([1]));
    rig.now += s(4);
    rig.claimed(firsts([2]));
    // Its lease is counted from now.
    rig.now += s(2);
    rig.claimed(firsts([3]));
    rig.now += s(3);
    assert_eq!(extended(&rig.poll()), []);
    rig.now += s(1);
    // The first two were claimed at 0 s, the third at 4 s, and it is 10 s.
    assert_eq!(extended(&rig.poll()), firsts([1, 2, 3]));
}

#[test]
fn a_failed_extension_is_repeated_until_the_lease_ends() {
    let mut rig = Rig::running(config(), &[1]);
    rig.now += s(10);
    let mut commands = rig.poll();
    let mut attempts = 0;
    while rig.machine.lease_left(first(1), rig.now).is_some() {
        if !extended(&commands).is_empty() {
            attempts += 1;
            rig.on(Event::ExtendFailed { batch: batch(&commands) });
        }
        rig.now = rig.machine.wake_at(rig.now).expect("more is to come");
        commands = rig.poll();
    }
    // After 0.2, 0.4, 0.8, 1.6 and then every 2.5 seconds.
    assert_eq!(attempts, 11);
}

#[test]
fn a_message_that_is_being_hidden_is_not_extended() {
    let mut rig = Rig::running(config(), &[1, 2]);
    rig.returns(1, Verdict::Hold(s(3_600)));
    rig.now += s(10);
    assert_eq!(extended(&rig.poll()), firsts([2]));
}

#[test]
fn a_message_is_hidden_only_after_the_answer_to_its_extension() {
    for is_extended in [true, false] {
        let mut rig = Rig::running(config(), &[1]);
        rig.now += s(10);
        let extend = batch(&rig.poll());
        assert_eq!(settlements(&rig.returns(1, Verdict::Hold(s(3_600)))), []);
        let commands = match is_extended {
            true => rig.extended(extend, &[1]),
            false => rig.on(Event::ExtendFailed { batch: extend }),
        };
        assert_eq!(settlements(&commands), [Settlement::Hold(vec![(first(1), s(3_600))])]);
    }
}

#[test]
fn messages_wait_for_the_settlement_in_flight_and_form_the_next_batch() {
    let config = Config { concurrency: 10, ..config() };
    let mut rig = Rig::running(config, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    let one = rig.returns(1, Verdict::Delete);
    assert_eq!(settlements(&one), [Settlement::Delete(firsts([1]))], "it goes at once");
    for id in 2..=9 {
        assert_eq!(settlements(&rig.returns(id, Verdict::Delete)), []);
    }
    let other = rig.returns(10, Verdict::Archive);
    assert_eq!(settlements(&other), [Settlement::Archive(firsts([10]))], "another kind does not wait");
    rig.settled(batch(&other), &[10]);
    assert_eq!(settlements(&rig.settled(batch(&one), &[1])), [Settlement::Delete(firsts(2..=9))]);
}

#[test]
fn a_second_settlement_is_sent_for_many_messages_or_when_the_first_takes_long() {
    let config = Config { concurrency: 10, max_claim: 3, prefetch: 0, ..config() };
    let mut rig = Rig::new(config);
    rig.poll();
    for claim in 0..3 {
        rig.claimed(firsts(claim * 3 + 1..=claim * 3 + 3));
    }
    rig.returns(1, Verdict::Delete);
    assert_eq!(settlements(&rig.returns(2, Verdict::Delete)), []);
    assert_eq!(settlements(&rig.pass(ms(24))), []);
    assert_eq!(settlements(&rig.pass(ms(1))), [Settlement::Delete(firsts([2]))]);
    let mut rig = Rig::running(Config { concurrency: 10, max_claim: 10, ..self::config() }, &[1, 2, 3, 4]);
    rig.machine.on(rig.now, Event::Returned { claim: first(1), verdict: Verdict::Delete });
    assert_eq!(settlements(&rig.poll()).len(), 1);
    for id in 2..=4 {
        assert_eq!(settlements(&rig.returns(id, Verdict::Delete)), []);
    }
}

#[test]
fn a_settlement_has_no_more_messages_than_its_limit() {
    let config = Config { concurrency: 5, max_settle: 3, max_claim: 2, ..config() };
    let mut rig = Rig::new(config);
    rig.poll();
    rig.claimed(firsts(1..=2));
    rig.claimed(firsts(3..=4));
    rig.claimed(firsts([5]));
    for id in 1..=5 {
        rig.machine.on(rig.now, Event::Returned { claim: first(id), verdict: Verdict::Delete });
    }
    let expected = [Settlement::Delete(firsts(1..=3)), Settlement::Delete(firsts(4..=5))];
    assert_eq!(settlements(&rig.poll()), expected, "two are as many as a claim brings");
}

#[test]
fn kinds_of_settlements_take_turns() {
    let config = Config { concurrency: 8, max_settle: 2, ..config() };
    let mut rig = Rig::running(config, &[1, 2, 3, 4, 5, 6, 7, 8]);
    for id in 1..=6 {
        rig.machine.on(rig.now, Event::Returned { claim: first(id), verdict: Verdict::Delete });
    }
    rig.machine.on(rig.now, Event::Returned { claim: first(7), verdict: Verdict::Retry(Duration::ZERO) });
    rig.machine.on(rig.now, Event::Returned { claim: first(8), verdict: Verdict::Bury });
    let mut kinds = Vec::new();
    let mut waiting = rig.poll();
    while let Some(command) = waiting.pop() {
        if let Command::Settle { batch, what } = command {
            let (kind, ids) = match &what {
                Settlement::Delete(claims) => ('d', claims.iter().map(|claim| claim.msg_id).collect()),
                Settlement::Hold(_) => ('h', vec![7]),
                _ => ('b', vec![8]),
            };
            kinds.push((ids.iter().min().copied(), kind));
            waiting.extend(rig.settled(batch, &ids));
        }
    }
    assert_eq!(kinds.len(), 5);
    let place = |kind| kinds.iter().position(|(_, other)| *other == kind).expect("it is settled");
    let last = kinds.iter().position(|(id, _)| *id == Some(5)).expect("it is settled");
    assert!(place('h') < last && place('b') < last, "{kinds:?}");
}

#[test]
fn a_message_starts_at_once_on_the_slot_of_one_that_has_returned() {
    let config = Config { concurrency: 1, ..config() };
    let (mut rig, _) = Rig::with(config, firsts([1, 2]));
    assert_eq!(started(&rig.returns(1, Verdict::Delete)), [first(2)]);
}
