//! The commands of a machine, each of which has to be allowed, and the checks between them.

use std::collections::BTreeSet;
use std::time::Duration;

use pgmq_core::Claim;

use crate::machine::command::{CancelReason, Notice, Settlement, Unfinished};
use crate::machine::event::{Event, Fault, Verdict};
use crate::machine::tests::commands::Command;
use crate::machine::tests::shell::{Handler, Kept, Pending, Stage, claims_of, holds};
use crate::machine::tests::world::World;

impl World {
    /// Takes a command, which has to be allowed.
    pub(super) fn take(&mut self, command: Command) {
        let now = self.now;
        match &command {
            Command::Start(claims) => {
                assert!(!self.is_paused && !self.drained, "a start in the wrong phase");
                assert!(!claims.is_empty() && claims.len() <= self.config.batch);
                self.calls += 1;
                let call = self.calls;
                for &claim in claims {
                    let is_same = |other: &&Claim| other.msg_id == claim.msg_id;
                    assert!(!self.handlers.keys().any(|other| is_same(&other)), "two handlers of one id");
                    let suspects = |c: &Claim| c.read_ct > self.config.suspect_after;
                    let kept = self.kept.get_mut(&claim).expect("a message that starts is kept");
                    assert_eq!(kept.state, Stage::Ready, "a message starts once");
                    assert!(claim.read_ct <= self.config.max_reads, "read too often to start");
                    assert!(kept.lease > now + self.config.vt / 3, "a start with a lease that ends");
                    kept.state = Stage::Running { call };
                    let others = || self.kept.iter().filter(|(other, _)| **other != claim);
                    let runs = |k: &Kept| matches!(k.state, Stage::Running { .. }) && !k.is_stuck;
                    if suspects(&claim) {
                        assert!(!others().any(|(_, k)| runs(k)), "a suspect does not run alone");
                    } else {
                        assert!(!others().any(|(c, k)| runs(k) && suspects(c)), "a start next to a suspect");
                    }
                    let handler = self.handler();
                    self.handlers.insert(claim, handler);
                    if self.weather.own_timeouts > 0 && self.chance(self.weather.own_timeouts) {
                        let timeout = Duration::from_millis(self.rng.u64(0..3000));
                        self.tell(Event::Timeout { claim, timeout });
                    }
                }
                let calls: BTreeSet<u64> = self
                    .kept
                    .values()
                    .filter_map(|kept| match kept.state {
                        Stage::Running { call } => Some(call),
                        _ => None,
                    })
                    .collect();
                assert!(calls.len() <= self.config.concurrency, "too many handlers run");
            }
            Command::Cancel { claim, why } => {
                let kept = self.kept.get_mut(claim).expect("a cancelled message is kept");
                assert!(matches!(kept.state, Stage::Running { .. }) && !kept.is_cancelled);
                kept.is_cancelled = true;
                kept.is_lost |= *why == CancelReason::LeaseLost;
                let wait = Duration::from_millis(self.rng.u64(0..200));
                let handler = self.handlers.get_mut(claim).expect("its handler runs");
                if !handler.is_deaf {
                    handler.ends = Some(handler.ends.map_or(now + wait, |at| at.min(now + wait)));
                }
            }
            Command::Drop(claim) => {
                let kept = self.kept.remove(claim).expect("a dropped message is kept");
                assert!(!matches!(kept.state, Stage::Running { .. }), "a message that runs is dropped");
            }
            Command::Abandon(claim) => {
                let wait = Duration::from_millis(self.rng.u64(0..50));
                self.handlers.get_mut(claim).expect("its handler runs").abandoned = Some(now + wait);
            }
            Command::Tell(notice) => self.notice(*notice),
            Command::Stopped(unfinished) => self.end(unfinished.clone()),
            Command::Claim { qty, .. } => {
                assert!(!self.is_paused && !self.drained, "a claim in the wrong phase");
                assert!(*qty > 0 && *qty <= self.config.max_claim);
                let asked = self.pending.iter().map(|pending| match pending.command {
                    Command::Claim { qty, .. } => qty,
                    _ => 0,
                });
                let all = self.kept.len() + qty + asked.sum::<usize>();
                assert!(all <= self.config.max_in_flight, "a claim above the limit");
                self.send(command, |c| matches!(c, Command::Claim { .. }), 2);
            }
            Command::LookDue => self.send(command, |c| *c == Command::LookDue, 1),
            Command::Extend { claims, .. } => {
                for claim in claims {
                    let kept = &self.kept[claim];
                    assert!(!kept.is_lost, "a lost message is extended");
                    let undoes = |p: &Pending| holds(&p.command, *claim) && p.asked >= kept.since;
                    assert!(!self.pending.iter().any(undoes), "a Hold may be undone");
                }
                self.send(command, |c| matches!(c, Command::Extend { .. }), 1);
            }
            Command::Settle { what, .. } => {
                self.check_settlement(what);
                self.send(command, |c| matches!(c, Command::Settle { .. }), 2);
            }
        }
    }

