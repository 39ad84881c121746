//! A machine with a server, a shell and handlers on a virtual clock. It checks the invariants after every
//! step.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use pgmq_core::Claim;

use crate::machine::Machine;
use crate::machine::command::{Line, Unfinished};
use crate::machine::config::Config;
use crate::machine::event::{Event, Fault, StopLimits, Verdict, Wake};
use crate::machine::tests::commands::Command;
use crate::machine::tests::server::Server;
use crate::machine::tests::shell::{Handler, Kept, Pending, Stage, claims_of};
use crate::machine::tests::weather::Weather;

/// The world of a machine.
pub(super) struct World {
    pub(super) machine: Machine,
    pub(super) server: Server,
    pub(super) now: Instant,
    pub(super) weather: Weather,
    pub(super) config: Config,
    pub(super) rng: fastrand::Rng,
    pub(super) steps: u64,
    pub(super) stopped: Option<Unfinished>,
    pub(super) is_paused: bool,
    /// The number of statements so far.
    pub(super) statements: u64,
    /// The number of messages of which the machine has said that their lease was lost.
    pub(super) losses: u64,
    /// The time by which the machine has to stop.
    pub(super) stop_by: Option<Instant>,
    pub(super) kept: BTreeMap<Claim, Kept>,
    pub(super) handlers: HashMap<Claim, Handler>,
    pub(super) pending: Vec<Pending>,
    pub(super) calls: u64,
    pub(super) drained: bool,
    /// `true` if a statement may be due that the shell could not send yet.
    pub(super) late: bool,
    /// The ids whose handlers were stuck.
    pub(super) let_go: BTreeSet<i64>,
}

impl World {
    /// Creates a world.
    pub(super) fn new(config: Config, weather: Weather, seed: u64, now: Instant) -> Self {
        Self {
            machine: Machine::new(config.clone(), now, seed),
            server: Server::default(),
            now,
            weather,
            config,
            rng: fastrand::Rng::with_seed(seed),
            steps: 0,
            stopped: None,
            is_paused: false,
            statements: 0,
            losses: 0,
            stop_by: None,
            kept: BTreeMap::new(),
            handlers: HashMap::new(),
            pending: Vec::new(),
            calls: 0,
            drained: false,
            late: false,
            let_go: BTreeSet::new(),
        }
    }

    /// Returns `true` with this chance in percent.
    pub(super) fn chance(&mut self, percent: u32) -> bool {
        self.rng.u32(0..100) < percent
    }

    pub(super) fn tell(&mut self, event: Event) {
        self.machine.on(self.now, event);
    }

    /// Goes on to the next thing that happens, no later than `until`.
    pub(super) fn step(&mut self, until: Instant) {
        self.steps += 1;
        self.poll();
        self.check();
        let mut next = until;
        let wake = self.machine.wake_at(self.now);
        if let Some(wake) = wake {
            assert!(wake > self.now, "the machine wants to wake in the past: {:?}", self.machine);
            next = next.min(wake);
        }
        if self.late {
            next = next.min(self.now + Duration::from_millis(self.rng.u64(1..10)));
        }
        for pending in &self.pending {
            next = next.min(pending.runs.unwrap_or(pending.answers));
        }
        for handler in self.handlers.values() {
            next = [handler.ends, handler.abandoned].into_iter().flatten().fold(next, Instant::min);
        }
        let next = next.max(self.now);
        let leap = match self.rng.u32(0..1000) < self.weather.leaps {
            true => self.config.vt.mul_f64(self.rng.f64() * 3.0),
            false => Duration::ZERO,
        };
        self.stop_by = self.stop_by.map(|at| at + leap);
        self.now = next + leap;
        // After a leap, the shell may poll before it hears of anything.
        if self.rng.bool() {
            self.poll();
        }
        self.run_server();
        self.run_handlers();
    }

