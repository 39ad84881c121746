//! Holds a server until standard input ends, for tests that kill the process that does.
//!
//! Prints the server's URL, its folder, the name of a database on it, and the URL of a pooler before it if one is asked for, a line
//! each.

use std::io::{self, Read};

use tests_common::server::{Poolers, Server, ServerError};

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
    // Whatever comes, the end of the input ends the process.
    let _ = io::stdin().read_to_end(&mut Vec::new());
    Ok(())
}
