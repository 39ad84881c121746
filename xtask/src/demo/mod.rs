//! `cargo xtask demo`: shows each back end at work.
//!
//! [`story`] is what happens, written once over what all back ends have in common. For each back end there is a file with
//! what an application does by its driver: connecting, listening, and transactions of its own.

mod blocking;
mod diesel;
mod diesel_async;
mod page;
mod postgres;
mod sqlx;
mod story;
mod tokio;

use std::ffi::OsString;
use std::process::ExitCode;
use std::thread;

use anyhow::{Context, Result, anyhow, bail};
use pgmq_test_suite::poll_once;

use self::blocking::Blocking;
use self::page::Page;
use crate::postgres::Postgres;
use crate::terminal::{Table, say};
use crate::workspace::{BACKENDS, chosen};

pub(crate) fn run(arguments: Vec<OsString>) -> Result<ExitCode> {
    let backends = chosen(&names(arguments)?, &BACKENDS)?;
    let server = Postgres::obtain()?;
    let mut pages = Vec::new();
    for backend in backends {
        let mut page = Page::new(backend);
        let url = server.create_database()?;
        // A thread for each, as a client that blocks must not run inside an async runtime.
        let told = thread::scope(|scope| scope.spawn(|| tell(backend, &url, &mut page)).join());
        page.end(told.unwrap_or_else(|_| Err(anyhow!("it panicked"))));
        pages.push(page);
    }
    drop(server);
    Ok(conclude(&pages))
}

/// Tells the story of a back end, as an application of its sort would run it.
fn tell(backend: &str, url: &str, page: &mut Page) -> Result<()> {
    match backend {
        "postgres" => poll_once(story::tell::<Blocking<pgmq_postgres::PGMQueue>>(url, page)),
        "tokio" => tokio_runtime()?.block_on(story::tell::<pgmq_tokio::PGMQueue>(url, page)),
        "diesel" => poll_once(story::tell::<Blocking<pgmq_diesel::PGMQueue>>(url, page)),
        "diesel-async" => tokio_runtime()?.block_on(story::tell::<pgmq_diesel_async::PGMQueue>(url, page)),
        "sqlx" => tokio_runtime()?.block_on(story::tell::<pgmq_sqlx::PGMQueue>(url, page)),
        _ => bail!("nobody has written how this back end connects: add it to xtask/src/demo"),
    }
}

fn tokio_runtime() -> Result<::tokio::runtime::Runtime> {
    ::tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start an async runtime")
}

/// Prints the table of back ends and steps.
fn conclude(pages: &[Page]) -> ExitCode {
    // They tell the same story, some perhaps not to the end.
    let longest = pages.iter().map(Page::steps).max_by_key(|steps| steps.len()).unwrap_or_default();
    let mut table = Table::new(1);
    table.row(["step"].into_iter().chain(pages.iter().map(Page::backend)));
    for (number, (step, _)) in longest.iter().enumerate() {
        let marks = pages.iter().map(|page| match page.steps().get(number) {
            Some((_, true)) => "✓",
            Some((_, false)) => "✗",
            None => "-",
        });
        table.row([*step].into_iter().chain(marks));
    }
    table.print();
    say("");
    let failed: Vec<_> = pages.iter().filter(|page| page.failed()).map(Page::backend).collect();
    match failed.as_slice() {
        [] => say(format!("Everything worked, on {}.", counted(pages.len(), "back end"))),
        failed => say(format!("Something failed on {}: see above.", failed.join(", "))),
    }
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn names(arguments: Vec<OsString>) -> Result<Vec<String>> {
    let mut parser = lexopt::Parser::from_args(arguments);
    let mut names = Vec::new();
    while let Some(argument) = parser.next()? {
        match argument {
            lexopt::Arg::Value(name) => names.push(name.to_string_lossy().into_owned()),
            other => return Err(other.unexpected()).context("usage: cargo xtask demo [BACKEND ...]"),
        }
    }
    Ok(names)
}