    /// Runs and answers commands whose time has come.
    fn run_server(&mut self) {
        let now = self.now;
        let mut due: Vec<usize> = (0..self.pending.len()).collect();
        due.sort_by_key(|&at| self.pending[at].runs);
        for at in due {
            let Some(runs) = self.pending[at].runs.filter(|&runs| runs <= now) else { continue };
            self.pending[at].runs = None;
            let Pending { command, .. } = &self.pending[at];
            if self.server.is_missing {
                self.pending[at].fault = Some(Fault::Lasting);
                self.pending[at].is_missing = true;
                continue;
            }
            let answer = match command {
                Command::Claim { id, qty, vt } => {
                    Event::Claimed { id: *id, got: self.server.read(*qty, *vt, runs) }
                }
                Command::LookDue => Event::Due(self.server.next_due(runs)),
                Command::Extend { batch, claims, vt } => {
                    Event::Extended { batch: *batch, alive: self.server.extend(claims, *vt, runs) }
                }
                Command::Settle { batch, what } => {
                    Event::Settled { batch: *batch, hit: self.server.settle(what, runs) }
                }
                _ => unreachable!("not a statement"),
            };
            self.pending[at].answer = Some(answer);
        }
        let mut answered = Vec::new();
        let mut at = 0;
        while at < self.pending.len() {
            match self.pending[at].runs.is_none() && self.pending[at].answers <= now {
                true => answered.push(self.pending.swap_remove(at)),
                false => at += 1,
            }
        }
        answered.sort_by_key(|pending| pending.answers);
        for pending in answered {
            self.answer(pending);
        }
    }

    /// Answers a command.
    fn answer(&mut self, pending: Pending) {
        let Pending { command, asked, fault, is_missing, answer, .. } = pending;
        let names_another = matches!(&command, Command::Settle { what, .. } if what.names_another_queue());
        if is_missing && !names_another && self.weather.tells_missing {
            self.kept.values_mut().for_each(|kept| kept.is_gone = true);
            self.tell(Event::QueueMissing);
            self.poll();
        }
        let event = match (command, fault) {
            (Command::Claim { id, .. }, Some(fault)) => Event::ClaimFailed { id, fault },
            (Command::LookDue, Some(fault)) => Event::DueFailed(fault),
            (Command::Extend { batch, .. }, Some(_)) => Event::ExtendFailed { batch },
            (Command::Settle { batch, .. }, Some(fault)) => Event::SettleFailed { batch, fault },
            (Command::Settle { what, .. }, None) => {
                for claim in claims_of(&what) {
                    if self.stopped.is_none() {
                        self.kept.remove(&claim).expect("a settled message is kept");
                    }
                }
                answer.expect("it ran")
            }
            (Command::Extend { claims, vt, .. }, None) => {
                let Some(Event::Extended { alive, .. }) = &answer else {
                    panic!("{answer:?} to an extension")
                };
                for claim in claims.iter().filter(|claim| alive.contains(&claim.msg_id)) {
                    if let Some(kept) = self.kept.get_mut(claim) {
                        kept.lease = kept.lease.max(asked + vt);
                    }
                }
                answer.expect("it ran")
            }
            (Command::Claim { vt, .. }, None) => {
                let Some(Event::Claimed { id, mut got }) = answer else { panic!("{answer:?} to a claim") };
                for &claim in &got {
                    self.kept.entry(claim).or_insert(Kept {
                        since: self.now,
                        lease: asked + vt,
                        state: Stage::Ready,
                        is_cancelled: false,
                        is_lost: false,
                        is_stuck: false,
                        is_exhausted: false,
                        is_gone: false,
                    });
                }
                if !got.is_empty() && self.weather.drops > 0 && self.chance(5) {
                    got.push(got[0]);
                }
                Event::Claimed { id, got }
            }
            (_, None) => answer.expect("it ran"),
            _ => unreachable!("not a statement"),
        };
        self.tell(event);
    }

    /// Ends handlers whose time has come.
    fn run_handlers(&mut self) {
        let now = self.now;
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let due = self.handlers.iter().filter(|(_, h)| is_due(h.ends) || is_due(h.abandoned));
        let mut due: Vec<Claim> = due.map(|(&claim, _)| claim).collect();
        due.sort_unstable();
        for claim in due {
            let handler = &self.handlers[&claim];
            if is_due(handler.ends) {
                self.handlers.remove(&claim);
                let verdict = self.verdict();
                if let Some(kept) = self.kept.get_mut(&claim) {
                    kept.state = Stage::Returned(verdict);
                }
                self.tell(Event::Returned { claim, verdict });
            } else {
                let is_stopped = !handler.is_deaf;
                if is_stopped {
                    self.handlers.remove(&claim);
                    if let Some(kept) = self.kept.get_mut(&claim) {
                        kept.state = Stage::Stopped;
                    }
                } else if let Some(handler) = self.handlers.get_mut(&claim) {
                    handler.abandoned = None;
                }
                self.tell(Event::Abandoned { claim, is_stopped });
            }
        }
    }

