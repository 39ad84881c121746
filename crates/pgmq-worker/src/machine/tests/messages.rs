//! The states of a message, one transition per test.

use std::time::Duration;

use pgmq_core::Claim;

use crate::machine::command::{CancelReason, Notice, Settlement};
use crate::machine::config::Config;
use crate::machine::event::{Event, Fault, Verdict, Wake};
use crate::machine::tests::commands::Command;
use crate::machine::tests::config;
use crate::machine::tests::rig::{
    Rig, batch, cancel, claimed, extended, first, firsts, limits, ms, s, settlements, started, tell,
};

#[test]
fn a_claimed_message_starts() {
    let (_, commands) = Rig::with(config(), firsts([1]));
    assert_eq!(started(&commands), [first(1)]);
}

#[test]
fn a_message_that_one_answer_names_twice_starts_once() {
    let (rig, commands) = Rig::with(config(), vec![first(1), first(1)]);
    assert_eq!(started(&commands), [first(1)]);
    assert_eq!(rig.machine.snapshot().running, 1);
}

#[test]
fn a_message_that_was_read_too_often_is_buried_without_a_start() {
    let (mut rig, commands) = Rig::with(config(), vec![Claim::new(1, 11)]);
    assert_eq!(started(&commands), []);
    assert!(commands.contains(&tell(Notice::Exhausted(Claim::new(1, 11)))));
    assert_eq!(settlements(&commands), [Settlement::Bury(vec![Claim::new(1, 11)])]);
    rig.settled(batch(&commands), &[1]);
    assert_eq!(rig.machine.snapshot().settling, 0);
}

#[test]
fn a_message_that_comes_while_the_machine_is_paused_is_released() {
    let mut rig = Rig::new(config());
    rig.poll();
    rig.on(Event::Pause);
    let commands = rig.claimed(firsts([1]));
    assert_eq!(settlements(&commands), [Settlement::Hold(vec![(first(1), Duration::ZERO)])]);
    assert_eq!(started(&commands), []);
}

#[test]
fn a_message_that_comes_while_the_machine_stops_is_released_before_it_has_stopped() {
    let mut rig = Rig::new(config());
    rig.poll();
    assert_eq!(rig.on(Event::Stop(limits(20, 5, 3))), []);
    let commands = rig.claimed(firsts([1]));
    assert_eq!(settlements(&commands), [Settlement::Hold(vec![(first(1), Duration::ZERO)])]);
    let commands = rig.settled(batch(&commands), &[1]);
    assert!(matches!(commands.as_slice(), [Command::Stopped(_)]));
}

#[test]
fn a_message_does_not_start_if_its_lease_ends_before_the_next_beats() {
    let mut rig = Rig::new(config());
    rig.poll();
    rig.now += s(21);
    let commands = rig.claimed(firsts([1]));
    assert_eq!(started(&commands), []);
    assert_eq!(extended(&commands), [first(1)]);
    assert_eq!(started(&rig.extended(batch(&commands), &[1])), [first(1)]);
}

#[test]
fn a_message_that_waits_is_dropped_if_its_claim_is_not_current() {
    let config = Config { concurrency: 1, ..config() };
    let (mut rig, _) = Rig::with(config, firsts([1, 2]));
    rig.now += s(10);
    let commands = rig.poll();
    let commands = rig.extended(batch(&commands), &[1]);
    assert!(commands.starts_with(&[tell(Notice::Lost(first(2))), Command::Drop(first(2))]), "{commands:?}");
}

#[test]
fn a_message_that_waits_is_dropped_at_the_end_of_its_lease() {
    let config = Config { concurrency: 1, ..config() };
    let (mut rig, _) = Rig::with(config, firsts([1, 2]));
    let commands = rig.leap(s(30));
    assert!(commands.contains(&tell(Notice::Lost(first(2)))));
    assert!(commands.contains(&Command::Drop(first(2))));
    // The slot becomes free, but nothing starts on it.
    assert_eq!(started(&rig.returns(1, Verdict::Finished)), []);
}

