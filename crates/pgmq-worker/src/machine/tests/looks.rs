//! The rules on how much to claim, and when.

use std::time::Duration;

use pgmq_core::Claim;

use crate::machine::command::{ClaimId, Notice};
use crate::machine::config::Config;
use crate::machine::event::{Event, Fault, Verdict, Wake};
use crate::machine::tests::commands::Command;
use crate::machine::tests::config;
use crate::machine::tests::rig::{Rig, claimed, first, firsts, ms, s, settlements, started, tell};

/// A machine whose queue is empty, as it knows.
fn idle(config: Config) -> Rig {
    let (mut rig, commands) = Rig::with(config, vec![]);
    assert_eq!(commands, [Command::LookDue]);
    rig.on(Event::Due(None));
    rig
}

/// The time until the next claim.
fn next_claim(rig: &mut Rig) -> Duration {
    let begin = rig.now;
    while claimed(&rig.poll()).is_none() {
        rig.now = rig.machine.wake_at(rig.now).expect("a claim is to come");
    }
    rig.now - begin
}

#[test]
fn the_first_claim_asks_for_the_slots_and_the_prefetch() {
    let commands = Rig::new(config()).poll();
    assert_eq!(commands, [Command::Claim { id: ClaimId(1), qty: 8, vt: s(30) }]);
}

#[test]
fn a_claim_asks_for_no_more_than_its_limit() {
    let config = Config { max_claim: 5, ..config() };
    assert_eq!(claimed(&Rig::new(config).poll()), Some(5));
}

#[test]
fn a_claim_keeps_the_messages_in_flight_below_their_limit() {
    let config = Config { max_in_flight: 6, ..config() };
    let (_, commands) = Rig::with(config.clone(), firsts(1..=5));
    assert_eq!(claimed(&commands), None, "the claim was not full");
    let config = Config { concurrency: 100, max_in_flight: 6, max_claim: 4, ..config };
    let (mut rig, mut commands) = Rig::with(config, firsts(1..=4));
    commands.extend(rig.pass(ms(2)));
    assert_eq!(claimed(&commands), Some(2));
}

#[test]
fn a_full_claim_is_followed_by_another_at_once() {
    let config = Config { max_claim: 5, ..config() };
    let (_, commands) = Rig::with(config, firsts(1..=5));
    assert_eq!(claimed(&commands), Some(3));
}

#[test]
fn two_claims_are_in_flight_while_there_is_a_backlog_and_room_for_many() {
    let config = Config { concurrency: 10, prefetch: 10, max_claim: 10, ..config() };
    let (mut rig, commands) = Rig::with(config.clone(), firsts(1..=10));
    assert_eq!(claimed(&commands), Some(10), "for the prefetch");
    let mut finish = |mut ids: std::ops::RangeInclusive<i64>| {
        ids.find_map(|id| claimed(&rig.returns(id, Verdict::Finished)))
    };
    assert_eq!(finish(1..=4), None, "four are not worth a second claim");
    assert_eq!(finish(5..=5), Some(5));
    assert_eq!(finish(6..=10), None, "there are two");
    assert_eq!(claimed(&rig.claimed(firsts(11..=20))), Some(5));
    let (mut rig, _) = Rig::with(config, firsts(1..=9));
    rig.on(Event::Woken(Wake::Kicked));
    let later = (1..=9).find_map(|id| claimed(&rig.returns(id, Verdict::Finished)));
    assert_eq!(later, None, "the last claim was not full");
}

#[test]
fn each_lease_counts_from_its_own_claim() {
    let config = Config { concurrency: 10, prefetch: 10, max_claim: 10, ..config() };
    let (mut rig, _) = Rig::with(config, firsts(1..=10));
    rig.now += s(1);
    for id in 1..=5 {
        rig.returns(id, Verdict::Finished);
    }
    rig.now += s(1);
    let first_event = rig.answer(firsts(11..=20));
    rig.claimed(firsts(21..=25));
    rig.on(first_event);
    assert_eq!(rig.machine.lease_left(first(11), rig.now), Some(s(28)));
    assert_eq!(rig.machine.lease_left(first(21), rig.now), Some(s(29)));
}