    /// Checks that messages may be settled so.
    fn check_settlement(&self, what: &Settlement) {
        let claims = claims_of(what);
        assert!(!claims.is_empty() && claims.len() <= self.config.max_settle);
        let ids: BTreeSet<i64> = claims.iter().map(|claim| claim.msg_id).collect();
        assert!(matches!(what, Settlement::Hold(_)) || ids.len() == claims.len(), "an id twice in {what:?}");
        for claim in claims {
            let kept = self.kept.get(&claim).unwrap_or_else(|| panic!("{claim:?} of {what:?} is not kept"));
            assert!(!kept.is_gone, "{claim:?} of a queue that was missing becomes {what:?}");
            let is_right = match (what, kept.state) {
                (_, Stage::Running { .. }) => false,
                (Settlement::Delete(_), Stage::Returned(verdict)) => verdict == Verdict::Delete,
                (Settlement::Archive(_), Stage::Returned(verdict)) => verdict == Verdict::Archive,
                // The earlier claim of the message was finished.
                (Settlement::Delete(_) | Settlement::Archive(_), stage) => stage == Stage::Ready,
                (Settlement::Hold(_), Stage::Returned(verdict)) => match verdict {
                    Verdict::Retry(_) => claim.read_ct < self.config.max_reads,
                    verdict => matches!(verdict, Verdict::Hold(_)),
                },
                (Settlement::Hold(_), _) => true,
                (Settlement::Bury(_), Stage::Returned(Verdict::Bury)) => true,
                (Settlement::Bury(_), _) => kept.is_exhausted,
                (Settlement::Resend { .. }, stage) => matches!(stage, Stage::Returned(Verdict::Resend(_))),
                (Settlement::Forward(_), stage) => stage == Stage::Returned(Verdict::Forward),
            };
            assert!(is_right, "{kept:?} becomes {what:?}");
            if !matches!(what, Settlement::Delete(_) | Settlement::Archive(_)) {
                assert!(!kept.is_lost && kept.lease > self.now, "a lost message becomes {what:?}");
            }
            if matches!(what, Settlement::Hold(_)) {
                let extends =
                    |c: &Command| matches!(c, Command::Extend { claims, .. } if claims.contains(&claim));
                // The same claim may come again after the queue was recreated.
                let undoes = |p: &Pending| extends(&p.command) && p.asked >= kept.since;
                assert!(!self.pending.iter().any(undoes), "a Hold may be undone");
            }
        }
    }

    /// Takes a notice.
    fn notice(&mut self, notice: Notice) {
        match notice {
            Notice::Lost(claim) => {
                if let Some(kept) = self.kept.get_mut(&claim) {
                    // Otherwise it was dropped already, or is dropped next, and the claim may have come
                    // again.
                    kept.is_lost |= matches!(kept.state, Stage::Running { .. });
                    // The lease of a stuck handler is let go, and the message may come again.
                    self.let_go.extend(kept.is_stuck.then_some(claim.msg_id));
                }
                self.losses += u64::from(!self.let_go.contains(&claim.msg_id));
            }
            Notice::Stuck(claim) => self.kept.get_mut(&claim).expect("it is kept").is_stuck = true,
            Notice::Exhausted(claim) => self.kept.get_mut(&claim).expect("it is kept").is_exhausted = true,
            Notice::AlreadyGone(_) | Notice::NotSettled(_) | Notice::Refused | Notice::Recovered => {}
        }
    }