#[test]
fn nothing_starts_after_a_leap_of_the_clock_over_its_lease() {
    let mut rig = Rig::new(config());
    rig.poll();
    let answer = rig.answer(firsts([1, 2]));
    rig.machine.on(rig.now, answer);
    let commands = rig.leap(s(30));
    assert_eq!(started(&commands), []);
    assert!(commands.contains(&Command::Drop(first(1))) && commands.contains(&Command::Drop(first(2))));
}

#[test]
fn a_handler_is_cancelled_if_its_claim_is_not_current() {
    let mut rig = Rig::running(config(), &[1, 2]);
    rig.now += s(10);
    let commands = rig.poll();
    let commands = rig.extended(batch(&commands), &[2]);
    assert_eq!(commands[..2], [tell(Notice::Lost(first(1))), cancel(1, CancelReason::LeaseLost)]);
    assert_eq!(rig.machine.snapshot().running, 2);
}

#[test]
fn a_handler_is_cancelled_at_the_end_of_its_lease() {
    let mut rig = Rig::running(config(), &[1]);
    let commands = rig.leap(s(30));
    assert_eq!(commands[..2], [tell(Notice::Lost(first(1))), cancel(1, CancelReason::LeaseLost)]);
    assert_eq!(rig.machine.lease_left(first(1), rig.now), None);
}

#[test]
fn a_lost_message_is_still_deleted_and_archived() {
    for (verdict, settlement) in [
        (Verdict::Delete, Settlement::Delete(firsts([1]))),
        (Verdict::Archive, Settlement::Archive(firsts([1]))),
    ] {
        let mut rig = Rig::running(config(), &[1]);
        rig.leap(s(30));
        assert_eq!(settlements(&rig.returns(1, verdict)), [settlement]);
    }
}

#[test]
fn a_finished_message_that_is_lost_before_it_is_settled_is_still_deleted() {
    let mut rig = Rig::running(config(), &[1, 2, 3]);
    let commands = rig.returns(1, Verdict::Delete);
    rig.returns(2, Verdict::Delete);
    rig.returns(3, Verdict::Delete);
    let late = rig.leap(s(30));
    assert_eq!(settlements(&late), [Settlement::Delete(firsts([2, 3]))]);
    rig.settled(batch(&commands), &[1]);
    assert_eq!(rig.settled(batch(&late), &[2, 3]), []);
}

#[test]
fn a_lost_message_is_neither_hidden_nor_moved() {
    let others = [
        Verdict::Retry(s(1)),
        Verdict::Hold(s(1)),
        Verdict::Resend(s(1)),
        Verdict::Bury,
        Verdict::Forward,
        Verdict::Finished,
    ];
    for verdict in others {
        let mut rig = Rig::running(config(), &[1]);
        rig.leap(s(30));
        let commands = rig.returns(1, verdict);
        assert_eq!(settlements(&commands), []);
        assert!(commands.contains(&Command::Drop(first(1))));
    }
}

#[test]
fn a_finished_message_that_is_lost_before_it_is_settled_is_hidden_no_more() {
    let mut rig = Rig::running(config(), &[1]);
    let commands = rig.returns(1, Verdict::Hold(s(60)));
    rig.now += s(30);
    let commands = rig.settle_fails(batch(&commands), Fault::Transient);
    assert_eq!(commands[..2], [tell(Notice::Lost(first(1))), Command::Drop(first(1))]);
    assert_eq!(settlements(&rig.pass(s(5))), []);
}

#[test]
fn a_handler_is_cancelled_after_its_timeout() {
    let config = Config { timeout: Some(s(3)), ..config() };
    let mut rig = Rig::running(config, &[1]);
    assert_eq!(rig.pass(ms(2_999)), []);
    assert_eq!(rig.pass(ms(1)), [cancel(1, CancelReason::TimedOut)]);
}

#[test]
fn a_stuck_handler_is_told_and_its_lease_runs_out() {
    let config = Config { timeout: Some(s(3)), ..config() };
    let mut rig = Rig::running(config, &[1]);
    rig.pass(ms(7_999));
    assert_eq!(rig.pass(ms(1)), [tell(Notice::Stuck(first(1)))]);
    let commands = rig.pass(s(22));
    assert_eq!(extended(&commands), []);
    assert!(commands.contains(&tell(Notice::Lost(first(1)))));
    assert_eq!(rig.machine.snapshot().stuck, 1, "it keeps its slot");
}

