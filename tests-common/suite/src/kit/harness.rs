//! The harness: turns cases into tests, and provides their server.

use std::{
    env,
    marker::PhantomData,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    process::exit,
    sync::{Arc, OnceLock, PoisonError, RwLock},
};

use libtest_mimic::{Arguments, Conclusion, Failed, Trial};
use pgmq_core::Version;
use pgmq_test_server::{Poolers, Server, ServerError, TlsLibrary, TlsServer};

use crate::kit::{
    backend::{Backend, Builder, Pooled},
    case::QueueCase,
    context::{QueueUnderTest, TestContext},
    failure::{Failure, Outcome},
    older,
};

/// The tests of a back end. Their names are `group::place::case`.
pub(crate) struct Trials<B> {
    server: SharedServer,
    group: &'static str,
    trials: Vec<Trial>,
    backend: PhantomData<B>,
}

impl<B: Backend> Trials<B> {
    /// Creates an empty list. The server is obtained when the first test needs it.
    pub(crate) fn new() -> Self {
        let server = SharedServer::default();
        server.drop_on_interrupt();
        Self { server, group: "", trials: Vec::new(), backend: PhantomData }
    }

    /// Sets the group of the tests that are added next.
    pub(crate) fn begin_group(&mut self, group: &'static str) {
        self.group = group;
    }

    /// Adds a case on a pool.
    pub(crate) fn on_pool(&mut self, name: &str, case: impl QueueCase + Send) {
        self.add("pool", name, Route::Default, move |context| {
            B::block_on(async {
                let queue = context.connect::<B>().await?;
                case.run(&QueueUnderTest::new(&queue, context)).await
            })
        });
    }

    /// Adds a case on a pool that keeps statements prepared, unless that is the back end's default.
    pub(crate) fn on_prepared(&mut self, name: &str, case: impl QueueCase + Send) {
        if prepares_by_default::<B>() {
            return;
        }
        self.add("prepared", name, Route::Direct, move |context| {
            B::block_on(async {
                let queue = B::builder().url(context.url()).prepared_statements(true).connect().await?;
                case.run(&QueueUnderTest::new(&queue, context)).await
            })
        });
    }

    /// Adds a case inside a transaction.
    pub(crate) fn in_transaction(&mut self, name: &str, case: impl QueueCase + Send) {
        self.add("transaction", name, Route::Default, move |context| {
            B::block_on(async {
                let queue = context.connect::<B>().await?;
                B::in_transaction(&queue, context, &case).await
            })
        });
    }

    /// Adds a case inside a transaction on a pool that keeps statements prepared, unless that is the back
    /// end's default.
    pub(crate) fn in_prepared_transaction(&mut self, name: &str, case: impl QueueCase + Send) {
        if prepares_by_default::<B>() {
            return;
        }
        self.add("prepared_transaction", name, Route::Direct, move |context| {
            B::block_on(async {
                let queue = B::builder().url(context.url()).prepared_statements(true).connect().await?;
                B::in_transaction(&queue, context, &case).await
            })
        });
    }