    fn verdict(&mut self) -> Verdict {
        if self.chance(self.weather.good) {
            return if self.chance(80) { Verdict::Delete } else { Verdict::Archive };
        }
        let after = Duration::from_secs(self.rng.u64(0..4)).mul_f64(self.rng.f64());
        match self.rng.u32(0..6) {
            0 => Verdict::Hold(after),
            1 => Verdict::Resend(after),
            2 => Verdict::Bury,
            3 => Verdict::Forward,
            4 => Verdict::Finished,
            _ => Verdict::Retry(after),
        }
    }

    /// Makes all handlers that run end soon.
    pub(super) fn end_handlers(&mut self) {
        for handler in self.handlers.values_mut() {
            handler.ends = Some(self.now + Duration::from_millis(1));
        }
    }

    /// Stops the machine.
    pub(super) fn stop(&mut self, limits: StopLimits) {
        let by = self.now + limits.drain + limits.grace + limits.flush;
        self.stop_by = Some(self.stop_by.map_or(by, |first| first.min(by)));
        self.drained = true;
        self.tell(Event::Stop(limits));
    }

    /// Does something to the queue or the machine from outside.
    pub(super) fn disturb(&mut self) {
        let now = self.now;
        if self.rng.u32(0..1000) < self.weather.drops {
            self.server.recreate();
            self.server.is_missing = self.rng.bool();
        } else if self.server.is_missing && self.rng.bool() {
            self.server.is_missing = false;
        }
        if !self.server.is_missing {
            for _ in 0..self.rng.usize(0..12) {
                let delay = if self.chance(10) { self.rng.u64(0..3000) } else { 0 };
                self.server.send(now + Duration::from_millis(delay));
            }
            if self.chance(self.weather.others) {
                let vt = Duration::from_millis(self.rng.u64(0..1500));
                for claim in self.server.read(5, vt, now) {
                    if self.rng.bool() {
                        self.server.rows.remove(&claim.msg_id);
                    }
                }
            }
        }
        match self.rng.u32(0..7) {
            0 => self.tell(Event::Woken(Wake::Notified)),
            1 => self.tell(Event::Woken(Wake::Kicked)),
            2 => self.tell(Event::Woken(Wake::Reconnected)),
            3 => {
                let throttle = self.rng.bool().then(|| Duration::from_millis(self.rng.u64(0..500)));
                self.tell(Event::Notifies(throttle));
            }
            _ => {}
        }
        if self.chance(self.weather.pauses) {
            self.is_paused = self.rng.bool();
            self.tell(if self.is_paused { Event::Pause } else { Event::Resume });
        }
    }

    /// Takes all commands, and the statements that can be sent now.
    fn poll(&mut self) {
        let mut lines = vec![Line::Settlements, Line::Extensions, Line::Looks];
        lines.retain(|_| self.weather.busy == 0 || !self.chance(self.weather.busy));
        self.late = lines.len() < 3;
        for commands in 0.. {
            assert!(commands < 5_000, "poll gives commands forever");
            let command = self.machine.poll(self.now).map(Command::from);
            let Some(command) = command.or_else(|| lines.iter().find_map(|&line| self.statement(line)))
            else {
                break;
            };
            assert!(self.stopped.is_none(), "{command:?} comes after Stopped");
            self.take(command);
        }
    }

    fn statement(&mut self, line: Line) -> Option<Command> {
        let (machine, now) = (&mut self.machine, self.now);
        let is_wanted = machine.wants(line, now);
        let statement = match line {
            Line::Looks => machine.look(now).map(Command::from),
            Line::Settlements => machine.settlement(now).map(Command::from),
            Line::Extensions => machine.extension(now).map(Command::from),
        };
        assert!(is_wanted || statement.is_none(), "{statement:?} was not wanted");
        statement
    }
}
