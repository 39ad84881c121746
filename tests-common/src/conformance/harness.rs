//! Running the cases.

use std::{
    marker::PhantomData,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    process::{ExitCode, exit},
    sync::{Arc, Mutex, OnceLock, PoisonError, RwLock},
};

use libtest_mimic::{Arguments, Failed, Trial};
use pgmq_core::Version;

use super::{Backend, Builder, Failure, Outcome, Pooled, QueueCase, Subject, World, add_all, child, older};
use crate::{
    faults::{self, Tally},
    server::{Poolers, Server, ServerError, TlsLibrary, TlsServer},
};

/// The cases, ready to be run against a back end.
pub(crate) struct Trials<B> {
    server: SharedServer,
    trials: Vec<Trial>,
    /// What the trials of faults have counted.
    tallies: Arc<Mutex<Vec<Tally>>>,
    backend: PhantomData<B>,
}

impl<B: Backend> Trials<B> {
    pub(super) fn on_pool(&mut self, name: &str, case: impl QueueCase + Send) {
        self.add("pool", name, Way::Usual, move |world| {
            B::block_on(async {
                let queue = world.connect::<B>().await?;
                case.run(&Subject::new(&queue, world)).await
            })
        });
    }

    /// On a pool that keeps statements prepared, of a back end that does not do so unless it is told to.
    pub(super) fn on_prepared(&mut self, name: &str, case: impl QueueCase + Send) {
        if keeps_unless_told::<B>() {
            return;
        }
        self.add("prepared", name, Way::Direct, move |world| {
            B::block_on(async {
                let queue = B::builder().url(world.url()).prepared_statements(true).connect().await?;
                case.run(&Subject::new(&queue, world)).await
            })
        });
    }

    pub(super) fn in_transaction(&mut self, name: &str, case: impl QueueCase + Send) {
        self.add("transaction", name, Way::Usual, move |world| {
            B::block_on(async {
                let queue = world.connect::<B>().await?;
                B::in_transaction(&queue, world, &case).await
            })
        });
    }

    /// The same, where the pool keeps statements prepared and would not by itself.
    pub(super) fn in_prepared_transaction(&mut self, name: &str, case: impl QueueCase + Send) {
        if keeps_unless_told::<B>() {
            return;
        }
        self.add("prepared_transaction", name, Way::Direct, move |world| {
            B::block_on(async {
                let queue = B::builder().url(world.url()).prepared_statements(true).connect().await?;
                B::in_transaction(&queue, world, &case).await
            })
        });
    }