#[test]
fn the_lease_of_a_stuck_handler_is_extended_if_it_is_kept() {
    let config = Config { timeout: Some(s(1)), keeps_stuck: true, ..config() };
    let mut rig = Rig::running(config, &[1]);
    let commands = rig.pass(s(10));
    assert!(commands.contains(&tell(Notice::Stuck(first(1)))));
    assert_eq!(extended(&commands), [first(1)]);
}

#[test]
fn a_stuck_handler_that_returns_in_time_settles_its_message() {
    let config = Config { timeout: Some(s(1)), ..config() };
    let mut rig = Rig::running(config, &[1]);
    rig.pass(s(20));
    let commands = rig.returns(1, Verdict::Bury);
    assert_eq!(settlements(&commands), [Settlement::Bury(firsts([1]))]);
    assert_eq!(extended(&commands), firsts([1]), "its lease is kept again until it is settled");
}

#[test]
fn a_handler_without_a_timeout_counts_as_stuck_after_ten_leases() {
    let mut rig = Rig::running(config(), &[1]);
    let mut told = false;
    for _ in 0..30 {
        let commands = rig.pass(s(10));
        told |= commands.contains(&tell(Notice::Stuck(first(1))));
        assert_eq!(extended(&commands), [first(1)], "it is extended still");
        rig.extended(
            commands
                .iter()
                .find_map(|c| if let Command::Extend { batch, .. } = c { Some(*batch) } else { None })
                .unwrap(),
            &[1],
        );
        rig.claim_fails(Fault::Transient);
    }
    assert!(told);
}

#[test]
fn each_verdict_is_settled_in_its_way() {
    let claims = firsts([1]);
    for (verdict, settlement) in [
        (Verdict::Delete, Settlement::Delete(claims.clone())),
        (Verdict::Archive, Settlement::Archive(claims.clone())),
        (Verdict::Retry(s(7)), Settlement::Hold(vec![(first(1), s(7))])),
        (Verdict::Hold(s(8)), Settlement::Hold(vec![(first(1), s(8))])),
        (Verdict::Resend(ms(8_100)), Settlement::Resend { claims: claims.clone(), after: s(9) }),
        (Verdict::Bury, Settlement::Bury(claims.clone())),
        (Verdict::Forward, Settlement::Forward(first(1))),
    ] {
        let mut rig = Rig::running(config(), &[1]);
        assert_eq!(settlements(&rig.returns(1, verdict)), [settlement]);
    }
    let mut rig = Rig::running(config(), &[1]);
    assert_eq!(rig.returns(1, Verdict::Finished), [Command::Drop(first(1))]);
}

#[test]
fn a_retry_at_the_limit_of_reads_is_a_burial() {
    let last = Claim::new(1, 10);
    let (mut rig, commands) = Rig::with(config(), vec![last]);
    assert_eq!(started(&commands), [last]);
    let commands = rig.on(Event::Returned { claim: last, verdict: Verdict::Retry(s(1)) });
    assert_eq!(commands[0], tell(Notice::Exhausted(last)));
    assert_eq!(settlements(&commands), [Settlement::Bury(vec![last])]);
}

#[test]
fn a_snooze_at_the_limit_of_reads_is_no_burial() {
    let config = Config { max_reads: 1, ..config() };
    let mut rig = Rig::running(config, &[1]);
    assert_eq!(settlements(&rig.returns(1, Verdict::Hold(s(1)))), [Settlement::Hold(vec![(first(1), s(1))])]);
}

#[test]
fn a_deletion_that_misses_is_told_as_already_gone() {
    let mut rig = Rig::running(config(), &[1, 2]);
    rig.machine.on(rig.now, Event::Returned { claim: first(1), verdict: Verdict::Delete });
    let commands = rig.returns(2, Verdict::Delete);
    assert_eq!(settlements(&commands), [Settlement::Delete(firsts([1, 2]))]);
    assert_eq!(rig.settled(batch(&commands), &[2])[0], tell(Notice::AlreadyGone(first(1))));
    assert_eq!(rig.machine.snapshot().settling, 0);
}

