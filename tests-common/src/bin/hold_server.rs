//! Holds a server until standard input ends, for tests that kill the process that does.
//!
//! Prints the server's URL, its folder, and the name of a database on it, a line each.

use std::io::{self, Read};

use tests_common::server::{Server, ServerError};

fn main() -> Result<(), ServerError> {
    let server = Server::obtain()?;
    let database = server.create_database()?;
    println!("{}", server.url());
    println!("{}", server.folder().unwrap_or_default().display());
    println!("{}", database.name());
    // Whatever comes, the end of the input ends the process.
    let _ = io::stdin().read_to_end(&mut Vec::new());
    Ok(())
}