#[test]
fn more_is_read_ahead_for_handlers_that_end_during_a_claim() {
    let config = Config { concurrency: 4, prefetch: 4, max_prefetch: 30, ..config() };
    let (mut rig, _) = Rig::with(config, firsts(1..=8));
    assert_eq!(claimed(&rig.returns(1, Verdict::Finished)), Some(1));
    for id in 2..=8 {
        rig.returns(id, Verdict::Finished);
    }
    assert_eq!(claimed(&rig.claimed(firsts([9]))), Some(3 + 2 * 7 - 4), "four are in flight");
    // Nothing ends during further claims.
    let mut last = None;
    for _ in 0..8 {
        rig.on(Event::Woken(Wake::Kicked));
        last = claimed(&rig.claimed(vec![]));
    }
    assert_eq!(last, Some(3 + 4));
}

#[test]
fn no_claim_is_made_for_crumbs_while_messages_wait() {
    let config = Config { concurrency: 8, prefetch: 8, ..config() };
    let (mut rig, _) = Rig::with(config, firsts(1..=16));
    assert_eq!(claimed(&rig.returns(1, Verdict::Finished)), None);
    assert_eq!(claimed(&rig.returns(2, Verdict::Finished)), Some(2));
}

#[test]
fn crumbs_are_claimed_when_a_slot_has_been_empty_for_two_milliseconds() {
    let config = Config { concurrency: 8, prefetch: 0, ..config() };
    let (mut rig, _) = Rig::with(config, firsts(1..=8));
    assert_eq!(claimed(&rig.returns(1, Verdict::Finished)), None);
    assert_eq!(claimed(&rig.pass(Duration::from_micros(1_999))), None);
    assert_eq!(claimed(&rig.pass(Duration::from_micros(1))), Some(1));
}

#[test]
fn claims_stop_while_most_messages_wait_for_their_settlement() {
    let config = Config { concurrency: 10, prefetch: 1, max_in_flight: 12, ..config() };
    for (returned, qty) in [(8, Some(2)), (9, None)] {
        let (mut rig, _) = Rig::with(config.clone(), firsts(1..=10));
        rig.on(Event::Due(None));
        for id in 1..=returned {
            rig.returns(id, Verdict::Delete);
        }
        assert_eq!(claimed(&rig.on(Event::Woken(Wake::Kicked))), qty);
    }
}

#[test]
fn a_notification_leads_to_a_claim_at_once_and_to_another_after_the_throttle() {
    let mut rig = idle(config());
    assert_eq!(claimed(&rig.on(Event::Woken(Wake::Notified))), Some(8));
    assert_eq!(rig.claimed(vec![]), [Command::LookDue]);
    rig.on(Event::Due(None));
    assert_eq!(next_claim(&mut rig), ms(270));
    assert_eq!(rig.claimed(vec![]), [Command::LookDue]);
    rig.on(Event::Due(None));
    assert!(next_claim(&mut rig) > s(8), "once for each notification");
}

#[test]
fn a_wake_during_a_claim_leads_to_another() {
    let mut rig = Rig::new(config());
    rig.poll();
    assert_eq!(rig.on(Event::Woken(Wake::Kicked)), []);
    assert_eq!(claimed(&rig.claimed(vec![])), Some(8));
}

#[test]
fn the_machine_sleeps_until_the_next_message_is_due() {
    let (mut rig, _) = Rig::with(config(), vec![]);
    rig.on(Event::Due(Some(ms(1_234))));
    assert_eq!(next_claim(&mut rig), ms(1_234));
}

#[test]
fn a_message_that_is_due_already_is_claimed_at_once_after_others() {
    let (mut rig, commands) = Rig::with(config(), firsts([1]));
    assert!(commands.contains(&Command::LookDue));
    assert_eq!(claimed(&rig.on(Event::Due(Some(Duration::ZERO)))), Some(7));
}