    /// Adds a case that connects on its own.
    pub(crate) fn standalone(
        &mut self,
        name: &str,
        case: impl FnOnce(&TestContext<'_>) -> Outcome + Send + 'static,
    ) {
        self.add("standalone", name, Route::Default, case);
    }

    /// Adds a case that connects on its own, never through a pooler.
    pub(crate) fn direct(
        &mut self,
        name: &str,
        case: impl FnOnce(&TestContext<'_>) -> Outcome + Send + 'static,
    ) {
        self.add("direct", name, Route::Direct, case);
    }

    /// Adds a case about poolers, if there are any.
    pub(crate) fn pooler(
        &mut self,
        name: &str,
        case: impl FnOnce(&TestContext<'_>) -> Outcome + Send + 'static,
    ) {
        if Poolers::are_asked_for() {
            self.add("pooler", name, Route::Default, case);
        }
    }

    /// Adds a case about TLS, if it is compiled in.
    pub(crate) fn tls(
        &mut self,
        name: &str,
        case: impl FnOnce(&TestContext<'_>) -> Outcome + Send + 'static,
    ) {
        if TlsLibrary::compiled_in().is_some() {
            self.add("tls", name, Route::Encrypted, case);
        }
    }

    /// Adds a case about missing TLS, unless it is compiled in.
    pub(crate) fn without_tls(
        &mut self,
        name: &str,
        case: impl FnOnce(&TestContext<'_>) -> Outcome + Send + 'static,
    ) {
        if TlsLibrary::compiled_in().is_none() {
            self.add("without_tls", name, Route::Direct, case);
        }
    }

    /// Adds a test that has its own server, with the name `group::name`.
    pub(crate) fn isolated(&mut self, name: &str, run: impl FnOnce() -> Result<(), String> + Send + 'static) {
        let name = format!("{}::{name}", self.group);
        self.trials.push(Trial::test(name, move || run().map_err(Failed::from)));
    }

    fn add(
        &mut self,
        place: &str,
        name: &str,
        route: Route,
        run: impl FnOnce(&TestContext<'_>) -> Outcome + Send + 'static,
    ) {
        let server = self.server.clone();
        let name = format!("{}::{place}::{name}", self.group);
        self.trials.push(Trial::test(name, move || {
            let context = server.create_context::<B>(route)?;
            run_on(context.server().pgmq_version(), || run(&context)).map_err(Failed::from)
        }));
    }

    /// Runs the tests that the command line selects. The server is stopped before this returns.
    pub(crate) fn run(self) -> Conclusion {
        libtest_mimic::run(&Arguments::from_args(), self.trials)
    }
}

/// Returns `true` if a back end keeps statements prepared by default.
fn prepares_by_default<B: Backend>() -> bool {
    B::BEHIND_POOLERS != Pooled::AsItIs
}

/// The route from a queue to the server.
#[derive(Clone, Copy)]
enum Route {
    /// Through a pooler, if there are poolers and the back end supports one of them.
    Default,
    /// Never through a pooler.
    Direct,
    /// To a server that speaks TLS.
    Encrypted,
}

/// Runs a case on a version of PGMQ. The case may fail because of an operation that the version is known to
/// lack.
fn run_on(installed: Version, case: impl FnOnce() -> Outcome) -> Outcome {
    let lacks = |text: &str| older::excuses(text, installed);
    match catch_unwind(AssertUnwindSafe(case)) {
        Ok(Err(failure)) if lacks(&failure.to_string()) => Ok(()),
        Ok(outcome) => outcome,
        // An assertion on an error panics with the error's text.
        Err(panic) => match panic.downcast_ref::<String>() {
            Some(text) if lacks(text) => Ok(()),
            _ => resume_unwind(panic),
        },
    }
}

/// Returns the obtained value, or exits: without a server no test can run, and one message is enough.
fn or_exit<T>(obtained: Result<T, ServerError>) -> T {
    obtained.unwrap_or_else(|error| print_and_exit(&format!("{error:?}")))
}

/// Prints an error and exits.
pub(crate) fn print_and_exit(error: &str) -> ! {
    eprintln!("{error}");
    exit(1)
}

/// The server of this process, shared by all tests.
#[derive(Clone, Default)]
struct SharedServer(Arc<Slot>);

#[derive(Default)]
struct Slot {
    /// Declared and dropped before the server, since the poolers have connections to it.
    poolers: OnceLock<Option<Poolers>>,
    server: OnceLock<Server>,
    tls: OnceLock<TlsServer>,
    /// Locked for writing once the process is about to end, so that no database is created that would be left
    /// behind.
    ending: RwLock<()>,
}

impl SharedServer {
    fn create_context<B: Backend>(&self, route: Route) -> Result<TestContext<'_>, Failure> {
        let _not_ending = self.0.ending.read().unwrap_or_else(PoisonError::into_inner);
        if let Route::Encrypted = route {
            let tls = self.0.tls.get_or_init(|| or_exit(TlsServer::start()));
            return Ok(TestContext::new::<B>(tls.server())?.with_tls(tls));
        }
        let server = self.0.server.get_or_init(|| or_exit(Server::obtain()));
        let context = TestContext::new::<B>(server)?;
        let Some(poolers) = self.0.poolers.get_or_init(|| or_exit(Poolers::obtain(server))) else {
            return Ok(context);
        };
        let pooler = match (route, B::BEHIND_POOLERS) {
            (Route::Direct | Route::Encrypted, _) => None,
            (Route::Default, Pooled::No) => poolers.keeping.as_ref(),
            (Route::Default, _) => Some(&poolers.plain),
        };
        context.with_poolers(poolers, pooler)
    }

    /// Cleans up on Ctrl-C. A server that was started here ends with the process, and one that was given by
    /// URL is left unchanged.
    fn drop_on_interrupt(&self) {
        let slot = Arc::downgrade(&self.0);
        let set = ctrlc::set_handler(move || {
            let Some(slot) = slot.upgrade() else { exit(130) };
            let _ending = slot.ending.write().unwrap_or_else(PoisonError::into_inner);
            // In a run of several processes, the parent drops the databases of all.
            if env::var_os("PGMQ_TEST_RUN").is_none()
                && let Some(server) = slot.server.get()
                && let Err(error) = server.drop_leftovers()
            {
                eprintln!("{error:?}");
            }
            exit(130);
        });
        if let Err(error) = set {
            eprintln!("cannot handle Ctrl-C: {error}");
        }
    }
}