    /// Sends a statement, of which at most this number may be in flight.
    fn send(&mut self, command: Command, alike: impl Fn(&Command) -> bool, most: usize) {
        self.statements += 1;
        assert!(self.pending.iter().filter(|p| alike(&p.command)).count() < most, "too many in flight");
        let settles = matches!(command, Command::Settle { .. });
        let is_slow =
            self.chance(self.weather.stalled) || settles && self.chance(self.weather.slow_settlements);
        let limit = if is_slow { 1_500 } else { 8 };
        let runs = self.now + Duration::from_micros(self.rng.u64(0..limit * 1_000));
        let answers = runs + Duration::from_micros(self.rng.u64(0..limit * 1_000));
        let kind = if self.chance(self.weather.lasting) { Fault::Lasting } else { Fault::Transient };
        let is_refused = self.chance(self.weather.refused);
        let is_lost = self.chance(self.weather.lost);
        self.pending.push(Pending {
            command,
            asked: self.now,
            runs: (!is_refused).then_some(runs),
            answers,
            fault: (is_refused || is_lost).then_some(kind),
            is_missing: false,
            answer: None,
        });
    }

    fn handler(&mut self) -> Handler {
        let limit = if self.chance(self.weather.slow) { 5_000_000 } else { 10_000 };
        let ends = self.now + Duration::from_micros(self.rng.u64(0..limit));
        let is_endless = self.chance(self.weather.endless);
        Handler {
            ends: (!is_endless).then_some(ends),
            is_deaf: self.chance(self.weather.deaf),
            abandoned: None,
        }
    }

    /// Checks the books at the end.
    fn end(&mut self, unfinished: Unfinished) {
        let running = |stage: Stage| matches!(stage, Stage::Running { .. });
        let (runs, rest): (Vec<_>, Vec<_>) = self.kept.iter().partition(|(_, kept)| running(kept.state));
        let claims = |kept: Vec<(&Claim, &Kept)>| kept.into_iter().map(|(&c, _)| c).collect::<BTreeSet<_>>();
        assert_eq!(claims(runs), unfinished.running.iter().copied().collect());
        assert_eq!(claims(rest), unfinished.unsettled.iter().copied().collect());
        self.stopped = Some(unfinished);
    }

    /// Checks what holds whenever the machine waits.
    pub(super) fn check(&self) {
        if let Some(by) = self.stop_by.filter(|_| self.stopped.is_none()) {
            assert!(self.now <= by, "the machine does not stop: {:?}", self.machine.snapshot());
        }
        if self.stopped.is_some() {
            assert_eq!(self.machine.wake_at(self.now), None);
            return;
        }
        let snapshot = self.machine.snapshot();
        let total = snapshot.ready + snapshot.running + snapshot.done + snapshot.settling;
        assert_eq!(total, self.kept.len(), "the books of the shell differ from those of the machine");
        assert!(total <= self.config.max_in_flight);
        for (claim, kept) in &self.kept {
            let is_over = kept.lease <= self.now;
            match kept.state {
                Stage::Running { .. } => {
                    assert!(!is_over || kept.is_cancelled, "{claim:?} runs without a lease");
                }
                Stage::Ready => {
                    assert!(!is_over || self.is_settling(*claim), "{claim:?} waits without a lease");
                }
                Stage::Returned(_) | Stage::Stopped => {}
            }
        }
    }

    /// Returns `true` if a settlement of the message is in flight or is to be repeated.
    fn is_settling(&self, claim: Claim) -> bool {
        self.pending.iter().any(|p| match &p.command {
            Command::Settle { what, .. } => claims_of(what).contains(&claim),
            _ => false,
        }) || self.machine.lease_left(claim, self.now).is_none()
    }

    /// Checks that every message of the machine is hidden from others, as it must be while the server
    /// answers.
    pub(super) fn check_leases(&self) {
        for (claim, kept) in &self.kept {
            let is_let_go = kept.is_stuck && !self.config.keeps_stuck;
            if is_let_go || self.pending.iter().any(|p| holds(&p.command, *claim)) {
                continue;
            }
            let row = self.server.rows.get(&claim.msg_id);
            if let Some(row) = row.filter(|row| row.reads == claim.read_ct) {
                assert!(row.vt > self.now, "{claim:?} is visible while it is {kept:?}");
            }
        }
    }
}