#[test]
fn a_message_that_is_due_and_cannot_be_read_is_looked_for_ever_more_seldom() {
    let mut rig = Rig::new(config());
    let mut waits = Vec::new();
    for _ in 0..7 {
        waits.push(next_claim(&mut rig));
        assert_eq!(rig.claimed(vec![]), [Command::LookDue]);
        rig.machine.on(rig.now, Event::Due(Some(Duration::ZERO)));
    }
    assert_eq!(waits, [0, 50, 100, 200, 400, 800, 1_000].map(ms));
}

#[test]
fn a_retry_is_claimed_when_it_is_due() {
    let mut rig = Rig::running(config(), &[1]);
    let commands = rig.returns(1, Verdict::Retry(s(3)));
    let Some(Command::Settle { batch, .. }) = commands.first() else { panic!("{commands:?}") };
    rig.settled(*batch, &[1]);
    assert_eq!(next_claim(&mut rig), s(3));
}

#[test]
fn an_idle_machine_with_a_listener_asks_once_in_a_backstop() {
    let mut rig = idle(config());
    for _ in 0..100 {
        let wait = next_claim(&mut rig);
        assert!(wait > s(9) && wait <= s(10), "{wait:?}");
        assert_eq!(rig.claimed(vec![]), [], "the queue has not changed, so it is not asked about");
    }
}

#[test]
fn a_machine_without_a_listener_looks_ever_more_seldom_until_there_is_a_message() {
    let mut rig = idle(Config { throttle: None, ..config() });
    let mut waits = Vec::new();
    for _ in 0..6 {
        waits.push(next_claim(&mut rig));
        rig.claimed(vec![]);
    }
    for (wait, longest) in waits.iter().zip([50, 100, 200, 400, 800, 1_000].map(ms)) {
        assert!(*wait <= longest && *wait >= longest.mul_f64(0.9), "{waits:?}");
    }
    next_claim(&mut rig);
    rig.claimed(firsts([1]));
    rig.on(Event::Due(None));
    assert_eq!(next_claim(&mut rig), ms(50));
}

/// The question about the next message and a claim are two statements, whose answers may come in any order.
#[test]
fn an_answer_about_the_next_message_that_a_claim_has_overtaken_is_asked_for_again() {
    let mut rig = Rig::new(config());
    rig.poll();
    assert_eq!(rig.claimed(vec![]), [Command::LookDue]);
    assert_eq!(claimed(&rig.on(Event::Woken(Wake::Kicked))), Some(8));
    assert_eq!(rig.claimed(vec![]), []);
    // The answer is from before the message that the program has told of.
    assert_eq!(rig.on(Event::Due(None)), [Command::LookDue]);
    rig.on(Event::Due(Some(s(1))));
    assert_eq!(next_claim(&mut rig), s(1));
}

#[test]
fn the_looks_follow_the_notifications_as_they_come_and_go() {
    let mut rig = idle(Config { throttle: None, ..config() });
    next_claim(&mut rig);
    rig.claimed(vec![]);
    rig.on(Event::Notifies(Some(ms(250))));
    assert!(next_claim(&mut rig) <= ms(100), "the look that was planned still takes place");
    assert_eq!(rig.claimed(vec![]), []);
    let wait = next_claim(&mut rig);
    assert!(wait > ms(160) && wait <= ms(270), "messages may have been silenced by an earlier notification");
    assert_eq!(rig.claimed(vec![]), [Command::LookDue]);
    rig.on(Event::Due(None));
    assert!(next_claim(&mut rig) > s(9), "the next one is a backstop");
    rig.claimed(vec![]);

    let commands = rig.on(Event::Notifies(None));
    assert_eq!(claimed(&commands), Some(8), "notifications may have been missed");
    rig.claimed(vec![]);
    assert!(next_claim(&mut rig) <= ms(100));
}

