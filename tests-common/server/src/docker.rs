//! A throw-away Postgres in a Docker container.

use std::{env, ffi::OsStr};

use testcontainers_modules::{
    postgres::Postgres,
    testcontainers::{Container, ImageExt, TestcontainersError, runners::SyncRunner},
};

use crate::{address::Address, error::ServerError, guardian::Guardian};

const VARIABLE: &str = "PGMQ_TEST_POSTGRES_IMAGE";
const IMAGE: &str = "postgres:17";

/// The settings of a local cluster, as far as a container needs them.
const SETTINGS: [&str; 6] = [
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "max_connections=300",
    "max_locks_per_transaction=256",
    "timezone=UTC",
];

/// Removes the container if this process no longer can. Needs the `docker` program.
const GUARDIAN: &str = r#"
trap '' INT TERM HUP
while read -r _; do :; done
docker rm --force --volumes "$1"
"#;

/// A running container, removed when dropped.
pub(crate) struct Docker {
    address: Address,
    _container: Container<Postgres>,
    /// Dropped after the container: its end makes the guardian act, and by then nothing is left to do.
    _guardian: Option<Guardian>,
}

impl Docker {
    /// Starts a container of `PGMQ_TEST_POSTGRES_IMAGE`, by default `postgres:17`.
    pub(crate) fn create() -> Result<Self, ServerError> {
        Self::start().map_err(|error| ServerError::because("cannot start a container", error))
    }

    fn start() -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let image = env::var(VARIABLE).unwrap_or_else(|_| IMAGE.to_owned());
        let container = run(&image)?;
        let guardian = Guardian::start(GUARDIAN, OsStr::new(container.id())).ok();
        let host = container.get_host()?.to_string();
        let port = container.get_host_port_ipv4(5432)?;
        // The image's module sets this password. By default the port is not reachable from other machines.
        let address = Address::local(&host, port, "postgres")?;
        Ok(Self { address, _container: container, _guardian: guardian })
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }
}

fn run(image: &str) -> Result<Container<Postgres>, TestcontainersError> {
    // A colon before the last slash belongs to a registry's port.
    let (name, tag) = match image.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        _ => (image, "latest"),
    };
    let arguments = SETTINGS.iter().flat_map(|setting| ["-c", setting]);
    Postgres::default().with_name(name).with_tag(tag).with_cmd(arguments).start()
}
