//! Running the cases.

use std::{
    marker::PhantomData,
    process::{ExitCode, exit},
    sync::{Arc, OnceLock, PoisonError, RwLock},
};

use libtest_mimic::{Arguments, Failed, Trial};

use super::{Backend, Failure, Outcome, QueueCase, Subject, World, add_all, child};
use crate::server::Server;

/// The cases, ready to be run against a back end.
pub(super) struct Trials<B> {
    server: SharedServer,
    trials: Vec<Trial>,
    backend: PhantomData<B>,
}

impl<B: Backend> Trials<B> {
    pub(super) fn on_pool(&mut self, name: &str, case: impl QueueCase + Send) {
        self.add("pool", name, move |world| {
            B::block_on(async {
                let queue = B::connect(world.url()).await?;
                case.run(&Subject::new(&queue, world)).await
            })
        });
    }

    pub(super) fn in_transaction(&mut self, name: &str, case: impl QueueCase + Send) {
        self.add("transaction", name, move |world| {
            B::block_on(async {
                let queue = B::connect(world.url()).await?;
                B::in_transaction(&queue, world, &case).await
            })
        });
    }

    pub(super) fn setup(&mut self, name: &str, case: impl FnOnce(&World<'_>) -> Outcome + Send + 'static) {
        self.add("setup", name, case);
    }

    fn add(&mut self, place: &str, name: &str, run: impl FnOnce(&World<'_>) -> Outcome + Send + 'static) {
        let server = self.server.clone();
        self.trials.push(Trial::test(format!("{place}::{name}"), move || {
            let world = server.make_world::<B>()?;
            run(&world).map_err(Failed::from)
        }));
    }
}

/// Runs all cases that the command line asks for, and says how it went.
///
/// The server is obtained when the first of them needs it, and stopped before this returns.
pub fn run<B: Backend>() -> ExitCode {
    if let Some(code) = child::run::<B>() {
        return code;
    }
    let server = SharedServer::default();
    server.drop_on_interrupt();
    let mut trials = Trials::<B> { server: server.clone(), trials: Vec::new(), backend: PhantomData };
    add_all(&mut trials);
    libtest_mimic::run(&Arguments::from_args(), trials.trials).exit_code()
}

/// The server of this process: dropped by the last of the trials.
#[derive(Clone, Default)]
struct SharedServer(Arc<Slot>);

#[derive(Default)]
struct Slot {
    server: OnceLock<Server>,
    /// Held for writing once the process is about to end, so that nothing is made any more that nobody would drop.
    ending: RwLock<()>,
}

impl SharedServer {
    fn make_world<B: Backend>(&self) -> Result<World<'_>, Failure> {
        let _not_ending = self.0.ending.read().unwrap_or_else(PoisonError::into_inner);
        let server = self.0.server.get_or_init(|| {
            Server::obtain().unwrap_or_else(|error| {
                // Once, and not once for each case.
                eprintln!("{error:?}");
                exit(1)
            })
        });
        World::new::<B>(server)
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