#[test]
fn a_failed_claim_is_repeated_ever_more_seldom_and_at_once_after_a_reconnect() {
    let mut rig = Rig::new(config());
    rig.poll();
    for longest in [50, 100, 200, 400, 800, 1_600, 2_000, 2_000].map(ms) {
        assert_eq!(rig.claim_fails(Fault::Transient), []);
        rig.machine.on(rig.now, Event::Woken(Wake::Notified));
        let wait = next_claim(&mut rig);
        assert!(wait <= longest && wait >= longest.mul_f64(0.9), "{wait:?}");
    }
    assert_eq!(rig.machine.snapshot().claim_failures, 8);
    rig.claim_fails(Fault::Transient);
    assert_eq!(claimed(&rig.on(Event::Woken(Wake::Reconnected))), Some(8));
}

#[test]
fn the_next_message_is_asked_for_after_a_failed_claim_which_may_have_hidden_some() {
    let mut rig = idle(config());
    rig.on(Event::Woken(Wake::Kicked));
    rig.claimed(vec![]);
    rig.on(Event::Due(None));
    next_claim(&mut rig);
    rig.claim_fails(Fault::Transient);
    next_claim(&mut rig);
    assert_eq!(rig.claimed(vec![]), [Command::LookDue]);
}

#[test]
fn a_refusal_is_told_once_and_so_is_its_end() {
    let mut rig = Rig::new(config());
    rig.poll();
    assert_eq!(rig.claim_fails(Fault::Lasting), [tell(Notice::Refused)]);
    for longest in [1, 2, 4, 8, 16, 30, 30].map(s) {
        let wait = next_claim(&mut rig);
        assert!(wait <= longest && wait >= longest.mul_f64(0.9), "{wait:?}");
        assert_eq!(rig.claim_fails(Fault::Lasting), []);
    }
    assert!(rig.machine.snapshot().is_refused);
    next_claim(&mut rig);
    assert_eq!(rig.claimed(vec![])[0], tell(Notice::Recovered));
    assert!(!rig.machine.snapshot().is_refused);
}

#[test]
fn a_failed_look_is_repeated() {
    let (mut rig, _) = Rig::with(config(), vec![]);
    assert_eq!(rig.on(Event::DueFailed(Fault::Transient)), []);
    assert_eq!(rig.pass(ms(200)), [Command::LookDue]);
    assert_eq!(rig.on(Event::DueFailed(Fault::Lasting)), []);
    assert!(!rig.pass(s(30)).contains(&Command::LookDue));
}

#[test]
fn a_suspect_starts_last_and_alone() {
    let suspect = Claim::new(1, 4);
    let mut all = firsts(2..=8);
    all.insert(0, suspect);
    let config = Config { concurrency: 7, prefetch: 1, ..config() };
    let (mut rig, commands) = Rig::with(config, all);
    assert_eq!(started(&commands), firsts(2..=8));
    for id in 2..=8 {
        assert_eq!(started(&rig.returns(id, Verdict::Finished)), []);
    }
    assert_eq!(started(&rig.claimed(vec![])), [], "another claim is in flight");
    assert_eq!(started(&rig.claimed(vec![])), [suspect], "the claims brought nothing else");
    rig.on(Event::Due(None));
    assert_eq!(claimed(&rig.on(Event::Woken(Wake::Notified))), None, "no claim while it runs");
    let commands = rig.on(Event::Returned { claim: suspect, verdict: Verdict::Delete });
    assert_eq!(claimed(&commands), Some(8));
    assert_eq!(settlements(&commands).len(), 1);
}

#[test]
fn a_suspect_stops_claims_after_it_has_waited_for_a_lease() {
    let suspect = Claim::new(1, 4);
    let (mut rig, commands) = Rig::with(config(), vec![suspect, Claim::new(2, 1)]);
    assert_eq!(started(&commands), firsts([2]));
    rig.on(Event::Due(None));
    for _ in 0..3 {
        for command in rig.pass(s(10)) {
            match command {
                Command::Extend { batch, .. } => drop(rig.extended(batch, &[1, 2])),
                Command::Claim { .. } => drop(rig.claimed(vec![])),
                _ => {}
            }
        }
    }
    assert_eq!(claimed(&rig.on(Event::Woken(Wake::Kicked))), None);
    assert_eq!(started(&rig.returns(2, Verdict::Delete)), [suspect]);
}