    pub(super) fn setup(&mut self, name: &str, case: impl FnOnce(&World<'_>) -> Outcome + Send + 'static) {
        self.add("setup", name, Way::Usual, case);
    }

    pub(super) fn direct(&mut self, name: &str, case: impl FnOnce(&World<'_>) -> Outcome + Send + 'static) {
        self.add("setup", name, Way::Direct, case);
    }

    pub(super) fn pooler(&mut self, name: &str, case: impl FnOnce(&World<'_>) -> Outcome + Send + 'static) {
        if Poolers::are_asked_for() {
            self.add("pooler", name, Way::Usual, case);
        }
    }

    pub(super) fn tls(&mut self, name: &str, case: impl FnOnce(&World<'_>) -> Outcome + Send + 'static) {
        if TlsLibrary::compiled_in().is_some() {
            self.add("tls", name, Way::Encrypted, case);
        }
    }

    pub(super) fn without_tls(
        &mut self,
        name: &str,
        case: impl FnOnce(&World<'_>) -> Outcome + Send + 'static,
    ) {
        if TlsLibrary::compiled_in().is_none() {
            self.add("setup", name, Way::Direct, case);
        }
    }

    /// Adds the trials of faults that can be run.
    pub(crate) fn faults(&mut self) {
        for name in faults::names::<B>().unwrap_or_else(|error| say_and_exit(&error)) {
            let tallies = Arc::clone(&self.tallies);
            self.trials.push(Trial::test(format!("faults::{name}"), move || {
                let tally = faults::run_in_child(name)?;
                tallies.lock().unwrap_or_else(PoisonError::into_inner).push(tally);
                Ok(())
            }));
        }
    }

    fn add(
        &mut self,
        place: &str,
        name: &str,
        way: Way,
        run: impl FnOnce(&World<'_>) -> Outcome + Send + 'static,
    ) {
        let server = self.server.clone();
        self.trials.push(Trial::test(format!("{place}::{name}"), move || {
            let world = server.make_world::<B>(way)?;
            run_on(world.server().pgmq_version(), || run(&world)).map_err(Failed::from)
        }));
    }
}

/// Whether a back end keeps statements prepared unless it is told not to.
fn keeps_unless_told<B: Backend>() -> bool {
    B::BEHIND_POOLERS != Pooled::AsItIs
}

/// The way from a queue to the server.
#[derive(Clone, Copy)]
enum Way {
    /// Through a pooler, where there are some and the back end can.
    Usual,
    /// Never through a pooler.
    Direct,
    /// To a server that speaks TLS.
    Encrypted,
}

/// Runs a case on this version of PGMQ. It may fail for what that one is known to lack, if that is what the error says.
fn run_on(installed: Version, case: impl FnOnce() -> Outcome) -> Outcome {
    let lacks = |text: &str| older::excuses(text, installed);
    match catch_unwind(AssertUnwindSafe(case)) {
        Ok(Err(failure)) if lacks(&failure.to_string()) => Ok(()),
        Ok(outcome) => outcome,
        // A case looks at errors, too, and then panics.
        Err(panic) => match panic.downcast_ref::<String>() {
            Some(text) if lacks(text) => Ok(()),
            _ => resume_unwind(panic),
        },
    }
}

/// Runs all cases that the command line asks for, and says how it went.
///
/// The server is obtained when the first of them needs it, and stopped before this returns.
pub fn run<B: Backend>() -> ExitCode {
    if let Some(code) = child::run::<B>().or_else(faults::run_child::<B>) {
        return code;
    }
    let server = SharedServer::default();
    server.drop_on_interrupt();
    let mut trials = Trials::<B> {
        server: server.clone(),
        trials: Vec::new(),
        tallies: Arc::default(),
        backend: PhantomData,
    };
    let tallies = Arc::clone(&trials.tallies);
    if faults::are_asked_for() {
        trials.faults();
    } else {
        add_all(&mut trials);
    }
    let conclusion = libtest_mimic::run(&Arguments::from_args(), trials.trials);
    if faults::are_asked_for() {
        faults::print(&tallies.lock().unwrap_or_else(PoisonError::into_inner));
    }
    conclusion.exit_code()
}

/// What was obtained. Without it no case can run, and that is said once, and not once for each case.
fn or_exit<T>(obtained: Result<T, ServerError>) -> T {
    obtained.unwrap_or_else(|error| say_and_exit(&format!("{error:?}")))
}

fn say_and_exit(error: &str) -> ! {
    eprintln!("{error}");
    exit(1)
}

/// The server of this process: dropped by the last of the trials.
#[derive(Clone, Default)]
struct SharedServer(Arc<Slot>);

#[derive(Default)]
struct Slot {
    /// First, as they have connections to the server.
    poolers: OnceLock<Option<Poolers>>,
    server: OnceLock<Server>,
    tls: OnceLock<TlsServer>,
    /// Held for writing once the process is about to end, so that nothing is made any more that nobody would drop.
    ending: RwLock<()>,
}

impl SharedServer {
    fn make_world<B: Backend>(&self, way: Way) -> Result<World<'_>, Failure> {
        let _not_ending = self.0.ending.read().unwrap_or_else(PoisonError::into_inner);
        if let Way::Encrypted = way {
            return World::on_tls::<B>(self.0.tls.get_or_init(|| or_exit(TlsServer::start())));
        }
        let server = self.0.server.get_or_init(|| or_exit(Server::obtain()));
        let Some(poolers) = self.0.poolers.get_or_init(|| or_exit(Poolers::obtain(server))) else {
            return World::new::<B>(server);
        };
        let route = match (way, B::BEHIND_POOLERS) {
            (Way::Direct | Way::Encrypted, _) => None,
            (Way::Usual, Pooled::No) => poolers.keeping.as_ref(),
            (Way::Usual, _) => Some(&poolers.plain),
        };
        World::among::<B>(server, poolers, route)
    }

    /// A server of our own goes with the process. One that others keep is left as it was found.
    fn drop_on_interrupt(&self) {
        let slot = Arc::downgrade(&self.0);
        let set = ctrlc::set_handler(move || {
            let Some(slot) = slot.upgrade() else { exit(130) };
            let _ending = slot.ending.write().unwrap_or_else(PoisonError::into_inner);
            // Within a run of many processes, whoever started it does this for all of them.
            if std::env::var_os("PGMQ_TEST_RUN").is_none()
                && let Some(server) = slot.server.get()
                && let Err(error) = server.drop_leftovers()
            {
                eprintln!("{error:?}");
            }
            exit(130);
        });
        if let Err(error) = set {
            eprintln!("cannot wait for Ctrl-C: {error}");
        }
    }
}
