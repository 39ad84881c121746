//! The Postgres of a command, which is gone when the command ends, however it ends.

use std::io::{BufRead, BufReader, pipe};
use std::process::{Child, Command, ExitStatus, Stdio, exit};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::{Context, Result};
use tests_common::server::{Database, Poolers, Server};

/// A Postgres for as long as a command runs.
///
/// When the command is interrupted, its child process is ended and the server is tidied up before this process exits. A
/// process that is killed leaves nothing behind either; see [`tests_common::server`].
pub(crate) struct Postgres {
    held: Arc<Mutex<Held>>,
}

/// Where a child process writes its errors.
#[derive(Clone, Copy)]
pub(crate) enum Errors {
    /// To the terminal, as they come.
    Shown,
    /// To the lines that are handed on, in their order.
    AmongTheLines,
}

/// What has to go at the end. Databases first, as a server runs for as long as it has some.
#[derive(Default)]
struct Held {
    databases: Vec<Database>,
    poolers: Option<Poolers>,
    server: Option<Server>,
    child: Option<Child>,
    is_interrupted: bool,
}

impl Postgres {
    /// Finds or starts a server, and makes the template that databases are cloned from.
    pub(crate) fn obtain() -> Result<Self> {
        let postgres = Self { held: Arc::default() };
        let held = Arc::clone(&postgres.held);
        ctrlc::set_handler(move || end(&held)).context("cannot wait for Ctrl-C")?;
        let server = Server::obtain()?;
        // An interruption waits for the template, and then drops it.
        postgres.lock().server.insert(server).template()?;
        Ok(postgres)
    }

    /// Puts poolers before it for the tests of other processes, if they are asked for.
    pub(crate) fn start_poolers(&self) -> Result<()> {
        let mut held = self.lock();
        let poolers = Poolers::obtain(held.server()?)?;
        held.poolers = poolers;
        Ok(())
    }

    /// Creates a database with PGMQ in it, and returns its URL.
    pub(crate) fn create_database(&self) -> Result<String> {
        let mut held = self.lock();
        let database = held.server()?.create_database()?;
        let url = database.url().to_owned();
        held.databases.push(database);
        Ok(url)
    }

    /// The variables by which the tests of other processes find the server, the template and the poolers.
    pub(crate) fn variables(&self) -> Result<Vec<(&'static str, String)>> {
        let held = self.lock();
        let server = held.server()?;
        let mut variables = vec![
            ("PGMQ_TEST_DATABASE_URL", server.url().to_owned()),
            ("PGMQ_TEST_TEMPLATE", server.template()?.to_owned()),
            ("PGMQ_TEST_RUN", server.run().to_owned()),
        ];
        variables.extend(held.poolers.iter().flat_map(Poolers::variables));
        Ok(variables)
    }

    /// Runs a child process to its end, and hands on each line that it writes.
    pub(crate) fn run(
        &self,
        mut command: Command,
        errors: Errors,
        mut line: impl FnMut(&str),
    ) -> Result<ExitStatus> {
        let program = command.get_program().to_string_lossy().into_owned();
        let failed = || format!("cannot run {program}");
        let (reader, writer) = pipe()?;
        if matches!(errors, Errors::AmongTheLines) {
            command.stderr(writer.try_clone()?);
        }
        command.stdin(Stdio::null()).stdout(writer);
        {
            // An interruption either finds it held, or comes first, and then it is not started any more.
            let mut held = self.lock();
            held.child = Some(command.spawn().with_context(failed)?);
        }
        // It holds the other end of the pipe, which is to end with the child.
        drop(command);
        for text in BufReader::new(reader).split(b'\n') {
            line(String::from_utf8_lossy(&text?).trim_end());
        }
        let mut child = self.lock().child.take().with_context(failed)?;
        child.wait().with_context(failed)
    }

    /// Locks what is held. After an interruption this never returns: the process is about to exit.
    fn lock(&self) -> MutexGuard<'_, Held> {
        loop {
            let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            if !held.is_interrupted {
                return held;
            }
            drop(held);
            thread::park();
        }
    }
}

impl Held {
    fn server(&self) -> Result<&Server> {
        self.server.as_ref().context("there is no server yet")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let mut held = self.lock();
        held.databases.clear();
        held.poolers = None;
        held.server = None;
    }
}

/// Ends what is held, and then this process, as an interruption does.
fn end(held: &Mutex<Held>) {
    let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
    held.is_interrupted = true;
    if let Some(mut child) = held.child.take() {
        // It may have ended by itself: Ctrl-C in a terminal reaches it as well.
        let _ = child.kill();
        let _ = child.wait();
    }
    held.databases.clear();
    held.poolers = None;
    if let Some(server) = held.server.take()
        && let Err(error) = server.drop_leftovers()
    {
        eprintln!("{error:?}");
    }
    eprintln!("\ninterrupted");
    exit(130);
}