#[test]
fn a_suspect_starts_after_a_batch_that_waits_for_more_messages() {
    let config = Config { concurrency: 2, batch: 3, linger: ms(5), ..config() };
    let suspect = Claim::new(1, 4);
    let (mut rig, commands) = Rig::with(config, vec![suspect, Claim::new(2, 1)]);
    rig.on(Event::Due(None));
    assert_eq!(started(&commands), []);
    assert_eq!(started(&rig.pass(ms(5))), firsts([2]));
    assert_eq!(started(&rig.returns(2, Verdict::Finished)), [suspect]);
}

#[test]
fn two_suspects_start_one_after_the_other() {
    let suspects = [Claim::new(1, 4), Claim::new(2, 4)];
    let (mut rig, commands) = Rig::with(config(), suspects.to_vec());
    assert_eq!(started(&commands), suspects[..1]);
    rig.on(Event::Due(None));
    let commands = rig.on(Event::Returned { claim: suspects[0], verdict: Verdict::Finished });
    assert_eq!(started(&commands), suspects[1..]);
}

#[test]
fn suspects_start_in_the_other_order_after_the_next_read() {
    for (reads, order) in [(4, [1, 2, 3]), (5, [3, 2, 1])] {
        let claims = (1..=3).map(|id| Claim::new(id, reads)).collect();
        let (mut rig, commands) = Rig::with(config(), claims);
        let mut all = started(&commands);
        rig.on(Event::Due(None));
        for _ in 0..2 {
            let last = all[all.len() - 1];
            all.extend(started(&rig.on(Event::Returned { claim: last, verdict: Verdict::Finished })));
        }
        assert_eq!(all, order.map(|id| Claim::new(id, reads)));
    }
}

#[test]
fn a_stuck_suspect_does_not_stop_the_queue() {
    let config = Config { timeout: Some(s(1)), ..config() };
    let (mut rig, commands) = Rig::with(config, vec![Claim::new(1, 4)]);
    assert_eq!(started(&commands), [Claim::new(1, 4)]);
    rig.on(Event::Due(None));
    assert_eq!(claimed(&rig.on(Event::Woken(Wake::Kicked))), None);
    assert_eq!(claimed(&rig.pass(s(6))), Some(7));
    assert_eq!(started(&rig.claimed(firsts([2]))), firsts([2]));
}

#[test]
fn an_answer_about_the_next_message_that_is_outdated_is_asked_for_once_more() {
    let (mut rig, _) = Rig::with(config(), vec![]);
    assert_eq!(claimed(&rig.on(Event::Woken(Wake::Kicked))), Some(8));
    rig.on(Event::Due(None));
    assert_eq!(rig.claimed(vec![]), [Command::LookDue]);
}

#[test]
fn a_batch_that_is_not_full_waits_for_more_messages() {
    let config = Config { concurrency: 2, batch: 3, linger: ms(5), ..config() };
    let (mut rig, commands) = Rig::with(config, firsts(1..=5));
    let batches = |commands: &[Command]| {
        commands.iter().filter(|c| matches!(c, Command::Start(_))).cloned().collect::<Vec<_>>()
    };
    assert_eq!(batches(&commands), [Command::Start(firsts(1..=3))]);
    assert_eq!(batches(&rig.pass(Duration::from_micros(4_999))), []);
    assert_eq!(batches(&rig.pass(Duration::from_micros(1))), [Command::Start(firsts(4..=5))]);
}

#[test]
fn a_batch_keeps_its_slot_until_all_of_its_messages_have_returned() {
    let config = Config { concurrency: 1, prefetch: 2, batch: 2, ..config() };
    let (mut rig, commands) = Rig::with(config, firsts(1..=4));
    assert_eq!(started(&commands), firsts(1..=2));
    assert_eq!(started(&rig.returns(1, Verdict::Finished)), []);
    assert_eq!(started(&rig.returns(2, Verdict::Finished)), firsts(3..=4));
}
