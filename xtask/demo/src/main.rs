//! `cargo xtask demo`: each back end at work.
//!
//! [`story`] is the sequence of steps, written once for all back ends, and [`worker`] its second half.
//! Each back end has a file with the parts that depend on its driver: connecting, listening, and custom
//! transactions. [`employer`] has the workers, on tasks and on threads.

mod application;
mod blocking;
mod diesel;
mod diesel_async;
mod employer;
mod page;
mod postgres;
mod server;
mod shop;
mod sqlx;
mod story;
// Shared with `cargo xtask`, which prints the same tables.
#[allow(dead_code, reason = "the demo needs only a part of it")]
#[path = "../../src/terminal.rs"]
mod terminal;
mod tokio;
mod worker;

use std::env;
use std::process::ExitCode;
use std::thread;

use anyhow::{Context, Result, anyhow, bail};

use self::blocking::{Blocking, poll_once};
use self::page::Page;
use self::server::DemoServer;
use self::terminal::{Table, red, say, with_causes};

/// A back end by name, and the function that runs the story on it.
type Demo = (&'static str, fn(url: &str, page: &mut Page) -> Result<()>);

const DEMOS: [Demo; 5] = [
    ("postgres", |url, page| poll_once(story::tell::<Blocking<pgmq_postgres::PGMQueue>>(url, page))),
    ("tokio", |url, page| tokio_runtime()?.block_on(story::tell::<pgmq_tokio::PGMQueue>(url, page))),
    ("diesel", |url, page| poll_once(story::tell::<Blocking<pgmq_diesel::PGMQueue>>(url, page))),
    ("diesel-async", |url, page| {
        tokio_runtime()?.block_on(story::tell::<pgmq_diesel_async::PGMQueue>(url, page))
    }),
    ("sqlx", |url, page| tokio_runtime()?.block_on(story::tell::<pgmq_sqlx::PGMQueue>(url, page))),
];

fn main() -> ExitCode {
    let names: Vec<_> = env::args().skip(1).collect();
    match run(&names) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{}: {}", red("error"), with_causes(&error));
            ExitCode::FAILURE
        }
    }
}

/// Runs the demos of these back ends, or of all.
fn run(names: &[String]) -> Result<ExitCode> {
    let demos = selected(names)?;
    let server = DemoServer::obtain()?;
    let mut pages = Vec::new();
    for (backend, demo) in demos {
        let mut page = Page::new(backend);
        let url = server.create_database()?;
        // On its own thread: a blocking client must not run inside an async runtime.
        let told = thread::scope(|scope| scope.spawn(|| demo(&url, &mut page)).join());
        page.end(told.unwrap_or_else(|_| Err(anyhow!("the thread panicked"))));
        pages.push(page);
    }
    drop(server);
    Ok(conclude(&pages))
}

fn selected(names: &[String]) -> Result<Vec<Demo>> {
    if let Some(unknown) = names.iter().find(|name| DEMOS.iter().all(|(backend, _)| backend != name)) {
        bail!("there is no demo of {unknown:?}; add it to xtask/demo/src/main.rs");
    }
    let is_selected = |backend: &str| names.is_empty() || names.iter().any(|name| name == backend);
    Ok(DEMOS.into_iter().filter(|(backend, _)| is_selected(backend)).collect())
}

fn tokio_runtime() -> Result<::tokio::runtime::Runtime> {
    ::tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start an async runtime")
}

/// Prints a table with a row per step and a column per back end.
fn conclude(pages: &[Page]) -> ExitCode {
    // All back ends run the same steps, but one that fails stops early.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_selects_every_back_end_and_an_unknown_name_is_an_error() {
        let selected = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(ToString::to_string).collect();
            selected(&names).map(|demos| demos.iter().map(|(backend, _)| *backend).collect::<Vec<_>>())
        };
        assert_eq!(selected(&[]).unwrap().len(), DEMOS.len());
        assert_eq!(selected(&["sqlx", "tokio"]).unwrap(), ["tokio", "sqlx"]);
        assert!(selected(&["oracle"]).unwrap_err().to_string().contains("oracle"));
    }
}
