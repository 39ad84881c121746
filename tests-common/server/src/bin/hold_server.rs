//! Holds a server until standard input ends.
//!
//! With `--run` the program serves a run of test programs. It prints one line of JSON with the variables by
//! which they find the server, the template and the poolers, and drops all databases of the run at the end.
//!
//! Without `--run` it serves tests that kill the process that holds a server. It prints four lines: the
//! server's URL, its folder, the name of a database on it, and the URL of a pooler for that database. The
//! folder is empty if the server was not started here, and the pooler's URL if there is none.

use std::{
    collections::BTreeMap,
    env,
    error::Error,
    io::{self, Read},
};

use pgmq_test_server::{Poolers, Server, ServerError};

fn main() -> Result<(), Box<dyn Error>> {
    if env::args().any(|argument| argument == "--run") {
        return serve_run();
    }
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
    wait_for_the_end();
    Ok(())
}

fn serve_run() -> Result<(), Box<dyn Error>> {
    let server = Server::obtain()?;
    let poolers = Poolers::obtain(&server)?;
    println!("{}", serde_json::to_string(&variables(&server, poolers.as_ref())?)?);
    wait_for_the_end();
    drop(poolers);
    // Test programs that were killed have left their databases.
    server.drop_leftovers()?;
    Ok(())
}

fn variables(
    server: &Server,
    poolers: Option<&Poolers>,
) -> Result<BTreeMap<&'static str, String>, ServerError> {
    let of_server = [
        ("PGMQ_TEST_DATABASE_URL", server.url().to_owned()),
        ("PGMQ_TEST_TEMPLATE", server.template()?.to_owned()),
        ("PGMQ_TEST_RUN", server.run().to_owned()),
    ];
    Ok(of_server.into_iter().chain(poolers.into_iter().flat_map(Poolers::variables)).collect())
}

/// Waits until standard input ends, whatever it contains.
fn wait_for_the_end() {
    let _ = io::stdin().read_to_end(&mut Vec::new());
}
