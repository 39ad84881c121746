//! Installs an older version of PGMQ.
//!
//! The official crate installs the newest version only, but contains the scripts that upgrade each version to
//! the next. The oldest scripts replace every function. So they run on a base that has little more than the
//! tables and types that they expect, up to the wanted version. The result is that version as on a server
//! that was upgraded to it.

use std::{
    collections::HashMap,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use postgres::{Client, Config, NoTls};
use serde::Deserialize;

use crate::{admin::outside_of_runtimes, error::ServerError};

/// The version that the scripts start from.
const BEGINNING: &str = "1.1.1";

/// The objects of version 1.1.1 that the later scripts expect.
///
/// The scripts belong to an extension, and some check that an extension runs them. So the base has an entry
/// in `pg_extension`, and replaces the function that only `CREATE EXTENSION` may call by one that does
/// nothing.
const BASE: &str = "\
SET allow_system_table_mods = on;
CREATE SCHEMA pgmq;
INSERT INTO pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion)
SELECT 4000000000, 'pgmq', nspowner, oid, false, '1.1.1' FROM pg_namespace WHERE nspname = 'pgmq';
ALTER FUNCTION pg_extension_config_dump(regclass, text) RENAME TO pg_extension_config_dump_of_the_server;
CREATE FUNCTION pg_catalog.pg_extension_config_dump(regclass, text) RETURNS void LANGUAGE sql AS 'SELECT';
CREATE TABLE pgmq.meta (
    queue_name varchar UNIQUE NOT NULL, is_partitioned boolean NOT NULL, is_unlogged boolean NOT NULL,
    created_at timestamptz DEFAULT now() NOT NULL
);
CREATE TYPE pgmq.message_record AS (
    msg_id bigint, read_ct integer, enqueued_at timestamptz, vt timestamptz, message jsonb
);
CREATE TYPE pgmq.metrics_result AS (
    queue_name text, queue_length bigint, newest_msg_age_sec integer, oldest_msg_age_sec integer, total_messages bigint,
    scrape_time timestamptz
);
CREATE FUNCTION pgmq.metrics_all() RETURNS SETOF pgmq.metrics_result LANGUAGE plpgsql AS
$$ BEGIN RETURN QUERY SELECT one.* FROM pgmq.meta, pgmq.metrics(meta.queue_name) AS one; END $$;
";

/// The settings of `CREATE EXTENSION`: a function may be created before the functions that it calls.
const SETTINGS: &str = "SET client_min_messages = error; SET check_function_bodies = off";

/// Removes the entry of the extension, and leaves plain SQL.
const NO_EXTENSION: &str = "\
SET allow_system_table_mods = on;
DELETE FROM pg_depend WHERE refclassid = 'pg_extension'::regclass AND refobjid = 4000000000;
DELETE FROM pg_extension WHERE extname = 'pgmq'";

/// Selects an older version.
const VERSION: &str = "PGMQ_TEST_PGMQ_VERSION";

/// The version that was selected; `None` for the newest.
pub(crate) fn asked_for() -> Option<String> {
    env::var(VERSION).ok().filter(|version| !version.is_empty())
}

/// An older version of PGMQ, and its form: `1.5.1` is an extension, `1.5.1-sql` is plain SQL.
pub(crate) struct OldPgmq<'t> {
    version: &'t str,
    is_extension: bool,
}

impl<'t> OldPgmq<'t> {
    pub(crate) fn parse(text: &'t str) -> Self {
        match text.strip_suffix("-sql") {
            Some(version) => Self { version, is_extension: false },
            None => Self { version: text, is_extension: true },
        }
    }