#[test]
fn another_settlement_that_misses_is_told_as_lost() {
    let mut rig = Rig::running(config(), &[1]);
    let commands = rig.returns(1, Verdict::Bury);
    assert_eq!(rig.settled(batch(&commands), &[])[0], tell(Notice::Lost(first(1))));
}

#[test]
fn a_settlement_is_repeated_after_a_failure_that_passes() {
    let mut rig = Rig::running(config(), &[1]);
    let mut commands = rig.returns(1, Verdict::Delete);
    for wait in [50, 100, 200, 400, 800, 1_600, 2_000, 2_000] {
        assert_eq!(settlements(&rig.settle_fails(batch(&commands), Fault::Transient)), []);
        assert_eq!(settlements(&rig.pass(ms(wait - 1))), []);
        commands = rig.pass(ms(1));
        assert_eq!(settlements(&commands), [Settlement::Delete(firsts([1]))]);
    }
}

#[test]
fn a_batch_that_cannot_be_settled_is_halved_down_to_the_message_at_fault() {
    let mut rig = Rig::running(config(), &[1, 2, 3, 4]);
    for id in 1..=4 {
        rig.machine.on(rig.now, Event::Returned { claim: first(id), verdict: Verdict::Delete });
    }
    let mut waiting = rig.poll();
    let (mut settled, mut told) = (Vec::new(), Vec::new());
    let mut statements = 0;
    while let Some(command) = waiting.pop() {
        match command {
            Command::Settle { batch, what: Settlement::Delete(claims) } => {
                statements += 1;
                assert!(statements < 10, "the batch is not halved");
                let ids: Vec<i64> = claims.iter().map(|claim| claim.msg_id).collect();
                waiting.extend(if ids.contains(&3) {
                    rig.settle_fails(batch, Fault::Lasting)
                } else {
                    settled.extend(&ids);
                    rig.settled(batch, &ids)
                });
            }
            Command::Tell(Notice::NotSettled(claim)) => told.push(claim),
            Command::Drop(claim) => assert_eq!(claim, first(3)),
            _ => {}
        }
    }
    settled.sort_unstable();
    assert_eq!((settled, told, statements), (vec![1, 2, 4], firsts([3]), 5));
    assert_eq!(rig.machine.snapshot().settling, 0);
}

#[test]
fn a_later_claim_does_not_start_while_an_earlier_handler_of_the_message_runs() {
    let mut rig = Rig::running(config(), &[1]);
    rig.on(Event::Woken(Wake::Kicked));
    let later = Claim::new(1, 2);
    let commands = rig.claimed(vec![later]);
    assert_eq!(commands[..2], [tell(Notice::Lost(first(1))), cancel(1, CancelReason::LeaseLost)]);
    assert_eq!(started(&commands), []);
    assert_eq!(settlements(&commands), [Settlement::Hold(vec![(later, s(5))])]);
    // The first to finish it finishes it.
    assert_eq!(settlements(&rig.returns(1, Verdict::Delete)), [Settlement::Delete(firsts([1]))]);
}

#[test]
fn a_later_claim_is_hidden_for_a_lease_while_an_earlier_handler_is_stuck() {
    let config = Config { timeout: Some(s(1)), ..config() };
    let mut rig = Rig::running(config, &[1]);
    rig.pass(s(6));
    rig.on(Event::Woken(Wake::Kicked));
    let later = Claim::new(1, 2);
    assert_eq!(settlements(&rig.claimed(vec![later])), [Settlement::Hold(vec![(later, s(30))])]);
}

#[test]
fn a_later_claim_takes_the_place_of_a_message_that_waits() {
    let config = Config { concurrency: 1, ..config() };
    let (mut rig, _) = Rig::with(config, firsts(1..=4));
    assert_eq!(claimed(&rig.on(Event::Woken(Wake::Kicked))), Some(1));
    let commands = rig.claimed(vec![Claim::new(3, 2)]);
    assert!(commands.starts_with(&[tell(Notice::Lost(first(3))), Command::Drop(first(3))]), "{commands:?}");
    assert_eq!(rig.machine.snapshot().ready, 3);
}

