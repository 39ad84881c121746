//! Holds a server until standard input ends, for tests that kill the process that holds it.
//!
//! Prints four lines: the server's URL, its folder, the name of a database on it, and the URL of a pooler for
//! that database. The folder is empty if the server was not started here, and the pooler's URL if there is
//! none.

use std::io::{self, Read};

use pgmq_test_server::{Poolers, Server, ServerError};

fn main() -> Result<(), ServerError> {
    let server = Server::obtain()?;
    let poolers = Poolers::obtain(&server)?;
    let database = server.create_database()?;
    println!("{}", server.url());
    println!("{}", server.folder().unwrap_or_default().display());
    println!("{}", database.name());
    println!(
        "{}",
        poolers.as_ref().map_or_else(String::new, |poolers| poolers.plain.url_of(database.name()))
    );
    // The end of the input ends the process, and an error is treated as the end.
    let _ = io::stdin().read_to_end(&mut Vec::new());
    Ok(())
}