    pub(crate) fn version(&self) -> &'t str {
        self.version
    }

    pub(crate) fn is_extension(&self) -> bool {
        self.is_extension
    }

    /// Installs this version, as a superuser.
    pub(crate) fn install(&self, config: &Config) -> Result<(), ServerError> {
        let scripts = Scripts::find()?.path(BEGINNING, self.version)?;
        let install = || {
            let mut client = config.connect(NoTls)?;
            client.batch_execute(SETTINGS)?;
            client.batch_execute(BASE)?;
            for script in &scripts {
                script.run(&mut client)?;
            }
            match self.is_extension {
                true => Ok(()),
                false => client.batch_execute(NO_EXTENSION),
            }
        };
        outside_of_runtimes(install).map_err(|error| failed(self.version, error))
    }

    /// Upgrades this version to another, as `ALTER EXTENSION pgmq UPDATE` would.
    pub(crate) fn upgrade(&self, config: &Config, to: &str) -> Result<(), ServerError> {
        let scripts = Scripts::find()?.path(self.version, to)?;
        let upgrade = || {
            let mut client = config.connect(NoTls)?;
            client.batch_execute(SETTINGS)?;
            scripts.iter().try_for_each(|script| script.run(&mut client))
        };
        outside_of_runtimes(upgrade).map_err(|error| failed(to, error))
    }
}

fn failed(version: &str, error: postgres::Error) -> ServerError {
    ServerError::because(format!("cannot install PGMQ {version}"), error)
}

/// The scripts of the official crate, keyed by the version that each upgrades.
struct Scripts(HashMap<String, Script>);

struct Script {
    to: String,
    sql: String,
}

impl Scripts {
    fn find() -> Result<Self, ServerError> {
        let folder = folder_of_the_official_crate()?.join("src/install/embedded/sql");
        let failed =
            |error| ServerError::because(format!("cannot read the scripts in {}", folder.display()), error);
        let mut scripts = HashMap::new();
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
            if let Some((from, to)) = name.strip_prefix("pgmq--").and_then(|rest| rest.split_once("--")) {
                let script = Script { to: to.to_owned(), sql: fs::read_to_string(&path).map_err(failed)? };
                scripts.insert(from.to_owned(), script);
            }
        }
        Ok(Self(scripts))
    }

    /// The scripts to run, in order.
    fn path(mut self, from: &str, version: &str) -> Result<Vec<Script>, ServerError> {
        let mut path: Vec<Script> = Vec::new();
        while path.last().is_none_or(|last| last.to != version) {
            let at = path.last().map_or(from, |last| &last.to);
            let Some(next) = self.0.remove(at) else {
                let known: Vec<_> = path.iter().map(|script| script.to.as_str()).collect();
                let text = format!("there is no PGMQ {version}; there are {}", known.join(", "));
                return Err(ServerError::new(text));
            };
            path.push(next);
        }
        Ok(path)
    }
}

impl Script {
    fn run(&self, client: &mut Client) -> Result<(), postgres::Error> {
        let mut transaction = client.transaction()?;
        transaction.batch_execute(&self.sql)?;
        transaction.execute("UPDATE pg_extension SET extversion = $1 WHERE extname = 'pgmq'", &[&self.to])?;
        transaction.commit()
    }
}

/// The folder in which cargo keeps the sources of the official crate.
fn folder_of_the_official_crate() -> Result<PathBuf, ServerError> {
    #[derive(Deserialize)]
    struct Metadata {
        packages: Vec<Package>,
    }
    #[derive(Deserialize)]
    struct Package {
        name: String,
        manifest_path: PathBuf,
    }

    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version=1", "--locked"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .map_err(|error| ServerError::because("cannot run cargo", error))?;
    let metadata: Metadata = serde_json::from_slice(&output.stdout)
        .map_err(|error| ServerError::because("cannot read the output of cargo metadata", error))?;
    let official = metadata.packages.into_iter().find(|package| package.name == "pgmq");
    let folder = official.and_then(|package| package.manifest_path.parent().map(Path::to_owned));
    folder.ok_or_else(|| ServerError::new("the official crate pgmq is not in the output of cargo metadata"))
}