#[test]
fn a_later_claim_of_a_message_that_is_finished_is_deleted_without_a_start() {
    let mut rig = Rig::running(config(), &[1]);
    let commands = rig.returns(1, Verdict::Delete);
    let failed = batch(&commands);
    rig.settle_fails(failed, Fault::Transient);
    rig.on(Event::Woken(Wake::Kicked));
    let later = Claim::new(1, 2);
    let commands = rig.claimed(vec![later]);
    assert_eq!(started(&commands), []);
    assert!(commands.contains(&Command::Drop(first(1))));
    assert_eq!(settlements(&commands), [Settlement::Delete(vec![later])]);
}

/// Two claims are in flight, and the first is answered after the leases of its messages.
#[test]
fn a_claim_that_is_answered_after_its_lease_leaves_a_later_one_alone() {
    let config = Config { concurrency: 100, prefetch: 100, max_claim: 50, ..config() };
    let (mut rig, _) = Rig::with(config.clone(), firsts(101..=150));
    let slow = rig.answer(firsts([1, 2]));
    let Event::Claimed { id: slow, got } = slow else { panic!("{slow:?}") };
    rig.leap(config.vt);
    // So late that nothing of it begins either, and as many as were asked for, so that there are more.
    assert_eq!(started(&rig.claimed(firsts(201..=250))), []);
    let later = Claim::new(1, 2);
    let commands = rig.claimed(vec![later]);
    assert_eq!(started(&commands), [later]);
    let commands = rig.on(Event::Claimed { id: slow, got });
    let dropped: Vec<_> = commands.iter().filter(|command| matches!(command, Command::Drop(_))).collect();
    assert_eq!(dropped, [&Command::Drop(first(1)), &Command::Drop(first(2))], "their leases are over");
    assert!(!commands.iter().any(|command| matches!(command, Command::Cancel { .. })), "{commands:?}");
    let commands = rig.on(Event::Returned { claim: later, verdict: Verdict::Delete });
    assert_eq!(settlements(&commands), [Settlement::Delete(vec![later])]);
}

#[test]
fn a_later_claim_of_a_message_that_was_released_starts() {
    let mut rig = Rig::running(config(), &[1]);
    let commands = rig.returns(1, Verdict::Retry(Duration::ZERO));
    // The answer to the settlement is slower than the next claim.
    let batch = batch(&commands);
    rig.on(Event::Woken(Wake::Kicked));
    let later = Claim::new(1, 2);
    assert_eq!(started(&rig.claimed(vec![later])), [later]);
    rig.settled(batch, &[1]);
    assert_eq!(rig.machine.snapshot().running, 1);
}

#[test]
fn an_old_handler_deletes_nothing_after_the_queue_was_recreated() {
    for claim in [Claim::new(1, 2), Claim::new(1, 1)] {
        let (mut rig, commands) = Rig::with(config(), vec![Claim::new(1, 2)]);
        assert_eq!(started(&commands), [Claim::new(1, 2)]);
        rig.on(Event::Due(None));
        rig.on(Event::Woken(Wake::Kicked));
        rig.claimed(vec![claim]);
        let commands = rig.on(Event::Returned { claim: Claim::new(1, 2), verdict: Verdict::Delete });
        let deletes = |s: &Settlement| matches!(s, Settlement::Delete(_));
        assert!(!settlements(&commands).iter().any(deletes), "{commands:?}");
    }
}

#[test]
fn nothing_is_settled_after_the_queue_was_missing() {
    let config = Config { concurrency: 3, ..config() };
    let (mut rig, _) = Rig::with(config, firsts(1..=4));
    rig.on(Event::Due(None));
    let commands = rig.returns(1, Verdict::Delete);
    let failed = batch(&commands);
    // The fourth has begun in its place.
    let commands = rig.on(Event::QueueMissing);
    for id in 2..=4 {
        assert!(commands.contains(&cancel(id, CancelReason::LeaseLost)), "{commands:?}");
    }
    rig.settle_fails(failed, Fault::Transient);
    for id in 2..=4 {
        rig.returns(id, Verdict::Delete);
    }
    let commands = rig.pass(s(60));
    assert_eq!(settlements(&commands), []);
    let snapshot = rig.machine.snapshot();
    assert_eq!((snapshot.running, snapshot.done, snapshot.settling), (0, 0, 0));
}
